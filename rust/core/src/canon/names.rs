//! The order of member names: by UTF-16 code units (RFC 8785, section 3.2.3), decided on UTF-8.
//!
//! UTF-8 orders by code point. UTF-16 differs in one place: characters beyond U+FFFF are surrogate pairs
//! there (D800 to DFFF) and so come before U+E000 to U+FFFF. In UTF-8 the former begin with F0 to F4, the
//! latter with EE or EF; no other byte reaches EE. Ranking EE and EF above F4 gives the order of UTF-16.

use std::cmp::Ordering;

use super::scan::short_word;

const fn rank(byte: u8) -> u8 {
    match byte {
        0xEE | 0xEF => byte + 0x10,
        0xF0.. => byte - 2,
        _ => byte,
    }
}

/// Compares two names by their UTF-16 code units.
#[must_use]
pub fn utf16_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((&x, &y)) => rank(x).cmp(&rank(y)),
        None => a.len().cmp(&b.len()),
    }
}

/// The first bytes of a name as a number: where two differ, they are in the order of the names.
#[must_use]
#[inline]
pub fn prefix(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let first = bytes
        .first_chunk()
        .copied()
        .unwrap_or_else(|| short_word(bytes, 0));
    if first.is_ascii() {
        u64::from_be_bytes(first)
    } else {
        u64::from_be_bytes(first.map(rank))
    }
}
