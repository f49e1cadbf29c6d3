//! Codes, the text of the last error, and the one place where errors and panics end.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hotloop_core::cache::LimitError;
use hotloop_core::canon::CanonError;

/// What a function returns; the header says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Code {
    Ok = 0,
    Absent = 1,
    NotCanonical = 100,
    NotUtf8 = 101,
    OutOfRange = 102,
    Null = 200,
    Misaligned = 201,
    TooLarge = 202,
    BadHandle = 203,
    BadBytes = 204,
    Internal = 300,
}

/// A code that is an error, and why.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Code, pub(crate) String);

impl From<CanonError> for Failure {
    fn from(error: CanonError) -> Self {
        Self(Code::NotCanonical, error.to_string())
    }
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        Self(Code::OutOfRange, error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs the work of one function: nothing that happens in it unwinds into the caller.
pub(crate) fn answer(work: impl FnOnce() -> Result<Code, Failure>) -> i32 {
    let done = catch_unwind(AssertUnwindSafe(work));
    let Failure(code, text) = match done {
        Ok(Ok(code)) => return code as i32,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure(Code::Internal, described(&*panic)),
    };
    remember(text);
    code as i32
}

fn described(panic: &(dyn Any + Send)) -> String {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown");
    format!("a bug in hotloop: {what}")
}

fn remember(mut text: String) {
    text.retain(|c| c != '\0');
    let text = CString::new(text).unwrap_or_default();
    // A thread that is ending keeps no text any more.
    let _ = LAST.try_with(|last| last.replace(text));
}

/// The last error of this thread in words.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        // SAFETY: the text is this thread's, and nothing fails meanwhile.
        let text = unsafe { CStr::from_ptr(hotloop_last_error()) };
        text.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(answer(|| Ok(Code::Ok)), 0);
        assert_eq!(last(), "");
        assert_eq!(answer(|| panic!("number {}", 7)), 300);
        assert_eq!(last(), "a bug in hotloop: number 7");
        assert_eq!(answer(|| std::panic::panic_any(5)), 300);
        assert_eq!(last(), "a bug in hotloop: unknown");
    }

    #[test]
    fn the_text_stays_until_the_next_error_of_the_same_thread() {
        let fail = |text: &str| answer(|| Err(Failure(Code::Null, text.to_owned())));
        assert_eq!(fail("a\0b"), 200);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(last(), "");
                assert_eq!(fail("other"), 200);
                assert_eq!(last(), "other");
            });
        });
        assert_eq!(answer(|| Ok(Code::Absent)), 1);
        assert_eq!(last(), "ab");
    }
}
