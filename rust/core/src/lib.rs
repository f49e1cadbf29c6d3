//! The parts of hotloop that need neither Python nor unsafe code.
#![forbid(unsafe_code)]

pub mod cache;
pub mod canon;
pub mod histogram;
pub mod key;
pub mod pool;
#[cfg(unix)]
pub mod search;
pub mod sse;
