//! How the threads that use a cache keep out of each other's way.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The lock of a shard, and the way to count what several threads do under its shared side.
pub trait Sharing {
    /// A lock that many hits share and one change holds alone.
    type Lock: lock_api::RawRwLock;

    /// Shards of a large cache, a power of two: threads wait for each other less where there are more.
    const MOST_SHARDS: u64 = 16;

    /// Adds one and returns what there was before.
    fn count(counter: &AtomicU64) -> u64;

    /// Asks the processor to bring near what will be read soon. A look-up is right without it, but waits longer.
    #[inline]
    fn fetch<T>(_soon: &T) {}
}

/// For any number of threads that run at once.
#[derive(Clone, Copy, Debug)]
pub struct Threads;

impl Sharing for Threads {
    type Lock = parking_lot::RawRwLock;

    #[inline]
    fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed)
    }
}
