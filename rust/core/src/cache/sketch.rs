//! How often a key was asked for lately, also one that is not held.

/// Sixteen counters of four bits in each word; together one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Block([u64; 8]);

/// Entries that share a block before there are twice as many.
const SHARED: usize = 8;
/// Times the entries: how many requests make lately.
const SAMPLE: usize = 16;
const HIGHEST: u64 = 15;

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
            blocks: vec![Block::default(); 2],
            entries: 0,
            requests: 0,
        }
    }
}

/// Where a key is counted in its block: four words and the bits in them.
///
/// The lowest bits of the hash pick the shard, so they are the same for all of its keys.
fn places(hash: u64) -> [(usize, u64); 4] {
    [0, 1, 2, 3].map(|row| {
        let bits = hash >> (4 + 5 * row);
        (2 * row + (bits & 1) as usize, (bits >> 1 & 15) * 4)
    })
}

/// The lowest of a key's counters: the others count other keys too.
fn least(block: &Block, places: [(usize, u64); 4]) -> u64 {
    let count = |(word, shift)| {
        block
            .0
            .get(word)
            .map_or(0, |word: &u64| word >> shift & HIGHEST)
    };
    places.into_iter().map(count).fold(HIGHEST, u64::min)
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
        let least = least(block, places);
        if least < HIGHEST {
            // Only the lowest rise; without a branch, as nobody could predict which.
            for (word, shift) in places {
                if let Some(word) = block.0.get_mut(word) {
                    *word += u64::from(*word >> shift & HIGHEST == least) << shift;
                }
            }
        }
        self.requests += 1;
        if self.requests >= SAMPLE * self.entries.max(1) {
            self.age();
        }
    }

    /// How often the key was asked for, up to 15.
    pub(super) fn count(&self, hash: u64) -> u64 {
        self.blocks
            .get(self.block(hash))
            .map_or(0, |block| least(block, places(hash)))
    }

    fn age(&mut self) {
        for word in self.blocks.iter_mut().flat_map(|block| &mut block.0) {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
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
            assert!(sketch.count(hash) >= n as u64 % 15);
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
