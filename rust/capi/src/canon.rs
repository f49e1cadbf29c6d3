//! Canonical JSON.

use hotloop_core::canon;

use crate::bytes::Bytes;
use crate::pointers::{Out, many};
use crate::status::{Code, answer};

/// The canonical form of JSON text.
///
/// # Safety
/// `text` is null or points to `text_len` bytes; `form` is null or points to memory for a structure.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_canonicalize(
    text: *const u8,
    text_len: usize,
    form: *mut Bytes,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let form = unsafe { Out::new(form, "form") }?;
        form.put(Bytes::EMPTY);
        // SAFETY: the caller's word.
        let text = unsafe { many(text, text_len, "text") }?;
        form.put(Bytes::share(canon::written(text)?.as_bytes().into()));
        Ok(Code::Ok)
    })
}
