//! Queues of slots, linked through what stands in the slots.

use super::slots::NONE;

/// Neighbours in a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    newer: u32,
    older: u32,
}

impl Links {
    pub(super) const NONE: Self = Self {
        newer: NONE,
        older: NONE,
    };
}

impl Links {
    /// Changes to the new slots of what has moved.
    pub(super) fn follow(&mut self, moved: &[u32]) {
        follow(&mut self.newer, moved);
        follow(&mut self.older, moved);
    }
}

fn follow(slot: &mut u32, moved: &[u32]) {
    *slot = moved.get(*slot as usize).copied().unwrap_or(NONE);
}

/// What can stand in a queue of the policy.
pub(super) trait Node {
    fn links(&mut self) -> &mut Links;
    /// Which of the policy's queues it stands in.
    fn queue(&self) -> u8;
    fn set_queue(&mut self, queue: u8);
}

/// A queue: slots enter at the new end and usually leave at the old one.
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
            len: 0,
        }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot at the old end, or [`NONE`].
    pub(super) fn oldest(&self) -> u32 {
        self.oldest
    }

    /// Changes to the new slots of what has moved; the links of the nodes have.
    pub(super) fn follow(&mut self, moved: &[u32]) {
        follow(&mut self.newest, moved);
        follow(&mut self.oldest, moved);
    }

    /// Puts a slot that is in no queue at the new end.
    pub(super) fn push<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        let Some(node) = at(slots, slot) else { return };
        *node.links() = Links {
            newer: NONE,
            older: self.newest,
        };
        match at(slots, self.newest) {
            Some(second) => second.links().newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes a slot of this queue out.
    pub(super) fn remove<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        let Some(node) = at(slots, slot) else { return };
        let Links { newer, older } = std::mem::replace(node.links(), Links::NONE);
        match at(slots, newer) {
            Some(node) => node.links().older = older,
            None => self.newest = older,
        }
        match at(slots, older) {
            Some(node) => node.links().newer = newer,
            None => self.oldest = newer,
        }
        self.len -= 1;
    }
}

/// What stands in a slot; None for [`NONE`].
pub(super) fn at<N>(slots: &mut [N], slot: u32) -> Option<&mut N> {
    slots.get_mut(slot as usize)
}
