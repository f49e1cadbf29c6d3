//! Which entry makes room: W-TinyLFU whose window follows a duel of shadow caches.

use super::{duel::Duel, list::Node, segments::Segments, sketch::Sketch};

/// The queues of the entries, how often keys are asked for, and who decides on the window.
#[derive(Debug, Default)]
pub(super) struct Policy {
    segments: Segments,
    sketch: Sketch,
    duel: Duel,
}

impl Policy {
    /// For about so many entries.
    pub(super) fn new(entries: usize) -> Self {
        let mut policy = Self::default();
        policy.duel.fit(entries);
        policy
    }

    fn request(&mut self, hash: u64) {
        self.sketch.add(hash);
        self.duel.request(hash, &self.sketch);
    }

    /// Notes that a held entry was asked for, or replaced.
    pub(super) fn touched<N: Node>(&mut self, slots: &mut [N], slot: u32, hash: u64) {
        self.request(hash);
        self.segments.touch(slots, slot);
    }

    /// Takes in an entry whose key was asked for and not held.
    pub(super) fn added<N: Node>(&mut self, slots: &mut [N], slot: u32, hash: u64) {
        self.segments.add(slots, slot);
        self.sketch.fit(self.segments.len());
        self.request(hash);
    }

    /// Changes to the new slots of what has moved.
    pub(super) fn follow(&mut self, moved: &[u32]) {
        self.segments.follow(moved);
    }

    pub(super) fn removed<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        self.segments.remove(slots, slot);
    }

    /// The slot to evict, which stays where it is; [`super::slots::NONE`] where there is none.
    pub(super) fn victim<N: Node>(&mut self, slots: &mut [N], hash: impl Fn(&N) -> u64) -> u32 {
        self.duel.evicts(self.segments.len());
        let sketch = &self.sketch;
        self.segments
            .victim(slots, self.duel.window(), |node| sketch.count(hash(node)))
    }
}
