//! How often a key was asked for lately, also one that is not held.

/// Counters of a block: one cache line.
const COUNTERS: usize = 128;
/// Entries that share a block before there are twice as many.
const SHARED: usize = 8;
/// Times the entries: how many requests make lately.
const SAMPLE: usize = 16;
const HIGHEST: u8 = 15;

type Block = [u8; COUNTERS / 2];

/// A count-min sketch of four-bit counters, four to a key, all in one block, that halves itself now and then.
#[derive(Debug)]
pub(super) struct Sketch {
    blocks: Vec<Block>,
    entries: usize,
    requests: usize,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            blocks: vec![[0; _]; 2],
            entries: 0,
            requests: 0,
        }
    }
}

/// Where a key is counted in its block; the lowest bits, which pick the shard, are the same for all of its keys.
fn places(hash: u64) -> [u64; 4] {
    [4, 11, 18, 25].map(|shift| hash >> shift & (COUNTERS as u64 - 1))
}

fn counter(block: &Block, place: u64) -> u8 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below the number of counters"
    )]
    let pair = block.get(place as usize / 2).copied().unwrap_or(0);
    pair >> (place % 2 * 4) & HIGHEST
}

impl Sketch {
    fn block(&self, hash: u64) -> usize {
        let product = u128::from(hash) * self.blocks.len() as u128;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below the number of blocks"
        )]
        let block = (product >> 64) as usize;
        block
    }

    /// Counts a request.
    pub(super) fn add(&mut self, hash: u64) {
        let at = self.block(hash);
        let Some(block) = self.blocks.get_mut(at) else {
            return;
        };
        let places = places(hash);
        let least = places
            .map(|place| counter(block, place))
            .into_iter()
            .min()
            .unwrap_or(0);
        if least < HIGHEST {
            // Only the lowest counters rise: the others count other keys too.
            for place in places {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "below the number of counters"
                )]
                if counter(block, place) == least
                    && let Some(pair) = block.get_mut(place as usize / 2)
                {
                    *pair += 1 << (place % 2 * 4);
                }
            }
        }
        self.requests += 1;
        if self.requests >= SAMPLE * self.entries.max(1) {
            self.age();
        }
    }

    /// How often the key was asked for, up to 15.
    pub(super) fn count(&self, hash: u64) -> u8 {
        let Some(block) = self.blocks.get(self.block(hash)) else {
            return 0;
        };
        places(hash)
            .map(|place| counter(block, place))
            .into_iter()
            .min()
            .unwrap_or(0)
    }

    fn age(&mut self) {
        for pair in self.blocks.as_flattened_mut() {
            *pair = *pair >> 1 & 0x77;
        }
        self.requests /= 2;
    }

    /// Makes room for counting beside so many entries.
    pub(super) fn fit(&mut self, entries: usize) {
        self.entries = self.entries.max(entries);
        while self.blocks.len() * SHARED < entries {
            // A key's block is a share of their number, so the keys of each block go on in its two copies.
            self.blocks = self
                .blocks
                .iter()
                .flat_map(|&block| [block, block])
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::key::{Key, KeyHasher},
        *,
    };

    /// Hashes as good as random ones.
    fn hashes() -> impl Iterator<Item = u64> {
        let hasher = KeyHasher::seeded(1);
        (0u64..).map(move |n| hasher.hash(&Key::text(&n.to_string())))
    }

    #[test]
    fn counts_are_never_too_low_and_survive_growth() {
        let mut sketch = Sketch::default();
        sketch.fit(100);
        for (n, hash) in hashes().take(60).enumerate() {
            (0..n % 15).for_each(|_| sketch.add(hash));
        }
        sketch.fit(1000);
        for (n, hash) in hashes().take(60).enumerate() {
            assert!(usize::from(sketch.count(hash)) >= n % 15);
        }
        let fresh = hashes()
            .skip(60)
            .take(1000)
            .filter(|&hash| sketch.count(hash) > 1)
            .count();
        assert!(fresh < 20, "{fresh} of 1000 keys that were never seen");
    }

    #[test]
    fn counts_saturate_and_fade() {
        let mut sketch = Sketch::default();
        sketch.fit(10);
        (0..40).for_each(|_| sketch.add(1));
        assert_eq!(sketch.count(1), 15);
        for hash in hashes().skip(100).take(600) {
            sketch.add(hash);
        }
        assert!(sketch.count(1) < 4);
    }
}
