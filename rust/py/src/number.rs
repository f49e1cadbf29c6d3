//! Numbers as Python gives them. No code of theirs runs but `__index__` and `__float__`, whose errors go to the caller.

use pyo3::{
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    ffi,
    prelude::*,
};

/// A whole number that is not negative; None from 2^64 on.
pub(crate) fn whole(name: &str, number: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    // SAFETY: it is an object.
    if unsafe { ffi::PyIndex_Check(number.as_ptr()) } == 0 {
        let kind = number.get_type().fully_qualified_name()?;
        let text = format!("{name} must be an int, not {kind}");
        return Err(PyTypeError::new_err(text));
    }
    // SAFETY: the result is a new reference or null with an error set.
    let number =
        unsafe { Bound::from_owned_ptr_or_err(number.py(), ffi::PyNumber_Index(number.as_ptr()))? };
    let mut side = 0;
    // SAFETY: it is an int, so there is no other error than that it is too large, which `side` tells.
    let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut side) };
    let negative = match (side, u64::try_from(small)) {
        (0, Ok(small)) => return Ok(Some(small)),
        (0, Err(_)) => small.to_string(),
        (..0, _) => "less than -2^63".to_owned(),
        (1.., _) => return Ok(number.extract().ok()),
    };
    let text = format!("{name} must not be negative, got {negative}");
    Err(PyValueError::new_err(text))
}

/// How many there may be; more than there can be is as many as there can be.
pub(crate) fn limit(number: &Bound<'_, PyAny>) -> PyResult<usize> {
    let number = whole("a size or limit", number)?.unwrap_or(u64::MAX);
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

/// A number of seconds, be it NaN, infinite or negative.
pub(crate) fn seconds(name: &str, number: &Bound<'_, PyAny>) -> PyResult<f64> {
    number.extract().map_err(|error: PyErr| {
        let py = number.py();
        if !error.is_instance_of::<PyOverflowError>(py) {
            return error;
        }
        let text = format!("{name} must be a number of seconds that a float can hold");
        let refused = PyValueError::new_err(text);
        refused.set_cause(py, Some(error));
        refused
    })
}
