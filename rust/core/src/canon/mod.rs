//! Canonical JSON: RFC 8785 (the JSON Canonicalization Scheme), to the letter.
//!
//! One [`Writer`] knows the output format; who walks the value is free: [`Text`] walks JSON text, the
//! Python binding walks Python objects. Both give the same bytes for the same value.

mod error;
mod escape;
mod names;
mod number;
mod parse;
mod scan;
mod text;
mod writer;

pub use error::{CanonError, Result, Step};
pub use names::{prefix, utf16_order};
pub use number::exact_integer;
pub use text::{Integers, Text, Value};
pub use writer::{TooLong, Writer};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 512;

/// Longest text read and longest canonical form written, in bytes. It bounds what a value that shares its
/// parts (2^25 leaves in 25 lists) can cost.
pub const MAX_BYTES: usize = 128 << 20;

/// The canonical form of JSON text.
///
/// # Errors
/// [`CanonError`] when the text is not one JSON value, or one without a canonical form.
pub fn canonicalize(text: &[u8]) -> Result<Vec<u8>> {
    Ok(written(text)?.as_bytes().to_vec())
}

/// The canonical form of JSON text, as [`canonicalize`] gives it, in the buffer it was written to.
///
/// # Errors
/// As [`canonicalize`].
pub fn written(text: &[u8]) -> Result<Writer> {
    let text = Text::parse(text, Integers::Printed)?;
    let mut writer = Writer::growing();
    text.write(&mut writer)?;
    Ok(writer)
}

#[cfg(test)]
mod tests;
