//! Which entry makes room: the least recently used, roughly.

use super::{
    entry::Entry,
    list::{List, at},
    sync::{AtomicU32, Ordering},
};

/// Set by a hit, cleared when the entry is passed over for it.
const USED: u32 = 1 << 2;

/// A clock: a hit only marks its entry, which then survives its next turn.
#[derive(Debug, Default)]
pub(super) struct Policy {
    queue: List,
}

/// Notes a hit; runs under the shared lock, beside other hits.
pub(super) fn touch(marks: &AtomicU32) {
    let old = marks.load(Ordering::Relaxed);
    if old & USED == 0 {
        marks.store(old | USED, Ordering::Relaxed);
    }
}

impl Policy {
    pub(super) fn added<V>(&mut self, slots: &mut [Entry<V>], slot: u32) {
        self.queue.push(slots, slot);
    }

    pub(super) fn removed<V>(&mut self, slots: &mut [Entry<V>], slot: u32) {
        self.queue.remove(slots, slot);
    }

    /// The slot to evict, which stays where it is; [`super::index::NONE`] where there is none.
    pub(super) fn victim<V>(&mut self, slots: &mut [Entry<V>]) -> u32 {
        for _ in 0..self.queue.len() {
            let slot = self.queue.oldest();
            let Some(entry) = at(slots, slot) else { break };
            let old = entry.marks.load(Ordering::Relaxed);
            if old & USED == 0 {
                break;
            }
            entry.marks.store(old & !USED, Ordering::Relaxed);
            self.queue.remove(slots, slot);
            self.queue.push(slots, slot);
        }
        self.queue.oldest()
    }
}
