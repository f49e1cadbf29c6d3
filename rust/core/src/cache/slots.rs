//! From a hash to the entry itself: open addressing by chunks, with what is compared first beside the entries.
//!
//! After F14 (Bronson, Shi: Open-sourcing F14 for faster, more memory-efficient hash tables, 2019). Each entry has one
//! byte of its hash in a chunk, and a chunk counts what found no room in it. So all chunks of a large cache are near the
//! processor, a hit waits for memory once, a miss seldom, and there are no tombstones.

use wide::u8x16;

use super::{
    list::{Node, at},
    sync::Sharing,
};

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Slots of a chunk.
const CHUNK: usize = 15;
/// The largest share of slots in use.
const FULL: (usize, usize) = (3, 4);
/// A count that is no longer exact, and never falls.
const MANY: u8 = u8::MAX;

/// Fifteen marks, of which 0 is a free slot's, and how many entries found no room here and stand further on.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
struct Chunk([u8; CHUNK + 1]);

impl Chunk {
    /// Which slots have this mark, a bit for each.
    #[inline]
    fn marked(self, mark: u8) -> u32 {
        let same = u8x16::new(self.0).cmp_eq(u8x16::splat(mark));
        same.move_mask().unsigned_abs() & ((1 << CHUNK) - 1)
    }

    fn passed(&mut self) -> &mut u8 {
        let [.., passed] = &mut self.0;
        passed
    }

    fn was_passed(self) -> bool {
        let [.., passed] = self.0;
        passed != 0
    }
}

/// A byte of the hash, of which other bits pick the chunk and the shard.
fn mark(hash: u64) -> u8 {
    let [_, _, byte, ..] = hash.to_le_bytes();
    byte.max(1)
}

/// Nodes in slots, of which at most three quarters are in use.
///
/// A chunk's number is the hash times the number of chunks, so the number can be any and a full cache wastes nothing on
/// a power of two. A node keeps its slot until [`Slots::room`] moves all of them.
#[derive(Debug)]
pub(super) struct Slots<N> {
    chunks: Vec<Chunk>,
    pub(super) nodes: Vec<N>,
    used: usize,
}

impl<N> Default for Slots<N> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            nodes: Vec::new(),
            used: 0,
        }
    }
}

impl<N: Node> Slots<N> {
    /// How many slots are in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    fn home(&self, hash: u64) -> usize {
        let product = u128::from(hash >> 32) * self.chunks.len() as u128;
        (product >> 32) as usize
    }

    fn after(&self, chunk: usize) -> usize {
        if chunk + 1 == self.chunks.len() {
            0
        } else {
            chunk + 1
        }
    }

    /// Fetches the nodes among which the one with this hash usually is.
    ///
    /// Which of them it is stands in the chunk, but that must be waited for as well.
    #[inline]
    pub(super) fn fetch<S: Sharing>(&self, hash: u64) {
        let first = self.home(hash) * CHUNK;
        if let Some(nodes) = self.nodes.get(first..first + CHUNK) {
            nodes.iter().for_each(S::fetch);
        }
    }

    /// The slot with this hash for which `same` holds, or [`NONE`].
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl Fn(&N) -> bool) -> u32 {
        let mark = mark(hash);
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let Some(chunk) = self.chunks.get(at) else {
                break;
            };
            let mut hits = chunk.marked(mark);
            while hits != 0 {
                let slot = at * CHUNK + hits.trailing_zeros() as usize;
                if self.nodes.get(slot).is_some_and(&same) {
                    return number(slot);
                }
                hits &= hits - 1;
            }
            if !chunk.was_passed() {
                break;
            }
            at = self.after(at);
        }
        NONE
    }

    /// Takes a free slot, for the caller to put a new node into. There is one: he asked for [`Slots::room`].
    #[inline]
    pub(super) fn take(&mut self, hash: u64) -> u32 {
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let Some(chunk) = self.chunks.get_mut(at) else {
                break;
            };
            let place = chunk.marked(0).trailing_zeros() as usize;
            if let Some(free) = chunk.0.get_mut(place) {
                *free = mark(hash);
                self.used += 1;
                return number(at * CHUNK + place);
            }
            let passed = chunk.passed();
            *passed = passed.saturating_add(1);
            at = self.after(at);
        }
        NONE
    }

    /// Frees a slot that is in use; the node stays as it is.
    pub(super) fn free(&mut self, hash: u64, slot: u32) {
        let (last, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let mut at = self.home(hash);
        while at != last {
            if let Some(passed) = self.chunks.get_mut(at).map(Chunk::passed)
                && *passed != MANY
            {
                *passed -= 1;
            }
            at = self.after(at);
        }
        let chunk = self.chunks.get_mut(last);
        if let Some(mark) = chunk.and_then(|chunk| chunk.0.get_mut(place)) {
            *mark = 0;
            self.used -= 1;
        }
    }

    /// Makes room for one more; `most` is how many there will be, roughly, so that the last growth is exact.
    ///
    /// Beyond that the nodes grow by a quarter: by one chunk at a time, each would move all that came before it.
    ///
    /// Where all nodes had to move for it, their links follow, and this returns the new slot of each old one.
    pub(super) fn room(
        &mut self,
        most: usize,
        hash: impl Fn(&N) -> u64,
        free: impl FnMut() -> N,
    ) -> Option<Vec<u32>> {
        let (share, whole) = FULL;
        let needed = |used: usize| (used * whole / share + 1).div_ceil(CHUNK);
        let least = needed(self.used + 1);
        if self.chunks.len() >= least {
            return None;
        }
        let chunks = self.chunks.len();
        let count = (chunks * 2)
            .min(needed(most).max(chunks + chunks / 4))
            .max(least);
        let mut nodes = Vec::new();
        nodes.resize_with(count * CHUNK, free);
        let chunks = vec![Chunk::default(); count];
        let used = 0;
        let old = std::mem::replace(
            self,
            Self {
                chunks,
                nodes,
                used,
            },
        );
        let marks = old
            .chunks
            .iter()
            .flat_map(|chunk| chunk.0.into_iter().take(CHUNK));
        let moved: Vec<u32> = old
            .nodes
            .into_iter()
            .zip(marks)
            .map(|(node, mark)| {
                if mark == 0 {
                    return NONE;
                }
                let slot = self.take(hash(&node));
                if let Some(place) = at(&mut self.nodes, slot) {
                    *place = node;
                }
                slot
            })
            .collect();
        for &slot in &moved {
            if let Some(node) = at(&mut self.nodes, slot) {
                node.links().follow(&moved);
            }
        }
        Some(moved)
    }
}

fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::{super::list::Links, *};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug)]
    struct Numbered {
        links: Links,
        hash: u64,
        number: u64,
    }

    fn numbered(hash: u64, number: u64) -> Numbered {
        Numbered {
            links: Links::NONE,
            hash,
            number,
        }
    }

    impl Node for Numbered {
        fn links(&mut self) -> &mut Links {
            &mut self.links
        }

        fn queue(&self) -> u8 {
            0
        }

        fn set_queue(&mut self, _: u8) {}
    }

    type Model = BTreeMap<u64, u64>;

    fn add(slots: &mut Slots<Numbered>, hash: u64, number: u64) {
        slots.room(100, |node| node.hash, || numbered(0, 0));
        let slot = slots.take(hash);
        slots.nodes[slot as usize] = numbered(hash, number);
    }

    fn remove_first(slots: &mut Slots<Numbered>, model: &mut Model) -> bool {
        let Some((number, hash)) = model.pop_first() else {
            return false;
        };
        let slot = slots.find(hash, |node| node.number == number);
        slots.free(hash, slot);
        true
    }

    proptest! {
        /// Few distinct hashes, so that chunks overflow far, and others into them.
        #[test]
        fn finds_what_is_in_it_and_nothing_else(
            few in 1u64..40,
            steps in prop::collection::vec((any::<u64>(), 0u8..3), 0..400),
        ) {
            let (mut slots, mut model) = (Slots::default(), Model::new());
            for (number, (random, step)) in (0..).zip(steps) {
                let hash = (random % few) << 58 | (random % 2) << 16;
                if step == 0 {
                    remove_first(&mut slots, &mut model);
                } else {
                    add(&mut slots, hash, number);
                    model.insert(number, hash);
                }
                prop_assert_eq!(slots.used(), model.len());
                for (&number, &hash) in &model {
                    let slot = slots.find(hash, |node| node.number == number);
                    prop_assert_eq!(slots.nodes[slot as usize].number, number);
                }
                prop_assert_eq!(slots.find(hash, |_| false), NONE);
            }
            let many = slots.chunks.iter_mut().any(|chunk| *chunk.passed() == MANY);
            while remove_first(&mut slots, &mut model) {}
            prop_assert!(many || slots.chunks.iter().all(|chunk| !chunk.was_passed()));
        }
    }

    #[test]
    fn a_chunk_that_very_many_passed_still_shows_the_way() {
        let (mut slots, mut model) = (Slots::default(), Model::new());
        for number in 0..1000 {
            add(&mut slots, 0, number);
            model.insert(number, 0);
        }
        while model.len() > 1 {
            remove_first(&mut slots, &mut model);
        }
        let slot = slots.find(0, |node| node.number == 999);
        assert_eq!(slots.nodes[slot as usize].number, 999);
    }

    #[test]
    fn more_nodes_than_there_should_be_move_seldom() {
        let mut slots = Slots::default();
        let moves = |slots: &mut Slots<Numbered>, to| {
            let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut count = 0;
            while slots.used() < to {
                let number = slots.used() as u64;
                let moved = slots.room(2000, |node| node.hash, || numbered(0, 0));
                count += usize::from(moved.is_some());
                let slot = slots.take(hash(number));
                slots.nodes[slot as usize] = numbered(hash(number), number);
            }
            count
        };
        assert!(moves(&mut slots, 2000) < 10);
        assert!(slots.nodes.len() < 2000 * 4 / 3 + 2 * CHUNK);
        assert!(moves(&mut slots, 20_000) < 15);
    }

    #[test]
    fn sixteen_bytes_tell_of_fifteen_slots() {
        assert_eq!(size_of::<Chunk>(), CHUNK + 1);
    }
}
