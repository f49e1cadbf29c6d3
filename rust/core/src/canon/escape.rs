//! Copies text and escapes what a JSON string may not hold.

use super::scan::{BLOCK, STRIDE, first_special, is_plain, is_special, short_word, specials};

/// An escape takes at most six bytes (`\u001f`), and a block is stored whole before its escapes are known.
pub(super) const WIDEST: usize = 6;

/// Copies `text` to `out` with its escapes and returns how many bytes that took.
///
/// `out` holds at least `WIDEST * text.len() + BLOCK` bytes. A block is stored whole, then what follows its first
/// special byte is overwritten: one branch a block instead of one a byte.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "`out` is as long as the caller says; a byte grows to WIDEST at most"
)]
pub(super) fn escape(text: &[u8], out: &mut [u8]) -> usize {
    let (read, mut at) = escape_strides(text, out);
    let mut rest = &text[read..];
    while let Some(block) = rest.first_chunk::<BLOCK>() {
        out[at..at + BLOCK].copy_from_slice(block);
        let clean = first_special(block);
        at += clean;
        if clean == BLOCK {
            rest = &rest[BLOCK..];
        } else {
            at += escape_byte(rest[clean], &mut out[at..]);
            rest = &rest[clean + 1..];
        }
    }
    if copy_short(rest, &mut out[at..]) {
        return at + rest.len();
    }
    for &byte in rest {
        if is_special(byte) {
            at += escape_byte(byte, &mut out[at..]);
        } else {
            out[at] = byte;
            at += 1;
        }
    }
    at
}

/// [`escape`] without the end of the text, which is shorter than a stride; returns how many bytes it read and wrote.
#[inline]
#[expect(clippy::indexing_slicing, reason = "as for `escape`")]
pub(super) fn escape_strides(text: &[u8], out: &mut [u8]) -> (usize, usize) {
    let (mut read, mut at) = (0, 0);
    while let Some(stride) = text[read..].first_chunk::<STRIDE>() {
        out[at..at + STRIDE].copy_from_slice(stride);
        if is_plain(stride) {
            at += STRIDE;
            read += STRIDE;
            continue;
        }
        let (mut found, mut from) = (specials(stride), 0);
        while found != 0 {
            let place = found.trailing_zeros() as usize;
            at += place - from;
            at += escape_byte(stride[place], &mut out[at..]);
            from = place + 1;
            // What follows is stored anew, as far as a stride reaches: fewer branches than storing what is needed.
            let Some(next) = text[read + from..].first_chunk::<STRIDE>() else {
                return (read + from, at);
            };
            out[at..at + STRIDE].copy_from_slice(next);
            found &= found - 1;
        }
        at += STRIDE - from;
        read += STRIDE;
    }
    (read, at)
}

/// Copies fewer than sixteen bytes, in two halves that overlap, unless one of them is special.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "`out` has a block's room, and the halves are within `text`"
)]
pub(super) fn copy_short(text: &[u8], out: &mut [u8]) -> bool {
    let len = text.len();
    // Put together in registers: a block stored in halves and loaded whole would stall.
    let block = if let (Some(low), Some(high)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        out[..8].copy_from_slice(low);
        out[len - 8..len].copy_from_slice(high);
        u128::from(u64::from_le_bytes(*low)) | u128::from(u64::from_le_bytes(*high)) << 64
    } else {
        let word = short_word(text, b' ');
        out[..8].copy_from_slice(&word);
        u128::from(u64::from_le_bytes(word)) | u128::from(u64::from_le_bytes([b' '; 8])) << 64
    };
    first_special(&block.to_le_bytes()) == BLOCK
}

/// The escape of each special byte, padded, and its length.
#[expect(clippy::indexing_slicing, reason = "computed by the compiler")]
const ESCAPES: [([u8; 8], usize); 0x5d] = {
    let mut table = [([0; 8], 0); 0x5d];
    let mut byte = 0;
    while byte < 0x20 {
        let digits = b"0123456789abcdef";
        table[byte] = (
            [
                b'\\',
                b'u',
                b'0',
                b'0',
                digits[byte >> 4],
                digits[byte & 15],
                0,
                0,
            ],
            6,
        );
        byte += 1;
    }
    let short = [
        (8, b'b'),
        (9, b't'),
        (10, b'n'),
        (12, b'f'),
        (13, b'r'),
        (0x22, b'"'),
        (0x5c, b'\\'),
    ];
    let mut i = 0;
    while i < short.len() {
        table[short[i].0] = ([b'\\', short[i].1, 0, 0, 0, 0, 0, 0], 2);
        i += 1;
    }
    table
};

#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "special bytes are below 0x5d, and `out` has a block's room"
)]
fn escape_byte(byte: u8, out: &mut [u8]) -> usize {
    let (escape, len) = &ESCAPES[usize::from(byte)];
    out[..8].copy_from_slice(escape);
    *len
}
