//! A cache in memory for digests and texts: sharded, bounded, with expiry.
//!
//! A hit shares its shard's lock with other hits and writes nothing but its slot, into a ring. No value is ever dropped
//! under a lock: what is evicted, replaced or expired goes into the caller's [`Dropped`], whose destructors run when
//! the caller lets go of it.
//!
//! `slots` finds an entry and `table` holds all that one lock protects; `policy` says who makes room, by `segments`
//! (queues), `sketch` (how often) and `duel` (which window); `recent` brings it the hits.

mod budget;
mod clock;
mod duel;
mod entry;
mod key;
mod list;
mod policy;
mod recent;
mod segments;
mod sketch;
mod slots;
mod stats;
pub mod sync;
mod table;

pub use clock::{Clock, END, Millis, SystemClock, Ttl};
pub use key::Key;
pub use stats::CacheStats;
pub use sync::{Sharing, Threads};

use budget::Budget;
use key::KeyHasher;
use lock_api::{RwLock, RwLockWriteGuard};
use recent::Recent;
use smallvec::SmallVec;
use sync::{AtomicU64, Ordering};
use table::{Found, New, Table};

/// Values that left a cache, for the caller to drop when it holds no lock.
pub type Dropped<V> = SmallVec<[V; 2]>;

/// Entries below which a further shard costs more in precision than it gains in concurrency.
const SHARD_ENTRIES: u64 = 2048;
/// Slots are 32-bit numbers.
const MOST_ENTRIES: u64 = 1 << 31;

/// What [`HotCache::look_up`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<R> {
    /// A live value.
    Live(R),
    /// An entry whose time is over, and which is still held.
    Expired,
    /// No entry.
    Missing,
}

/// A limit that a cache cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// The capacity in entries is not from 1 to 2^31.
    Capacity,
    /// The capacity in bytes is 0.
    MaxBytes,
}

impl std::fmt::Display for LimitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Capacity => "capacity must be from 1 to 2147483648 entries",
            Self::MaxBytes => "max_bytes must be at least 1",
        })
    }
}

impl std::error::Error for LimitError {}

/// The largest size that one entry can have, in bytes.
pub const MAX_SIZE: u64 = entry::MAX_SIZE;

/// One lock, the entries behind it, and the counters of look-ups.
struct Shard<V, S: Sharing> {
    table: RwLock<S::Lock, Table<V>>,
    hits: Recent,
    misses: AtomicU64,
}

impl<V, S: Sharing> Shard<V, S> {
    /// The table for a change, once the policy has heard of the hits so far.
    fn change(&self) -> RwLockWriteGuard<'_, S::Lock, Table<V>> {
        let mut table = self.table.write();
        table.catch_up(&self.hits);
        table
    }
}

/// A bounded map from [`Key`] to `V` that any number of threads may use at once.
///
/// The bounds hold exactly at every moment, over all shards together.
pub struct HotCache<V, C = SystemClock, S: Sharing = Threads> {
    shards: Box<[Shard<V, S>]>,
    budget: Budget,
    hasher: KeyHasher,
    clock: C,
}

impl<V, C: Clock, S: Sharing> HotCache<V, C, S> {
    /// An empty cache for `capacity` entries whose sizes add up to at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// [`LimitError`] where no entry could ever be stored, or more than 2^31.
    pub fn new(capacity: u64, max_bytes: Option<u64>, clock: C) -> Result<Self, LimitError> {
        Self::with_hasher(capacity, max_bytes, clock, KeyHasher::random())
    }

    /// The same with a given seed of its hashes, so that runs can be repeated exactly.
    ///
    /// # Errors
    ///
    /// As [`HotCache::new`].
    pub fn with_seed(
        capacity: u64,
        max_bytes: Option<u64>,
        clock: C,
        seed: u64,
    ) -> Result<Self, LimitError> {
        Self::with_hasher(capacity, max_bytes, clock, KeyHasher::seeded(seed))
    }

    fn with_hasher(
        capacity: u64,
        max_bytes: Option<u64>,
        clock: C,
        hasher: KeyHasher,
    ) -> Result<Self, LimitError> {
        if !(1..=MOST_ENTRIES).contains(&capacity) {
            return Err(LimitError::Capacity);
        }
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        if max_bytes == 0 {
            return Err(LimitError::MaxBytes);
        }
        let shards = (capacity / SHARD_ENTRIES).clamp(1, S::MOST_SHARDS);
        let shards = 1 << shards.ilog2();
        // Chance gives some shards more than their part, hardly ever eight standard deviations more.
        let part = capacity / shards;
        let most = usize::try_from(part + 8 * part.isqrt()).unwrap_or(usize::MAX);
        let shard = |_| Shard {
            table: RwLock::new(Table::new(most, hasher.clone())),
            hits: Recent::default(),
            misses: AtomicU64::new(0),
        };
        Ok(Self {
            shards: (0..shards).map(shard).collect(),
            budget: Budget::new(capacity, max_bytes, shards),
            hasher,
            clock,
        })
    }

