//! One slot of a shard: exactly a cache line.

use super::{
    Key,
    clock::{END, Millis},
    key::Kind,
    list::{Links, Node},
};

/// A number below 2^48 in six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct U48([u16; 3]);

impl U48 {
    const MAX: u64 = (1 << 48) - 1;

    /// Numbers that are too large become the largest.
    fn new(number: u64) -> Self {
        let number = number.min(Self::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "each part is what is left of 16 bits"
        )]
        let parts = [0, 16, 32].map(|shift| (number >> shift) as u16);
        Self(parts)
    }

    fn get(self) -> u64 {
        let [low, middle, high] = self.0.map(u64::from);
        low | middle << 16 | high << 32
    }
}

/// The largest size of one entry, in bytes: 256 TiB.
pub(super) const MAX_SIZE: u64 = U48::MAX;

/// A key, its value and all that is known about them, together, so that a hit touches one line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Entry<V> {
    words: [u64; 4],
    /// None where the slot is free.
    pub(super) value: Option<V>,
    links: Links,
    expires: U48,
    size: U48,
    kind: Kind,
    queue: u8,
}

impl<V> Entry<V> {
    pub(super) fn new(key: &Key, value: V, expires: Millis, size: u64) -> Self {
        let Key { words, kind } = *key;
        let (expires, size) = (U48::new(expires), U48::new(size));
        Self {
            words,
            value: Some(value),
            links: Links::NONE,
            expires,
            size,
            kind,
            queue: 0,
        }
    }

    /// A slot without an entry.
    pub(super) fn free() -> Self {
        Self {
            words: [0; 4],
            value: None,
            links: Links::NONE,
            expires: U48([0; 3]),
            size: U48([0; 3]),
            kind: Kind::Digest,
            queue: 0,
        }
    }

    pub(super) fn key(&self) -> Key {
        Key {
            words: self.words,
            kind: self.kind,
        }
    }

    /// Whether it is the entry of a key. Bit by bit and at once: a comparison of arrays would go through memory.
    #[inline]
    pub(super) fn has(&self, key: &Key) -> bool {
        let differs = self
            .words
            .iter()
            .zip(key.words)
            .fold(0, |differs, (mine, other)| differs | mine ^ other);
        differs == 0 && self.kind == key.kind
    }

    /// The moment from which it is no longer served; [`Millis::MAX`] where there is none.
    pub(super) fn expires(&self) -> Millis {
        let expires = self.expires.get();
        if expires == END { Millis::MAX } else { expires }
    }

    pub(super) fn size(&self) -> u64 {
        self.size.get()
    }

    /// Puts another value in its place and returns the old one.
    pub(super) fn replace(&mut self, value: V, expires: Millis, size: u64) -> Option<V> {
        self.expires = U48::new(expires);
        self.size = U48::new(size);
        self.value.replace(value)
    }
}

impl<V> Node for Entry<V> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_a_pointer_is_one_cache_line() {
        assert_eq!(size_of::<Entry<Box<u8>>>(), 64);
    }

    #[test]
    fn expiry_and_size_survive_their_packing() {
        for number in [0, 1, 0xffff, 0x1_0000, 0x1234_5678_9abc, U48::MAX] {
            assert_eq!(U48::new(number).get(), number);
        }
        assert_eq!(
            Entry::new(&Key::text(""), (), Millis::MAX, 0).expires(),
            Millis::MAX
        );
    }
}
