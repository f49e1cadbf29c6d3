//! From a hash to the slot of its entry: open addressing with linear probing.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

const EMPTY: u64 = u64::MAX;
const SMALLEST: usize = 8;

/// A table of 8-byte buckets, each 32 bits of the hash and the slot, at most four sevenths full.
///
/// A bucket's home is its hash times the number of buckets, so the number can be any and a full cache wastes
/// nothing on a power of two. Removal closes the gap, so there are no tombstones and a probe never grows with age.
#[derive(Debug, Default)]
pub(super) struct Index {
    buckets: Vec<u64>,
    used: usize,
}

fn pack(hash: u64, slot: u32) -> u64 {
    hash & !u64::from(u32::MAX) | u64::from(slot)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half of a bucket is its slot"
)]
fn slot_of(bucket: u64) -> u32 {
    bucket as u32
}

impl Index {
    fn home(&self, hash: u64) -> usize {
        let product = u128::from(hash >> 32) * self.buckets.len() as u128;
        (product >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() {
            0
        } else {
            at + 1
        }
    }

    fn bucket(&self, at: usize) -> u64 {
        self.buckets.get(at).copied().unwrap_or(EMPTY)
    }

    fn set(&mut self, at: usize, bucket: u64) {
        if let Some(place) = self.buckets.get_mut(at) {
            *place = bucket;
        }
    }

    /// The slot with this hash for which `same` holds, or [`NONE`].
    #[inline]
    pub(super) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> u32 {
        let mut at = self.home(hash);
        // Nearly every key that is there is in the first four buckets: which one, nobody could predict, so it is chosen
        // without a branch.
        if let Some(&[first, second, third, fourth]) =
            self.buckets.get(at..).and_then(|rest| rest.first_chunk())
        {
            let hit = |bucket: u64| (bucket ^ hash) >> 32 == 0;
            let last = if hit(third) { third } else { fourth };
            let near = if hit(second) { second } else { last };
            let bucket = if hit(first) { first } else { near };
            if hit(bucket) && same(slot_of(bucket)) {
                return slot_of(bucket);
            }
        }
        loop {
            let bucket = self.bucket(at);
            if bucket == EMPTY {
                return NONE;
            }
            if (bucket ^ hash) >> 32 == 0 && same(slot_of(bucket)) {
                return slot_of(bucket);
            }
            at = self.after(at);
        }
    }

    /// Adds a slot that is not in it; `most` is how many there will ever be, so that the last growth is exact.
    pub(super) fn insert(&mut self, hash: u64, slot: u32, most: usize) {
        if (self.used + 1).saturating_mul(7) > self.buckets.len().saturating_mul(4) {
            let wanted = self.buckets.len().saturating_mul(2);
            let enough = most.saturating_add(most / 4 * 3).saturating_add(8);
            let least = (self.used + 2).saturating_mul(2);
            self.resize(wanted.min(enough).max(least).max(SMALLEST));
        }
        self.place(pack(hash, slot));
        self.used += 1;
    }

    fn place(&mut self, bucket: u64) {
        let mut at = self.home(bucket);
        while self.bucket(at) != EMPTY {
            at = self.after(at);
        }
        self.set(at, bucket);
    }

    fn resize(&mut self, buckets: usize) {
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        for bucket in old.into_iter().filter(|&bucket| bucket != EMPTY) {
            self.place(bucket);
        }
    }

    /// Takes out a slot that is in it.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let wanted = pack(hash, slot);
        let mut gap = self.home(hash);
        while self.bucket(gap) != wanted {
            if self.bucket(gap) == EMPTY {
                return;
            }
            gap = self.after(gap);
        }
        self.used -= 1;
        // Every bucket up to the next empty one that would be reached through the gap moves into it.
        let mut at = gap;
        loop {
            at = self.after(at);
            let bucket = self.bucket(at);
            if bucket == EMPTY {
                break;
            }
            let home = self.home(bucket);
            let reachable = if gap <= at {
                gap < home && home <= at
            } else {
                gap < home || home <= at
            };
            if !reachable {
                self.set(gap, bucket);
                gap = at;
            }
        }
        self.set(gap, EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few distinct hashes, so that every run is one long collision.
        #[test]
        fn finds_what_is_in_it_and_nothing_else(steps in prop::collection::vec((0u64..12, any::<bool>()), 0..300)) {
            let mut index = Index::default();
            let mut model = std::collections::BTreeMap::new();
            for (n, (hash, add)) in steps.into_iter().enumerate() {
                let hash = hash << 32 | hash << 60;
                let slot = u32::try_from(n).unwrap();
                if add {
                    index.insert(hash, slot, 40);
                    model.insert(slot, hash);
                } else if let Some((&slot, &hash)) = model.iter().next() {
                    index.remove(hash, slot);
                    model.remove(&slot);
                }
                prop_assert_eq!(index.used, model.len());
                for (&slot, &hash) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == slot), slot);
                }
                prop_assert_eq!(index.find(hash, |_| false), NONE);
            }
        }
    }
}
