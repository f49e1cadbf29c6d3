//! Small shadow caches compete to set the window of the real one.
//!
//! Each shadow is the real policy with another window, holds no values, and sees a sample of the keys in
//! proportion to its size, which predicts hit ratios well (Waldspurger, Saemundsson, Ahmad, Park: Cache Modeling and
//! Optimization using Miniature Simulations, USENIX ATC 2017).

use super::{
    list::{Links, Node, at},
    segments::Segments,
    sketch::Sketch,
    slots::{NONE, Slots},
};

/// Shares of the window, in thousandths.
const WINDOWS: [usize; 4] = [10, 200, 600, 1000];
/// Entries of a shadow, at most.
const ENTRIES: usize = 128;
/// Requests that a shadow sees between two judgements, at least.
const FEWEST: u32 = 16;
/// What a judgement still counts for at the next one.
const MEMORY: f32 = 0.9;
/// How much larger another shadow's hit ratio must be to win.
const MARGIN: f32 = 0.01;

#[derive(Debug)]
struct Ghost {
    hash: u64,
    links: Links,
    queue: u8,
}

impl Ghost {
    fn new(hash: u64) -> Self {
        Self {
            hash,
            links: Links::NONE,
            queue: 0,
        }
    }
}

impl Node for Ghost {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    fn queue(&self) -> u8 {
        self.queue
    }

    fn set_queue(&mut self, queue: u8) {
        self.queue = queue;
    }
}

#[derive(Debug, Default)]
struct Shadow {
    ghosts: Slots<Ghost>,
    segments: Segments,
    hits: f32,
}

impl Shadow {
    fn request(&mut self, hash: u64, entries: usize, window: usize, sketch: &Sketch) {
        let found = self.ghosts.find(hash, |ghost| ghost.hash == hash);
        if found != NONE {
            self.hits += 1.0;
            self.segments.touch(&mut self.ghosts.nodes, found);
            return;
        }
        if self.ghosts.used() < entries {
            let moved = self
                .ghosts
                .room(entries, |ghost| ghost.hash, || Ghost::new(0));
            if let Some(moved) = moved {
                self.segments.follow(&moved);
            }
        } else {
            let nodes = &mut self.ghosts.nodes;
            let count = |ghost: &Ghost| sketch.count(ghost.hash);
            let victim = self.segments.victim(nodes, window, count);
            self.segments.remove(nodes, victim);
            if let Some(&Ghost { hash, .. }) = nodes.get(victim as usize) {
                self.ghosts.free(hash, victim);
            }
        }
        let slot = self.ghosts.take(hash);
        if let Some(place) = at(&mut self.ghosts.nodes, slot) {
            *place = Ghost::new(hash);
        }
        self.segments.add(&mut self.ghosts.nodes, slot);
    }
}

/// The shadows, and which of them the real cache follows.
#[derive(Debug, Default)]
pub(super) struct Duel {
    shadows: [Shadow; WINDOWS.len()],
    /// Which window is in force; LRU where nothing is known.
    ahead: Option<usize>,
    /// Whether the cache evicts: until then all windows do equally well.
    evicts: bool,
    /// Entries of the real cache that the shadows stand for.
    size: usize,
    shift: u32,
    requests: u32,
    weight: f32,
}

impl Duel {
    /// The window's share of the cache in thousandths.
    pub(super) fn window(&self) -> usize {
        let [.., last] = WINDOWS;
        self.ahead
            .and_then(|ahead| WINDOWS.get(ahead))
            .copied()
            .unwrap_or(last)
    }

    /// Makes shadows for a cache of about so many entries.
    pub(super) fn fit(&mut self, size: usize) {
        let shift = (size / ENTRIES).checked_ilog2().map_or(0, |log| log + 1);
        *self = Self {
            size,
            shift,
            ahead: self.ahead,
            evicts: self.evicts,
            ..Self::default()
        };
    }

    /// Notes that the cache evicts, and how many entries it holds then.
    pub(super) fn evicts(&mut self, size: usize) {
        if size < self.size - self.size / 4 || size > self.size + self.size / 4 {
            self.fit(size);
        }
        if !self.evicts {
            self.evicts = true;
            for shadow in &mut self.shadows {
                shadow.hits = 0.0;
            }
        }
    }

    /// Notes a request, hit or not.
    pub(super) fn request(&mut self, hash: u64, sketch: &Sketch) {
        // Lower bits pick shards and counters, higher ones buckets.
        if (hash >> 32) & ((1 << self.shift) - 1) != 0 {
            return;
        }
        let entries = (self.size >> self.shift).max(1);
        for (shadow, window) in self.shadows.iter_mut().zip(WINDOWS) {
            shadow.request(hash, entries, window, sketch);
        }
        self.requests += u32::from(self.evicts);
        if self.requests >= FEWEST.max(u32::try_from(entries).unwrap_or(u32::MAX)) {
            self.judge();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    fn judge(&mut self) {
        self.weight += self.requests as f32;
        self.requests = 0;
        let score = |at: usize| self.shadows.get(at).map_or(0.0, |shadow| shadow.hits);
        // Where nothing is known, and among equals, the smaller window is the better bet.
        let ahead = self.ahead.unwrap_or(0);
        let best = (0..WINDOWS.len())
            .rev()
            .max_by(|&a, &b| score(a).total_cmp(&score(b)))
            .unwrap_or(0);
        let worth = score(best) > score(ahead) + MARGIN * self.weight;
        self.ahead = Some(if worth { best } else { ahead });
        self.weight *= MEMORY;
        for shadow in &mut self.shadows {
            shadow.hits *= MEMORY;
        }
    }
}
