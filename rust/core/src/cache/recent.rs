//! The hits that the policy has not seen yet.

use super::sync::{AtomicU32, AtomicU64, Ordering, Sharing};

const KEPT: usize = if cfg!(loom) { 2 } else { 1024 };

/// Counts hits, and keeps the slots of the last ones for whoever changes the shard next.
///
/// One atomic addition does both: the count is the place in the ring. Where hits come in faster than changes, the
/// oldest are forgotten; they were overtaken by so many others that little is lost.
#[derive(Debug)]
pub(super) struct Recent {
    count: AtomicU64,
    slots: [AtomicU32; KEPT],
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            slots: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

fn place(number: u64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below the length of the ring"
    )]
    let place = (number % KEPT as u64) as usize;
    place
}

impl Recent {
    /// Notes a hit. The caller shares the shard's lock.
    #[inline]
    pub(super) fn push<S: Sharing>(&self, slot: u32) {
        let number = S::count(&self.count);
        if let Some(kept) = self.slots.get(place(number)) {
            kept.store(slot, Ordering::Relaxed);
        }
    }

    /// How many hits there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The slots of the hits since `seen` that are still known, oldest first. The caller holds the lock alone.
    pub(super) fn since(&self, seen: u64) -> impl Iterator<Item = u32> {
        let count = self.count();
        (seen.max(count.saturating_sub(KEPT as u64))..count)
            .filter_map(|number| self.slots.get(place(number)))
            .map(|slot| slot.load(Ordering::Relaxed))
    }
}
