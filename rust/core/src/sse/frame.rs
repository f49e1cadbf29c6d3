//! What the events of a stream have in common: most differ in nothing but a piece of text.

use std::borrow::Cow;

/// The bytes before and after the JSON string that is the text of an event.
///
/// An event that begins and ends with these bytes, and has one JSON string between them, means what any other such
/// event means, but for its text.
#[derive(Debug)]
pub struct Frame {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Frame {
    /// The frame of these bytes; the quotes of the string belong to neither.
    #[must_use]
    pub fn new(head: &[u8], tail: &[u8]) -> Self {
        Self {
            head: head.to_vec(),
            tail: tail.to_vec(),
        }
    }

    /// The text of an event that fits. None for one that does not or whose text is empty, and where a string is hard
    /// to read or none: whoever knows all of JSON decides about these.
    #[must_use]
    pub fn text<'a>(&self, data: &'a [u8]) -> Option<Cow<'a, str>> {
        let token = data.strip_prefix(self.head.as_slice())?;
        let token = token.strip_suffix(self.tail.as_slice())?;
        let inner = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        if inner.is_empty() {
            return None;
        }
        decoded(std::str::from_utf8(inner).ok()?)
    }
}

/// What stands between the quotes of a JSON string; None where that is no string, and for escaped surrogates.
fn decoded(inner: &str) -> Option<Cow<'_, str>> {
    let Some((plain, mut rest)) = split_at_special(inner) else {
        return Some(Cow::Borrowed(inner));
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    loop {
        let mut escape = rest.strip_prefix('\\')?.chars();
        text.push(match escape.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            same @ ('"' | '\\' | '/') => same,
            'u' => {
                let digits: Option<u32> =
                    (0..4).try_fold(0, |sum, _| Some(sum << 4 | escape.next()?.to_digit(16)?));
                char::from_u32(digits?)?
            }
            _ => return None,
        });
        rest = escape.as_str();
        let Some((plain, special)) = split_at_special(rest) else {
            text.push_str(rest);
            return Some(Cow::Owned(text));
        };
        text.push_str(plain);
        rest = special;
    }
}

/// Splits before the first character that a JSON string holds in no other way than escaped; None where there is none.
fn split_at_special(text: &str) -> Option<(&str, &str)> {
    let at = text
        .bytes()
        .position(|byte| byte < b' ' || byte == b'"' || byte == b'\\')?;
    text.split_at_checked(at)
}
