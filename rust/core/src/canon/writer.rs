//! Writes canonical JSON, into one buffer that grows or through a small one into SHA-256.

use std::cell::Cell;

use sha2::{Digest as _, Sha256};

use super::MAX_BYTES;
use super::number::{MAX_NUMBER, write_double};
use super::scan::{BLOCK, first_special, is_special, short_word};

/// Text is escaped in pieces of this many bytes, so that room is asked for once a piece.
const PIECE: usize = 2048;
/// An escape takes at most six bytes (`\u001f`), and a block is stored whole before its escapes are known.
const WIDEST: usize = 6;
/// Size of the buffer in front of the hash: it stays in the first-level cache.
const WINDOW: usize = 32 << 10;
/// A thread keeps its buffer for the next value when it is not larger than this.
const KEPT: usize = 256 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The canonical form would be longer than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A sink of canonical JSON. Its methods write one token each; the caller sees to commas and order.
pub struct Writer {
    /// Initialised throughout; the first `at` bytes are written.
    buffer: Vec<u8>,
    at: usize,
    /// Bytes that went on to the hash.
    passed: usize,
    hash: Option<Sha256>,
}

impl Writer {
    /// A writer that keeps what is written.
    #[must_use]
    pub fn growing() -> Self {
        Self {
            buffer: SCRATCH.take(),
            at: 0,
            passed: 0,
            hash: None,
        }
    }

    /// A writer that hashes what is written, after what `hash` has already seen.
    #[must_use]
    pub fn hashing(hash: Sha256) -> Self {
        let mut buffer = SCRATCH.take();
        if buffer.len() < WINDOW {
            buffer.resize(WINDOW, 0);
        }
        Self {
            buffer,
            at: 0,
            passed: 0,
            hash: Some(hash),
        }
    }

    /// What was written; of a hashing writer, what has not been hashed yet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.at).unwrap_or_default()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.passed + self.at
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of what was written, after what the hash had seen.
    #[must_use]
    pub fn digest(mut self) -> [u8; 32] {
        let mut hash = self.hash.take().unwrap_or_default();
        hash.update(self.as_bytes());
        hash.finalize().into()
    }

    /// Makes sure that `count` bytes fit behind the position.
    #[inline]
    fn room(&mut self, count: usize) -> Result<(), TooLong> {
        if self.buffer.len() - self.at >= count {
            Ok(())
        } else {
            self.make_room(count)
        }
    }

    #[cold]
    fn make_room(&mut self, count: usize) -> Result<(), TooLong> {
        if self.len() > MAX_BYTES {
            return Err(TooLong);
        }
        if let Some(hash) = &mut self.hash {
            hash.update(self.buffer.get(..self.at).unwrap_or_default());
            self.passed += self.at;
            self.at = 0;
        }
        let need = self.at + count;
        if need > self.buffer.len() {
            self.buffer
                .resize(need.max(2 * self.buffer.len()).max(4096), 0);
        }
        Ok(())
    }

