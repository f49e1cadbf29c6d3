//! Writes Python values as canonical JSON.
//!
//! Two readers of one format. [`exact`] reads values that are built of `dict`, `list`, `tuple`, `str`, `int`,
//! `float`, `bool` and `None` themselves, straight from their memory, and gives up at the first thing that is
//! anything else or is wrong. [`any`] then starts over: it reads whatever a value may be, through its own methods,
//! and says what is wrong, and where.

pub(crate) mod any;
pub(crate) mod exact;

use exact::Unusual;
use hotloop_core::canon::{TooLong, Writer};
use pyo3::prelude::*;

/// Writes `value` to a writer made by `writer`, which may be asked for two.
pub(crate) fn write(value: &Bound<'_, PyAny>, writer: impl Fn() -> Writer) -> PyResult<Writer> {
    let mut first = writer();
    match exact::write(value, &mut first) {
        Ok(()) => Ok(first),
        Err(Unusual::TooLong) => Err(any::Failure::from(TooLong).into()),
        Err(Unusual::Part) => {
            drop(first);
            let mut second = writer();
            any::write(value, &mut second)?;
            Ok(second)
        }
    }
}
