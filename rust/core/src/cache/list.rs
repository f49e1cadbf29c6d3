//! Queues of slots, linked through their entries.

use super::{
    entry::{Entry, Links},
    index::NONE,
};

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

    pub(super) fn oldest(&self) -> u32 {
        self.oldest
    }

    /// Puts a slot that is in no queue at the new end.
    pub(super) fn push<V>(&mut self, slots: &mut [Entry<V>], slot: u32) {
        let Some(entry) = at(slots, slot) else { return };
        entry.links = Links {
            newer: NONE,
            older: self.newest,
        };
        match at(slots, self.newest) {
            Some(second) => second.links.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
        self.len += 1;
    }

    /// Takes a slot of this queue out.
    pub(super) fn remove<V>(&mut self, slots: &mut [Entry<V>], slot: u32) {
        let Some(entry) = at(slots, slot) else { return };
        let Links { newer, older } = std::mem::replace(&mut entry.links, Links::NONE);
        match at(slots, newer) {
            Some(entry) => entry.links.older = older,
            None => self.newest = older,
        }
        match at(slots, older) {
            Some(entry) => entry.links.newer = newer,
            None => self.oldest = newer,
        }
        self.len -= 1;
    }
}

/// The entry of a slot; None for [`NONE`].
pub(super) fn at<V>(slots: &mut [Entry<V>], slot: u32) -> Option<&mut Entry<V>> {
    slots.get_mut(slot as usize)
}
