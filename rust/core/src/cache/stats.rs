//! What a cache has done and holds.

/// Counters of one cache, since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found a live entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries that made room for another one.
    pub evictions: u64,
    /// Entries that were dropped because their time was over.
    pub expirations: u64,
    /// Entries held.
    pub size: usize,
    /// Entries it may hold.
    pub capacity: usize,
    /// Sum of the sizes of the entries held.
    pub bytes: u64,
}
