//! The Python form of a `CanonError`.

use hotloop_core::canon::CanonError;
use pyo3::import_exception;
use pyo3::prelude::*;

import_exception!(hotloop.errors, CanonicalError);

/// The exception for an error, with its cause.
pub(crate) fn raise(error: &CanonError, cause: Option<PyErr>) -> PyErr {
    let raised = CanonicalError::new_err((error.reason().to_owned(), error.path()));
    if cause.is_some() {
        Python::attach(|py| raised.set_cause(py, cause));
    }
    raised
}
