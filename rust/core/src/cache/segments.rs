//! Window, probation and protected: the queues of W-TinyLFU, whose one parameter is the share of the window.
//!
//! Einziger, Friedman, Manes: `TinyLFU`, A Highly Efficient Cache Admission Policy (ACM Transactions on Storage, 2017).
//! With the window at a hundredth this is nearly LFU; with all of the cache it is LRU.

use super::{
    list::{List, Node, at},
    slots::NONE,
};

const WINDOW: u8 = 0;
const PROBATION: u8 = 1;
const PROTECTED: u8 = 2;

/// Entries that one eviction may move from a window that is too large.
const MOVES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Segments {
    window: List,
    probation: List,
    protected: List,
    most_protected: usize,
}

impl Segments {
    fn list(&mut self, queue: u8) -> &mut List {
        match queue {
            WINDOW => &mut self.window,
            PROBATION => &mut self.probation,
            _ => &mut self.protected,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    /// Changes to the new slots of what has moved.
    pub(super) fn follow(&mut self, moved: &[u32]) {
        for list in [&mut self.window, &mut self.probation, &mut self.protected] {
            list.follow(moved);
        }
    }

    /// Takes in a slot that is new.
    pub(super) fn add<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        if let Some(node) = at(slots, slot) {
            node.set_queue(WINDOW);
            self.window.push(slots, slot);
        }
    }

    pub(super) fn remove<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        if let Some(node) = at(slots, slot) {
            let queue = node.queue();
            self.list(queue).remove(slots, slot);
        }
    }

    /// Notes that a slot was used.
    pub(super) fn touch<N: Node>(&mut self, slots: &mut [N], slot: u32) {
        let Some(node) = at(slots, slot) else { return };
        if node.queue() == WINDOW {
            self.shift(slots, slot, WINDOW);
            return;
        }
        self.shift(slots, slot, PROTECTED);
        if self.protected.len() > self.most_protected {
            self.shift(slots, self.protected.oldest(), PROBATION);
        }
    }

    /// Moves a slot to the new end of a queue.
    fn shift<N: Node>(&mut self, slots: &mut [N], slot: u32, queue: u8) {
        self.remove(slots, slot);
        if let Some(node) = at(slots, slot) {
            node.set_queue(queue);
            self.list(queue).push(slots, slot);
        }
    }

    /// The slot to evict for a new one, which stays where it is; [`NONE`] where there is none.
    ///
    /// `window` is the window's share in thousandths; `frequency` tells how often a slot was asked for lately.
    pub(super) fn victim<N: Node>(
        &mut self,
        slots: &mut [N],
        window: usize,
        frequency: impl Fn(&N) -> u64,
    ) -> u32 {
        let len = self.len();
        let most_window = (len * window / 1000).max(1);
        let most_main = len.saturating_sub(most_window);
        self.most_protected = most_main * 4 / 5;
        for _ in 0..MOVES {
            if self.window.len() < most_window
                || self.probation.len() + self.protected.len() >= most_main
            {
                break;
            }
            self.shift(slots, self.window.oldest(), PROBATION);
        }
        let candidate = self.window.oldest();
        let victim = if self.probation.len() > 0 {
            self.probation.oldest()
        } else {
            self.protected.oldest()
        };
        if victim == NONE {
            return candidate;
        }
        if self.window.len() < most_window {
            return victim;
        }
        let count = |slot: u32| slots.get(slot as usize).map_or(0, &frequency);
        // Ageing alone makes equals differ by one: without the margin, a loop would wash through the cache.
        if count(candidate) > count(victim) + 1 {
            self.shift(slots, candidate, PROBATION);
            return victim;
        }
        candidate
    }
}
