//! Cache keys: SHA-256 over canonical JSON, versioned, domain-separated and length-delimited.
//!
//! A request is hashed head first: everything but its messages gives a first digest, and each message turns the
//! digest before it into the next. The last one is the key, so that a conversation that grows by a message costs
//! that message. `docs/cache_keys.md` gives the format byte by byte.

mod chain;
mod headers;
mod memo;

use smallvec::SmallVec;

use crate::canon::{Integers, Result, Text, Writer};

pub use chain::Chain;
pub use headers::shapes_response;
pub use memo::Memo;

/// A key or an inner digest of one.
pub type Digest = [u8; 32];

/// The member of a request body that is chained.
pub const MESSAGES: &str = "messages";

const VALUE: &[u8] = b"hotloop/value/1";
const REQUEST: &[u8] = b"hotloop/request/1";
const MESSAGE: &[u8] = b"hotloop/message/1";

/// What the head of a request is the head of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A body whose `messages` is an array, which the head leaves out.
    Messages,
    /// Any other body: the head is all of it.
    Whole,
}

/// The writer of [`cache_key`]: the canonical form of the value follows.
#[must_use]
pub fn value_writer(namespace: &str) -> Writer {
    let mut prefix = SmallVec::<[u8; 64]>::new();
    for part in [VALUE, namespace.as_bytes()] {
        field(part, |bytes| prefix.extend_from_slice(bytes));
    }
    Writer::hashing(&prefix)
}

/// The key of the value that a JSON text stands for.
///
/// # Errors
/// [`CanonError`](crate::canon::CanonError) when the text has no canonical form.
pub fn cache_key(text: &[u8], namespace: &str) -> Result<Digest> {
    let mut writer = value_writer(namespace);
    Text::parse(text, Integers::Exact)?.write(&mut writer)?;
    Ok(writer.digest())
}

/// The writer of a message: its canonical form follows.
#[must_use]
pub fn message_writer(before: &Digest) -> Writer {
    let mut prefix = SmallVec::<[u8; 64]>::new();
    field(MESSAGE, |bytes| prefix.extend_from_slice(bytes));
    prefix.extend_from_slice(before);
    Writer::hashing(&prefix)
}

/// The key of a request from the JSON text of its body.
///
/// # Errors
/// [`CanonError`](crate::canon::CanonError) when the text is not a JSON object or has no canonical form.
pub fn request_key(scope: &Scope, text: &[u8]) -> Result<Digest> {
    let text = Text::parse(text, Integers::Exact)?;
    let shape = match text.array_member(MESSAGES) {
        Some(_) => Shape::Messages,
        None => Shape::Whole,
    };
    Ok(Chain::of(scope, shape, &text)?.digest())
}

/// Everything about a request but its body, encoded as it enters the hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Vec<u8>);

impl Scope {
    /// Encodes where a request goes, for whom, and the headers that can change its answer.
    pub fn new<'h>(
        namespace: &str,
        tenant: &[u8],
        url: &str,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Self {
        let mut bytes = Vec::with_capacity(128);
        let headers = headers::select(headers);
        for part in [REQUEST, namespace.as_bytes(), tenant, url.as_bytes()] {
            field(part, |bytes_of| bytes.extend_from_slice(bytes_of));
        }
        bytes.extend_from_slice(&(headers.len() as u64).to_le_bytes());
        for (name, value) in &headers {
            field(name, |bytes_of| bytes.extend_from_slice(bytes_of));
            field(value, |bytes_of| bytes.extend_from_slice(bytes_of));
        }
        Self(bytes)
    }

    /// The writer of a head: its canonical form follows, without the messages where they are chained.
    #[must_use]
    pub fn head_writer(&self, shape: Shape) -> Writer {
        let mut prefix = self.0.clone();
        let chained = match shape {
            Shape::Messages => MESSAGES.as_bytes(),
            Shape::Whole => b"",
        };
        field(chained, |bytes| prefix.extend_from_slice(bytes));
        Writer::hashing(&prefix)
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Emits bytes with their length in front: no two lists of fields give the same bytes.
fn field(bytes: &[u8], mut emit: impl FnMut(&[u8])) {
    emit(&(bytes.len() as u64).to_le_bytes());
    emit(bytes);
}

#[cfg(test)]
mod tests;
