//! Finds the bytes that a JSON string has to escape, sixteen at a time.

use wide::u8x16;

/// Bytes looked at in one step.
pub(super) const BLOCK: usize = 16;

/// Bytes looked at in one step where most texts have nothing special.
pub(super) const STRIDE: usize = 4 * BLOCK;

/// All ones for each `"`, `\` and control character.
#[inline]
fn special(block: &[u8; BLOCK]) -> u8x16 {
    let bytes = u8x16::new(*block);
    // `"` becomes the lowest byte above the control characters, which stay among themselves.
    let turned = bytes ^ u8x16::splat(2);
    let low = turned.min(u8x16::splat(0x20)).cmp_eq(turned);
    low | bytes.cmp_eq(u8x16::splat(b'\\'))
}

/// The position of the first `"`, `\` or control character, [`BLOCK`] if there is none.
#[inline]
pub(super) fn first_special(block: &[u8; BLOCK]) -> usize {
    (special(block).move_mask() | 1 << BLOCK).trailing_zeros() as usize
}

/// Whether there is no such character in a stride.
#[inline]
pub(super) fn is_plain(stride: &[u8; STRIDE]) -> bool {
    let blocks = stride.as_chunks::<BLOCK>().0.iter();
    let found = blocks.fold(u8x16::splat(0), |found, block| found | special(block));
    found.move_mask() == 0
}

/// Which bytes of a stride are such characters, a bit for each.
#[inline]
pub(super) fn specials(stride: &[u8; STRIDE]) -> u64 {
    let blocks = stride.as_chunks::<BLOCK>().0.iter().rev();
    blocks.fold(0, |found, block| {
        found << BLOCK | u64::from(special(block).move_mask().unsigned_abs())
    })
}

/// Fewer than eight bytes, filled up to eight; without a loop over them.
#[inline]
pub(super) fn short_word(bytes: &[u8], fill: u8) -> [u8; 8] {
    let used = 8 * bytes.len();
    let word = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first))
                | u64::from(u32::from_le_bytes(*last)) << (used - 32)
        }
        (_, _, [a, rest @ ..]) => {
            let b = rest.first().map_or(0, |b| u64::from(*b) << 8);
            let c = rest.get(1).map_or(0, |c| u64::from(*c) << 16);
            u64::from(*a) | b | c
        }
        _ => 0,
    };
    let filling = (u64::MAX / 0xff * u64::from(fill))
        .checked_shl(u32::try_from(used).unwrap_or(64))
        .unwrap_or(0);
    (word | filling).to_le_bytes()
}

/// Whether a byte has to be escaped.
#[inline]
pub(super) const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                for around in [b' ', b'a', 0x7f, 0x80, 0xff] {
                    let mut block = [around; BLOCK];
                    block[place] = byte;
                    let want = if is_special(byte) { place } else { BLOCK };
                    assert_eq!(first_special(&block), want);
                    for at in 0..STRIDE / BLOCK {
                        let mut stride = [around; STRIDE];
                        stride[at * BLOCK + place] = byte;
                        assert_eq!(is_plain(&stride), !is_special(byte));
                        let want = u64::from(is_special(byte)) << (at * BLOCK + place);
                        assert_eq!(specials(&stride), want);
                    }
                    let len = place.min(7);
                    let mut padded = [b' '; 8];
                    padded[..len].copy_from_slice(&block[..len]);
                    assert_eq!(short_word(&block[..len], b' '), padded);
                }
            }
        }
    }
}
