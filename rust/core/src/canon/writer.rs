//! Writes canonical JSON, into one buffer that grows or through a small one into SHA-256.

use std::cell::Cell;
use std::mem;

use sha2::{Digest as _, Sha256};

use super::MAX_BYTES;
use super::escape::{WIDEST, copy_short, escape, escape_strides};
use super::number::{MAX_NUMBER, write_double};
use super::scan::{BLOCK, STRIDE};
use crate::pool::{Fit, Pool};

/// Text is escaped in pieces of this many bytes, so that room is asked for once a piece.
const PIECE: usize = 2048;
/// A hashing writer hashes so many bytes as soon as it has them, and writes strings in such pieces. SHA-256 waits for its
/// own results most of the time: the processor writes on meanwhile, as long as both fit into what it looks ahead.
const STEP: usize = 2 * SHA_BLOCK;
/// The newest bytes are left for later: reading what has just been stored in other widths would wait for the stores.
const LAG: usize = 3 * SHA_BLOCK;
const SHA_BLOCK: usize = 64;
/// Size of the buffer in front of the hash: it stays in the first-level cache.
const WINDOW: usize = 32 << 10;
/// A buffer that is not larger stays with its thread, as long as that lives, so that small values need no lock.
const KEPT: usize = 2 * WINDOW;

/// A buffer on loan from the pool.
struct Loan(Cell<Vec<u8>>);

impl Loan {
    fn take(&self) -> Option<Vec<u8>> {
        let buffer = self.0.take();
        (buffer.capacity() > 0).then_some(buffer)
    }

    /// Puts a buffer in, and gives back the one that was there or the other, if there is one too many.
    fn put(&self, buffer: Vec<u8>) {
        if let Some(other) = self.take() {
            Pool::shared().give_back(other);
        }
        self.0.set(buffer);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(buffer) = self.take() {
            Pool::shared().give_back(buffer);
        }
    }
}

thread_local! {
    static AT_HAND: Loan = const { Loan(Cell::new(Vec::new())) };
}

/// A buffer of at least [`KEPT`] bytes.
fn take() -> Vec<u8> {
    // At the end of a thread there may be none at hand any more.
    AT_HAND
        .try_with(Loan::take)
        .ok()
        .flatten()
        .unwrap_or_else(|| Pool::shared().lend(KEPT, Fit::Exact))
}

fn give(buffer: Vec<u8>) {
    let mut buffer = Some(buffer);
    if buffer.as_ref().is_some_and(|it| it.capacity() <= KEPT) {
        let _ = AT_HAND.try_with(|loan| buffer.take().map(|it| loan.put(it)));
    }
    if let Some(buffer) = buffer {
        Pool::shared().give_back(buffer);
    }
}

/// The canonical form would be longer than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// A sink of canonical JSON. Its methods write one token each; the caller sees to commas and order.
pub struct Writer {
    /// Initialised throughout; the first `at` bytes are written.
    buffer: Vec<u8>,
    at: usize,
    /// Bytes that have left the buffer.
    passed: usize,
    /// Bytes in front that are no part of the value.
    prefix: usize,
    hash: Option<Sha256>,
    /// The bytes before are hashed.
    from: usize,
    /// Where it is time to hash more.
    next: usize,
}

impl Writer {
    /// A writer that keeps what is written.
    #[must_use]
    pub fn growing() -> Self {
        Self {
            buffer: take(),
            at: 0,
            passed: 0,
            hash: None,
            from: 0,
            next: usize::MAX,
            prefix: 0,
        }
    }

    /// A writer that hashes what is written, after a prefix.
    #[must_use]
    pub fn hashing(prefix: &[u8]) -> Self {
        let mut buffer = take();
        let mut hash = Sha256::new();
        let (whole, rest) = prefix.as_chunks::<SHA_BLOCK>();
        hash.update(whole.as_flattened());
        if let Some(to) = buffer.get_mut(..rest.len()) {
            to.copy_from_slice(rest);
        }
        Self {
            buffer,
            at: rest.len(),
            passed: 0,
            prefix: rest.len(),
            hash: Some(hash),
            from: 0,
            next: STEP + LAG,
        }
    }

    #[inline]
    fn hash_if_due(&mut self) {
        if self.at >= self.next {
            self.pass();
        }
    }

    /// Hashes what is due, in whole blocks.
    #[inline(never)]
    fn pass(&mut self) {
        if let Some(hash) = &mut self.hash {
            let ready = (self.at - self.from).saturating_sub(LAG);
            let upto = self.from + ready - ready % SHA_BLOCK;
            hash.update(self.buffer.get(self.from..upto).unwrap_or_default());
            self.from = upto;
            self.next = upto + STEP + LAG;
        }
    }

    /// What was written; of a hashing writer, what has not been hashed yet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(self.from..self.at).unwrap_or_default()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.passed + self.at - self.prefix
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
        if self.hash.is_some() {
            self.pass();
            self.buffer.copy_within(self.from..self.at, 0);
            self.passed += self.from;
            self.at -= self.from;
            self.from = 0;
            self.next = STEP + LAG;
        }
        let need = self.at + count;
        if need > self.buffer.capacity() {
            let mut larger = Pool::shared().lend(need.max(4 * self.buffer.len()), Fit::Largest);
            if let (Some(to), Some(from)) = (larger.get_mut(..self.at), self.buffer.get(..self.at))
            {
                to.copy_from_slice(from);
            }
            Pool::shared().give_back(mem::replace(&mut self.buffer, larger));
        } else if need > self.buffer.len() {
            let len = need.max(2 * self.buffer.len());
            self.buffer.resize(len.min(self.buffer.capacity()), 0);
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
            hash.update(self.buffer.get(self.from..self.at).unwrap_or_default());
            hash.update(bytes);
            self.passed += self.at + bytes.len();
            (self.at, self.from, self.next) = (0, 0, STEP + LAG);
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
            self.hash_if_due();
            return Ok(());
        }
        self.quoted_with_escapes(text, then)
    }

    #[inline(never)]
    fn quoted_with_escapes(&mut self, text: &[u8], then: &[u8]) -> Result<(), TooLong> {
        if text.len() > self.piece() {
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
            self.hash_if_due();
        }
        Ok(())
    }

    /// What is read at once of a string, all but the end of it in whole strides.
    fn piece(&self) -> usize {
        if self.hash.is_some() {
            STEP + STRIDE
        } else {
            PIECE
        }
    }

    fn quoted_in_pieces(&mut self, text: &[u8], then: &[u8]) -> Result<(), TooLong> {
        if text.len() > MAX_BYTES {
            return Err(TooLong);
        }
        if self.hash.is_none() {
            self.room(text.len() + WIDEST * PIECE + BLOCK)?; // grows once
        }
        self.byte(b'"')?;
        let mut rest = text;
        while let Some(piece) = rest.get(..self.piece()) {
            self.room(WIDEST * PIECE + BLOCK)?;
            let Some(out) = self.buffer.get_mut(self.at..) else {
                break;
            };
            let (read, written) = escape_strides(piece, out);
            self.at += written;
            rest = rest.get(read..).unwrap_or_default();
            self.hash_if_due();
        }
        self.room(WIDEST * PIECE + BLOCK)?;
        if let Some(out) = self.buffer.get_mut(self.at..) {
            self.at += escape(rest, out);
        }
        self.hash_if_due();
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
        give(mem::take(&mut self.buffer));
    }
}