    /// Checks the length once more, for what was written since the buffer was last full.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn finish(&self) -> Result<(), TooLong> {
        if self.len() > MAX_BYTES {
            Err(TooLong)
        } else {
            Ok(())
        }
    }

    /// Writes one byte of structure.
    ///
    /// # Errors
    /// [`TooLong`]
    #[inline]
    pub fn byte(&mut self, byte: u8) -> Result<(), TooLong> {
        self.room(1)?;
        if let Some(slot) = self.buffer.get_mut(self.at) {
            *slot = byte;
        }
        self.at += 1;
        Ok(())
    }

    /// Writes bytes that are canonical already.
    ///
    /// # Errors
    /// [`TooLong`]
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if bytes.len() > MAX_BYTES {
            return Err(TooLong);
        }
        if bytes.len() > WINDOW
            && let Some(hash) = &mut self.hash
        {
            hash.update(self.buffer.get(..self.at).unwrap_or_default());
            hash.update(bytes);
            self.passed += self.at + bytes.len();
            self.at = 0;
            return self.finish();
        }
        self.room(bytes.len())?;
        if let Some(to) = self.buffer.get_mut(self.at..self.at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.at += bytes.len();
        Ok(())
    }

    /// Writes a string with its quotes.
    ///
    /// # Errors
    /// [`TooLong`]
    #[inline]
    pub fn string(&mut self, text: &str) -> Result<(), TooLong> {
        self.quoted(text.as_bytes(), b"")
    }

    /// Writes the name of a member and the colon.
    ///
    /// # Errors
    /// [`TooLong`]
    #[inline]
    pub fn name(&mut self, name: &str) -> Result<(), TooLong> {
        self.quoted(name.as_bytes(), b":")
    }

    /// Most names and many strings are short and need no escape: these are written where they are asked for.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: a tenth of the time of a chat body"
    )]
    fn quoted(&mut self, text: &[u8], then: &[u8]) -> Result<(), TooLong> {
        let len = text.len();
        if len < BLOCK
            && let Some([quote, out @ ..]) = self.buffer.get_mut(self.at..)
            && out.len() >= 2 * BLOCK
            && copy_short(text, out)
            && let Some(end) = out.get_mut(len..len + 1 + then.len())
        {
            *quote = b'"';
            end.iter_mut()
                .zip(b"\":")
                .for_each(|(to, from)| *to = *from);
            self.at += len + 2 + then.len();
            return Ok(());
        }
        self.quoted_with_escapes(text, then)
    }

    #[inline(never)]
    fn quoted_with_escapes(&mut self, text: &[u8], then: &[u8]) -> Result<(), TooLong> {
        if text.len() > PIECE {
            return self.quoted_in_pieces(text, then);
        }
        self.room(WIDEST * text.len() + BLOCK + 3)?;
        if let Some([quote, out @ ..]) = self.buffer.get_mut(self.at..) {
            *quote = b'"';
            let len = escape(text, out);
            if let Some([quote, out @ ..]) = out.get_mut(len..) {
                *quote = b'"';
                out.iter_mut().zip(then).for_each(|(to, from)| *to = *from);
            }
            self.at += len + 2 + then.len();
        }
        Ok(())
    }

    fn quoted_in_pieces(&mut self, text: &[u8], then: &[u8]) -> Result<(), TooLong> {
        if text.len() > MAX_BYTES {
            return Err(TooLong);
        }
        self.byte(b'"')?;
        for piece in text.chunks(PIECE) {
            self.room(WIDEST * PIECE + BLOCK)?;
            if let Some(out) = self.buffer.get_mut(self.at..) {
                self.at += escape(piece, out);
            }
        }
        self.byte(b'"')?;
        self.raw(then)
    }

    /// Writes an integer of which [`exact_integer`](super::exact_integer) has said that a double holds it.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn integer(&mut self, value: i64) -> Result<(), TooLong> {
        if value.unsigned_abs() < 1 << 53 {
            self.raw(itoa::Buffer::new().format(value).as_bytes())
        } else {
            #[expect(clippy::cast_precision_loss, reason = "exact, says the caller")]
            self.number(value as f64)
        }
    }

    /// Writes a finite double.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn number(&mut self, value: f64) -> Result<(), TooLong> {
        self.room(MAX_NUMBER)?;
        if let Some(out) = self
            .buffer
            .get_mut(self.at..)
            .and_then(|out| out.first_chunk_mut())
        {
            self.at += write_double(value, out);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.buffer.len() <= KEPT {
            SCRATCH.set(std::mem::take(&mut self.buffer));
        }
    }
}

/// Copies `text` to `out` with its escapes and returns how many bytes that took.
///
/// `out` holds at least `WIDEST * text.len() + BLOCK` bytes. A block is stored whole, then what follows its first
/// special byte is overwritten: one branch a block instead of one a byte.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "`out` is as long as the caller says; a byte grows to WIDEST at most"
)]
fn escape(text: &[u8], out: &mut [u8]) -> usize {
    let mut rest = text;
    let mut at = 0;
    while let Some(block) = rest.first_chunk::<BLOCK>() {
        out[at..at + BLOCK].copy_from_slice(block);
        let clean = first_special(block);
        at += clean;
        if clean < BLOCK {
            at += escape_byte(block[clean], &mut out[at..]);
            rest = &rest[clean + 1..];
        } else {
            rest = &rest[BLOCK..];
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

/// Copies fewer than sixteen bytes, in two halves that overlap, unless one of them is special.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "`out` has a block's room, and the halves are within `text`"
)]
fn copy_short(text: &[u8], out: &mut [u8]) -> bool {
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
