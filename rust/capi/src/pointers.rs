//! The one place that follows raw pointers from outside.
//!
//! What can be seen is checked: null, alignment, a length beyond what an object can have. That the memory is there,
//! alive and as long as said is the caller's word, given in the header.

use std::ffi::c_char;
use std::slice;

use crate::status::{Code, Failure};

/// A counted text or byte string from outside.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Text {
    data: *const c_char,
    len: usize,
}

impl Text {
    /// The bytes.
    ///
    /// # Safety
    /// As [`many`].
    pub(crate) unsafe fn bytes<'a>(self, what: &str) -> Result<&'a [u8], Failure> {
        // SAFETY: the caller's word.
        unsafe { many(self.data.cast(), self.len, what) }
    }

    /// The text.
    ///
    /// # Safety
    /// As [`many`].
    pub(crate) unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        // SAFETY: the caller's word.
        utf8(unsafe { self.bytes(what) }?, what)
    }
}

/// Bytes as text.
pub(crate) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|error| Failure(Code::NotUtf8, format!("{what} is not UTF-8: {error}")))
}

/// So many things from outside; none where the length is 0, wherever the pointer points.
///
/// # Safety
/// `data` is null or points to `len` initialised values that nobody changes during `'a`.
pub(crate) unsafe fn many<'a, T>(
    data: *const T,
    len: usize,
    what: &str,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    check(data, what)?;
    let bytes = len.checked_mul(size_of::<T>());
    if bytes.is_none_or(|bytes| bytes > isize::MAX.unsigned_abs()) {
        let text = format!("{what} cannot have {len} elements");
        return Err(Failure(Code::TooLarge, text));
    }
    // SAFETY: not null, aligned, not too long; the rest is the caller's word.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// A structure from outside, copied.
///
/// # Safety
/// `data` is null or points to an initialised value.
pub(crate) unsafe fn one<T: Copy>(data: *const T, what: &str) -> Result<T, Failure> {
    check(data, what)?;
    // SAFETY: not null and aligned; the rest is the caller's word.
    Ok(unsafe { data.read() })
}

/// Where an answer goes.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `to` is null or points to memory for a `T`, initialised or not, that nobody else uses until the function ends.
    pub(crate) unsafe fn new(to: *mut T, what: &str) -> Result<Self, Failure> {
        check(to.cast_const(), what)?;
        Ok(Self(to))
    }

    pub(crate) fn put(&self, value: T) {
        // SAFETY: not null and aligned; the rest is the word of the caller of `new`. What was there has no destructor
        // that anybody waits for: it is the caller's.
        unsafe { self.0.write(value) };
    }
}

fn check<T>(data: *const T, what: &str) -> Result<(), Failure> {
    if data.is_null() {
        return Err(Failure(Code::Null, format!("{what} is NULL")));
    }
    if !data.is_aligned() {
        let text = format!("{what} is not aligned to {} bytes", align_of::<T>());
        return Err(Failure(Code::Misaligned, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> Code {
        result.unwrap_err().0
    }

    #[test]
    fn what_can_be_seen_wrong_is_refused() {
        let words = [1_u64, 2];
        let odd = words.as_ptr().wrapping_byte_add(1);
        // SAFETY: what these point to is `words`, or is never followed.
        unsafe {
            assert_eq!(many::<u8>(null(), 0, "it").unwrap(), b"");
            assert_eq!(code(many::<u8>(null(), 1, "it")), Code::Null);
            assert_eq!(many(words.as_ptr(), 2, "it").unwrap(), [1, 2]);
            assert_eq!(code(many(odd, 1, "it")), Code::Misaligned);
            assert_eq!(
                code(many(words.as_ptr(), usize::MAX / 8 + 2, "it")),
                Code::TooLarge
            );
            assert_eq!(
                code(many(words.as_ptr().cast::<u8>(), usize::MAX, "it")),
                Code::TooLarge
            );
            assert_eq!(one(words.as_ptr(), "it").unwrap(), 1);
            assert_eq!(code(one::<u64>(null(), "it")), Code::Null);
            assert_eq!(code(one(odd, "it")), Code::Misaligned);
            assert_eq!(code(Out::<u64>::new(null_mut(), "it")), Code::Null);
            assert_eq!(code(Out::new(odd.cast_mut(), "it")), Code::Misaligned);
        }
    }
}
