//! Server-sent events, read from bytes that may be cut anywhere.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6, less the fields that only matter to
//! a reader that reconnects (`id`, `retry`).

mod frame;

pub use frame::Frame;

use std::borrow::Cow;
use std::mem;

use memchr::memchr2;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The text of an event that the reader's [`Frame`] fits.
    Text(Cow<'a, str>),
    /// Any other, as it came.
    Raw {
        /// What follows `event:`; empty for none.
        name: &'a [u8],
        /// Its lines of data, joined with line feeds.
        data: &'a [u8],
    },
}

/// Turns the pieces of a stream into events.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// Where what was not read yet begins in `buffer`.
    at: usize,
    /// Up to where no line of that ends.
    seen: usize,
    /// The byte order mark, if there was one, is behind us.
    started: bool,
    /// The last line ended with a CR: an LF that follows belongs to it.
    after_cr: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    /// Lines of data that the event under way has so far.
    lines: usize,
    /// The event under way was given, and the next line begins another.
    given: bool,
    frame: Option<Frame>,
}

impl Reader {
    /// Takes the next piece of the stream; [`Reader::event`] gives what it completes.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.drain(..mem::take(&mut self.at));
        self.seen = self.seen.min(self.buffer.len());
        self.buffer.extend_from_slice(piece);
    }

    /// From now on, gives the events that `frame` fits as their text.
    pub fn expect(&mut self, frame: Frame) {
        self.frame = Some(frame);
    }

    /// The next event that has come whole. One that the stream ends in the middle of is never given, as the standard
    /// wants it.
    pub fn event(&mut self) -> Option<Event<'_>> {
        if mem::take(&mut self.given) {
            self.forget();
        }
        if !self.started {
            self.start()?;
        }
        while let Some((from, to)) = self.line() {
            let line = self.buffer.get(from..to).unwrap_or_default();
            if line.is_empty() {
                if self.lines > 0 {
                    self.given = true;
                    break;
                }
                self.forget();
            } else if let Some(value) = line.strip_prefix(b"data:") {
                Self::add(&mut self.data, &mut self.lines, value);
            } else if let Some(value) = line.strip_prefix(b"event:") {
                self.name.clear();
                self.name.extend_from_slice(unspaced(value));
            } else if line == b"data" {
                Self::add(&mut self.data, &mut self.lines, b"");
            }
        }
        self.given.then(|| self.made())
    }

    /// The event that has just become whole.
    fn made(&self) -> Event<'_> {
        let (name, data) = (self.name.as_slice(), self.data.as_slice());
        match &self.frame {
            Some(frame) if name.is_empty() => frame
                .text(data)
                .map_or(Event::Raw { name, data }, Event::Text),
            _ => Event::Raw { name, data },
        }
    }

    fn forget(&mut self) {
        self.name.clear();
        self.data.clear();
        self.lines = 0;
    }

    fn add(data: &mut Vec<u8>, lines: &mut usize, value: &[u8]) {
        if *lines > 0 {
            data.push(b'\n');
        }
        *lines += 1;
        data.extend_from_slice(unspaced(value));
    }

    /// Skips the byte order mark; None where it cannot be told yet whether there is one.
    fn start(&mut self) -> Option<()> {
        if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
            return None;
        }
        self.started = true;
        if self.buffer.starts_with(BOM) {
            self.at = BOM.len();
        }
        Some(())
    }

    /// Where the next whole line stands in the buffer, without its end.
    fn line(&mut self) -> Option<(usize, usize)> {
        if self.after_cr {
            let next = *self.buffer.get(self.at)?;
            self.at += usize::from(next == b'\n');
            self.after_cr = false;
        }
        let from = self.at;
        let unseen = self.seen.max(from);
        let rest = self.buffer.get(unseen..).unwrap_or_default();
        let Some(end) = memchr2(b'\n', b'\r', rest) else {
            self.seen = self.buffer.len();
            return None;
        };
        let to = unseen + end;
        self.after_cr = rest.get(end) == Some(&b'\r');
        self.at = to + 1;
        Some((from, to))
    }
}

/// A field's value without the one space that may stand before it.
fn unspaced(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}