    fn shard_and_hash(&self, key: &Key) -> (Option<&Shard<V, S>>, u64) {
        let hash = self.hasher.hash(key);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "only the lowest bits pick a shard"
        )]
        let at = hash as usize & (self.shards.len() - 1);
        (self.shards.get(at), hash)
    }

    /// Shows the live value of `key` to `use_it`, or returns None.
    ///
    /// `use_it` runs under the shard's shared lock: it should copy a pointer and must not use the cache.
    pub fn get<R>(
        &self,
        key: &Key,
        use_it: impl FnOnce(&V) -> R,
        dropped: &mut Dropped<V>,
    ) -> Option<R> {
        match self.look_up(key, use_it) {
            Lookup::Live(value) => Some(value),
            Lookup::Expired => {
                self.drop_expired(key, dropped);
                None
            }
            Lookup::Missing => None,
        }
    }

    /// [`HotCache::get`] without the last step: an expired entry waits for [`HotCache::drop_expired`].
    #[inline]
    pub fn look_up<R>(&self, key: &Key, use_it: impl FnOnce(&V) -> R) -> Lookup<R> {
        let (Some(shard), hash) = self.shard_and_hash(key) else {
            return Lookup::Missing;
        };
        let table = shard.table.read();
        table.fetch::<S>(hash);
        let found = table.get(hash, key, || self.clock.now());
        if let Found::Live(slot, value) = found {
            shard.hits.push::<S>(slot);
            return Lookup::Live(use_it(value));
        }
        S::count(&shard.misses);
        if matches!(found, Found::Expired) {
            Lookup::Expired
        } else {
            Lookup::Missing
        }
    }

    /// Whether `key` has a live value; neither a hit nor a miss.
    pub fn contains(&self, key: &Key) -> bool {
        let (Some(shard), hash) = self.shard_and_hash(key) else {
            return false;
        };
        matches!(
            shard.table.read().get(hash, key, || self.clock.now()),
            Found::Live(..)
        )
    }

    /// Drops the entry of `key` if its time is over; somebody may have renewed it since that was seen.
    #[cold]
    pub fn drop_expired(&self, key: &Key, dropped: &mut Dropped<V>) {
        let (Some(shard), hash) = self.shard_and_hash(key) else {
            return;
        };
        let now = self.clock.now();
        let mut table = shard.change();
        if matches!(table.get(hash, key, || now), Found::Expired) {
            table.remove(hash, key, now, &self.budget, dropped);
        }
    }

    /// Stores a value; an older one of the same key is replaced.
    ///
    /// A value larger than the cache's limit in bytes, or than [`MAX_SIZE`], is not stored, and takes the key's older
    /// value with it: a cache that still served that one would be wrong.
    pub fn put(&self, key: &Key, value: V, ttl: Ttl, size: u64, dropped: &mut Dropped<V>) {
        let (Some(shard), hash) = self.shard_and_hash(key) else {
            return;
        };
        let now = self.clock.now();
        if !self.budget.allows(size) {
            shard.change().remove(hash, key, now, &self.budget, dropped);
            dropped.push(value);
            return;
        }
        let mut new = Some(New {
            key,
            hash,
            value,
            expires: ttl.from(now),
            size,
        });
        while let Some(next) = new {
            new = shard.change().put(next, now, &self.budget, dropped);
            if new.is_some() {
                self.evict_from_fullest(dropped);
            }
        }
    }

    /// Makes room for a shard that has too few entries to make it: the room of a cache belongs to all of its shards.
    ///
    /// Else a key that is taken out and stored again, while others are stored, would drain its shard for good.
    #[cold]
    fn evict_from_fullest(&self, dropped: &mut Dropped<V>) {
        let fullest = self
            .shards
            .iter()
            .max_by_key(|shard| shard.table.read().len());
        if let Some(shard) = fullest {
            shard.change().evict(&self.budget, dropped);
        }
    }

    /// Takes the value of `key` out; its last place in `dropped` has it where this is true.
    pub fn remove(&self, key: &Key, dropped: &mut Dropped<V>) -> bool {
        let (Some(shard), hash) = self.shard_and_hash(key) else {
            return false;
        };
        let now = self.clock.now();
        shard.change().remove(hash, key, now, &self.budget, dropped)
    }

    /// Drops every entry. The counters go on.
    pub fn clear(&self, dropped: &mut Dropped<V>) {
        for shard in &self.shards {
            shard.change().clear(&self.budget, dropped);
        }
    }

    /// Drops what has expired and says how many entries are left.
    pub fn len(&self, dropped: &mut Dropped<V>) -> usize {
        let now = self.clock.now();
        for shard in &self.shards {
            if shard.table.read().next_expiry() <= now {
                shard.change().purge(now, &self.budget, dropped);
            }
        }
        usize::try_from(self.budget.entries()).unwrap_or(usize::MAX)
    }

    /// Drops what has expired and counts.
    pub fn stats(&self, dropped: &mut Dropped<V>) -> CacheStats {
        let size = self.len(dropped);
        let mut stats = CacheStats {
            size,
            capacity: usize::try_from(self.budget.capacity()).unwrap_or(usize::MAX),
            bytes: self.budget.bytes(),
            ..CacheStats::default()
        };
        for shard in &self.shards {
            stats.hits += shard.hits.count();
            stats.misses += shard.misses.load(Ordering::Relaxed);
            let table = shard.table.read();
            stats.evictions += table.evictions;
            stats.expirations += table.expirations;
        }
        stats
    }

    /// Shows every value that is held, for a garbage collector; a shard that is being changed is left out.
    ///
    /// # Errors
    ///
    /// The first that `show` returns; the rest is not shown then.
    pub fn try_for_each<E>(&self, mut show: impl FnMut(&V) -> Result<(), E>) -> Result<(), E> {
        for shard in &self.shards {
            if let Some(table) = shard.table.try_read() {
                table.try_for_each(&mut show)?;
            }
        }
        Ok(())
    }
}
