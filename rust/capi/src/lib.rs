//! The C ABI of hotloop: `hotloop.h` says what each function promises, this crate converts.
//!
//! Raw pointers are checked in `pointers`, handles in `handles`; every function runs inside [`status::answer`], which
//! turns errors and panics into codes.

mod bytes;
mod cache;
mod canon;
mod handles;
mod key;
mod pointers;
mod status;

use std::ffi::c_char;

/// Grows with each change that breaks callers.
const ABI_VERSION: u32 = 1;

/// The version of the ABI.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_abi_version() -> u32 {
    ABI_VERSION
}

/// The version of the library.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
