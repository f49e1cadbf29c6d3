//! `canonical_json` and `canonicalize`.

use hotloop_core::canon::{self, Writer};
use hotloop_core::pool::{Pool, Pooled};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::error::raise;
use crate::pool::no_memory;
use crate::value;

/// Text of this many bytes and more is parsed without the GIL: some 0.2 ms of work, against which handing the GIL over
/// and taking it back (0.1 µs alone, more when another thread wants it) does not count.
pub(crate) const DETACH_FROM: usize = 128 << 10;

/// The canonical JSON (RFC 8785) of a Python value.
#[pyfunction]
pub(crate) fn canonical_json<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let writer = value::write(value, Writer::growing)?;
    Ok(PyBytes::new(value.py(), writer.as_bytes()))
}

/// The canonical JSON (RFC 8785) of JSON text.
#[pyfunction]
pub(crate) fn canonicalize<'py>(
    py: Python<'py>,
    text: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let Some(text) = Source::of(text)? else {
        let kind = text.get_type();
        return Err(PyTypeError::new_err(format!(
            "canonicalize() takes JSON text as bytes or str, not {kind}"
        )));
    };
    let text = text.as_bytes();
    let result = detached_if_large(py, text.len(), || canon::written(text));
    match result {
        Ok(form) => Ok(PyBytes::new(py, form.as_bytes())),
        Err(error) => Err(raise(&error, None)),
    }
}

/// Runs work on text of `size` bytes, without the GIL where that is worth it.
pub(crate) fn detached_if_large<T: Send>(
    py: Python<'_>,
    size: usize,
    work: impl FnOnce() -> T + Send,
) -> T {
    if size >= DETACH_FROM {
        py.detach(work)
    } else {
        work()
    }
}

/// JSON text as Python hands it over.
pub(crate) enum Source<'a, 'py> {
    Bytes(&'a Bound<'py, PyBytes>),
    Text(&'a str),
    /// A copy of what could change.
    Copy(Pooled),
}

impl<'a, 'py> Source<'a, 'py> {
    /// The text in `bytes`, `str`, `bytearray` or `memoryview`; None for any other value.
    pub(crate) fn of(object: &'a Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Some(Self::Bytes(bytes)));
        }
        if let Ok(text) = object.cast::<PyString>() {
            let reason = "a string with a lone surrogate";
            return text
                .to_str()
                .map(|text| Some(Self::Text(text)))
                .map_err(|_| raise(&canon::CanonError::new(reason), None));
        }
        if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
            let source = PyBuffer::<u8>::get(object)?;
            let size = source.len_bytes();
            let mut copy = Pool::shared()
                .take_filled(size)
                .map_err(|_| no_memory(size))?;
            source.copy_to_slice(object.py(), &mut copy)?;
            return Ok(Some(Self::Copy(copy)));
        }
        Ok(None)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Text(text) => text.as_bytes(),
            Self::Copy(bytes) => bytes,
        }
    }
}
