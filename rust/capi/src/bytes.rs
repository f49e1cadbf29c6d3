//! Bytes that the library hands out: shares of memory that is counted.

use std::hash::{BuildHasher as _, RandomState};
use std::ptr::{null, slice_from_raw_parts};
use std::sync::{Arc, LazyLock};

use crate::pointers::{self, Out};
use crate::status::{Code, Failure, answer};

/// A share of memory, as the header shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Bytes {
    data: *const u8,
    len: usize,
    /// What tells one that was filled here from one that was not.
    seal: u64,
}

impl Bytes {
    pub(crate) const EMPTY: Self = Self {
        data: null(),
        len: 0,
        seal: 0,
    };

    /// Hands a share out; [`hotloop_bytes_free`] takes it back.
    pub(crate) fn share(bytes: Arc<[u8]>) -> Self {
        let len = bytes.len();
        let data = Arc::into_raw(bytes).cast();
        let seal = seal(data, len);
        Self { data, len, seal }
    }

    fn take_back(self) -> Result<Option<Arc<[u8]>>, Failure> {
        if self == Self::EMPTY {
            return Ok(None);
        }
        if self.seal != seal(self.data, self.len) {
            let text = "these bytes were not filled by hotloop, or were changed since";
            return Err(Failure(Code::BadBytes, text.to_owned()));
        }
        // SAFETY: the seal says that both come from `share`, which gave one share away.
        Ok(Some(unsafe {
            Arc::from_raw(slice_from_raw_parts(self.data, self.len))
        }))
    }
}

/// A secret mark of a pointer and length; never 0.
fn seal(data: *const u8, len: usize) -> u64 {
    static SECRET: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    let mixed = (*SECRET ^ data.addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ len as u64).wrapping_mul(0xd6e8_feb8_6659_fd93) | 1
}

/// Gives bytes back and empties the structure.
///
/// # Safety
/// `bytes` is null or points to a structure that nobody else uses now, and of whose memory no copy was freed.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_bytes_free(bytes: *mut Bytes) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let (given, out) = unsafe { (pointers::one(bytes, "bytes")?, Out::new(bytes, "bytes")?) };
        let memory = given.take_back()?;
        out.put(Bytes::EMPTY);
        drop(memory);
        Ok(Code::Ok)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(bytes: &mut Bytes) -> i32 {
        // SAFETY: it is a reference.
        unsafe { hotloop_bytes_free(bytes) }
    }

    #[test]
    fn a_share_is_given_back_once() {
        let memory: Arc<[u8]> = Arc::from(*b"abc");
        for content in [memory.clone(), Arc::from([])] {
            let mut bytes = Bytes::share(content.clone());
            assert_eq!(
                Arc::strong_count(&content),
                2 + usize::from(content.len() == 3)
            );
            assert_eq!(free(&mut bytes), 0);
            assert_eq!(bytes, Bytes::EMPTY);
            assert_eq!(free(&mut bytes), 0);
        }
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[test]
    fn what_was_not_filled_here_is_refused() {
        let memory: Arc<[u8]> = Arc::from(*b"abc");
        let good = Bytes::share(memory);
        let mut bad = [
            Bytes { len: 2, ..good },
            Bytes { seal: 0, ..good },
            Bytes {
                data: good.data.wrapping_add(1),
                ..good
            },
            Bytes {
                len: 1,
                ..Bytes::EMPTY
            },
        ];
        for bytes in &mut bad {
            let before = *bytes;
            assert_eq!(free(bytes), Code::BadBytes as i32);
            assert_eq!(*bytes, before);
        }
        assert_eq!(free(&mut { good }), 0);
        // SAFETY: null is allowed.
        let code = unsafe { hotloop_bytes_free(std::ptr::null_mut()) };
        assert_eq!(code, Code::Null as i32);
    }
}
