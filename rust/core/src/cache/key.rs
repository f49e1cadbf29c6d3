//! What an entry is found by: 256 bits and the kind of key that they stand for.

use std::hash::{BuildHasher as _, RandomState};

use sha2::{Digest as _, Sha256};

/// What the 32 bytes of a [`Key`] are; keys of different kinds are never equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A 32-byte key as it came.
    Digest = 0,
    /// Text of at most 31 UTF-8 bytes: the bytes, zeros, the length.
    Short = 1,
    /// Text of 64 lower-case hexadecimal digits: the 32 bytes that they spell.
    Hex = 2,
    /// Any other text: its SHA-256.
    Hashed = 3,
}

/// A key of 32 bytes, or a text packed into as many.
///
/// Bytes, short texts and hexadecimal digests are kept whole and compared exactly. A longer text is its SHA-256, so
/// that two of them are equal only where SHA-256 collides. A text never equals a 32-byte key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) words: [u64; 4],
    pub(super) kind: Kind,
}

impl Key {
    /// The key of 32 bytes, usually a digest.
    #[must_use]
    #[inline]
    pub fn digest(bytes: &[u8; 32]) -> Self {
        Self::pack(bytes, Kind::Digest)
    }

    /// The key of a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let text = text.as_bytes();
        if let Some(bytes) = text.try_into().ok().and_then(unhex) {
            return Self::pack(&bytes, Kind::Hex);
        }
        let mut packed = [0; 32];
        if let (Some((length, room)), Ok(n)) = (packed.split_last_mut(), u8::try_from(text.len()))
            && let Some(room) = room.get_mut(..text.len())
        {
            room.copy_from_slice(text);
            *length = n;
            return Self::pack(&packed, Kind::Short);
        }
        Self::pack(&Sha256::digest(text).into(), Kind::Hashed)
    }

    #[inline]
    fn pack(bytes: &[u8; 32], kind: Kind) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Self { words, kind }
    }
}

/// The 32 bytes that 64 lower-case hexadecimal digits spell; None where they are anything else.
fn unhex(text: &[u8; 64]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut wrong = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = pair.map(nibble);
        wrong |= high | low;
        *byte = high << 4 | (low & 15);
    }
    (wrong < 16).then_some(bytes)
}

/// The value of a digit, 16 or more for what is none; without a branch, so that the loop vectorises.
fn nibble(digit: u8) -> u8 {
    let number = digit.wrapping_sub(b'0');
    let letter = digit.wrapping_sub(b'a');
    let number = if number < 10 { number } else { 255 };
    if letter < 6 { letter + 10 } else { number }
}

/// Spreads keys over shards and buckets with secrets, so that nobody who chooses the keys can choose the buckets.
///
/// A digest would do as its own hash. Not every 32-byte key is a digest, though (a counter padded with zeros is
/// none), so all four words enter, for three multiplications.
#[derive(Clone, Debug)]
pub(super) struct KeyHasher([u64; 5]);

impl KeyHasher {
    /// With secrets of this process.
    pub(super) fn random() -> Self {
        let state = RandomState::new();
        Self([0, 1, 2, 3, 4].map(|n: u64| state.hash_one(n)))
    }

    /// With given secrets: the same buckets, and so the same evictions, on each run.
    pub(super) fn seeded(seed: u64) -> Self {
        Self([1, 2, 3, 4, 5].map(|n: u64| {
            fold(
                seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                0xd6e8_feb8_6659_fd93,
            )
        }))
    }

    #[inline]
    pub(super) fn hash(&self, key: &Key) -> u64 {
        let [first, second, third, fourth] = key.words;
        let [s0, s1, s2, s3, s4] = self.0;
        let low = fold(first ^ s0, second ^ s1);
        let high = fold(third ^ s2, fourth ^ s3);
        fold(low ^ s4, high ^ s0.rotate_left(key.kind as u32 + 1))
    }
}

/// The two halves of a 128-bit product, folded together.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves are what is wanted"
    )]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes_never_meet() {
        let hex = "0123456789abcdef".repeat(4);
        let bytes: [u8; 32] = unhex(hex.as_bytes().try_into().unwrap()).unwrap();
        assert_ne!(Key::text(&hex), Key::digest(&bytes));
        assert_ne!(Key::text(&hex), Key::text(&hex.to_uppercase()));
        assert_ne!(Key::text(""), Key::text("\0"));
        assert_ne!(Key::text("a"), Key::text("a\0"));
        let long = "x".repeat(40);
        assert_ne!(Key::text(&long), Key::digest(&Sha256::digest(&long).into()));
    }

    #[test]
    fn only_lower_case_hex_is_decoded() {
        for bad in ["g", "G", "A", "/", ":", "`", " ", "\u{7f}"] {
            let text = format!("{bad}{}", "0".repeat(63));
            assert_eq!(Key::text(&text).kind, Kind::Hashed, "{bad}");
        }
        assert_eq!(Key::text(&"f".repeat(64)).words, [u64::MAX; 4]);
    }

    #[test]
    fn the_border_between_short_and_hashed_is_31_bytes() {
        assert_eq!(Key::text(&"é".repeat(15)).kind, Kind::Short);
        assert_eq!(Key::text(&"x".repeat(31)).kind, Kind::Short);
        assert_eq!(Key::text(&"é".repeat(16)).kind, Kind::Hashed);
    }

    #[test]
    fn keys_that_differ_in_one_byte_anywhere_spread() {
        let hasher = KeyHasher::seeded(7);
        let mut tops = std::collections::HashSet::new();
        for place in 0..32 {
            for value in 0..=255 {
                let mut bytes = [0; 32];
                bytes[place] = value;
                tops.insert(hasher.hash(&Key::digest(&bytes)) >> 32);
            }
        }
        assert!(tops.len() > 32 * 255 - 8, "{}", tops.len());
    }
}
