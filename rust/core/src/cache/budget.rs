//! How much a cache may hold, over all its shards.

use super::{
    entry::MAX_SIZE,
    sync::{AtomicU64, Ordering},
};

/// Room for entries and bytes. Whatever is stored was taken from here first, so no limit is ever exceeded.
#[derive(Debug)]
pub(super) struct Budget {
    capacity: u64,
    max_bytes: u64,
    /// Halvings that make a shard's part of all entries.
    halvings: u32,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Budget {
    /// For a power of two of shards.
    pub(super) fn new(capacity: u64, max_bytes: u64, shards: u64) -> Self {
        Self {
            capacity,
            max_bytes,
            halvings: shards.ilog2(),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Takes room for one entry of `size` bytes, or says that there is none.
    #[must_use]
    pub(super) fn take(&self, size: u64) -> bool {
        if !add(&self.entries, 1, self.capacity) {
            return false;
        }
        let fits = add(&self.bytes, size, self.max_bytes);
        if !fits {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }

    /// Gives the room of one entry of `size` bytes back.
    pub(super) fn give(&self, size: u64) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }

    /// Takes or gives back what an entry grows or shrinks by, or says that there is no room.
    #[must_use]
    pub(super) fn resize(&self, old: u64, new: u64) -> bool {
        if new == old {
            return true;
        }
        if new < old {
            self.bytes.fetch_sub(old - new, Ordering::Relaxed);
            return true;
        }
        add(&self.bytes, new - old, self.max_bytes)
    }

    /// Whether an entry of `size` bytes can be held at all.
    pub(super) fn allows(&self, size: u64) -> bool {
        size <= self.max_bytes.min(MAX_SIZE)
    }

    /// Three quarters of a shard's part of all entries: chance alone hardly leaves it fewer, so it should lose no more.
    pub(super) fn small_part(&self) -> u64 {
        let part = self.entries() >> self.halvings;
        part - part / 4
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Adds to a counter unless it would pass its limit.
fn add(counter: &AtomicU64, amount: u64, limit: u64) -> bool {
    let more = |used: u64| used.checked_add(amount).filter(|&sum| sum <= limit);
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(loom))]
    #[test]
    fn what_does_not_fit_takes_nothing() {
        let budget = Budget::new(2, 100, 1);
        assert!(budget.take(60));
        assert!(!budget.take(41));
        assert_eq!((budget.entries(), budget.bytes()), (1, 60));
        assert!(budget.take(40));
        assert!(!budget.take(0));
        assert!(!budget.resize(40, 41));
        assert!(budget.resize(40, 0) && budget.resize(60, 100));
        assert!(!budget.resize(0, u64::MAX));
        budget.give(100);
        assert_eq!((budget.entries(), budget.bytes()), (1, 0));
    }

    #[cfg(loom)]
    #[test]
    fn loom_threads_never_take_more_than_there_is() {
        use loom::{sync::Arc, thread};
        loom::model(|| {
            let budget = Arc::new(Budget::new(1, 10, 1));
            let taker = |size| {
                let budget = Arc::clone(&budget);
                move || {
                    let taken = budget.take(size);
                    assert!(budget.entries() <= 1 && budget.bytes() <= 10);
                    if taken {
                        assert!(budget.bytes() >= size);
                        budget.give(size);
                    }
                }
            };
            let other = thread::spawn(taker(10));
            taker(7)();
            other.join().unwrap();
            assert_eq!((budget.entries(), budget.bytes()), (0, 0));
        });
    }
}
