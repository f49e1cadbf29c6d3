//! `Histogram`: counts of values by their size.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hotloop_core::histogram::Histogram as Core;
use pyo3::prelude::*;

/// Counts values by their size, in buckets that are as fine at a microsecond as at an hour.
#[pyclass(frozen, module = "hotloop._core")]
#[derive(Default)]
pub(crate) struct Histogram(Mutex<Core>);

impl Histogram {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Counts a value. What is negative or not a number is counted as 0.
    #[pyo3(signature = (value, /))]
    fn add(&self, value: f64) {
        self.core().add(value);
    }

    /// Counts the values of a list.
    #[pyo3(signature = (values, /))]
    #[expect(clippy::needless_pass_by_value, reason = "converted from a list")]
    fn extend(&self, values: Vec<f64>) {
        let mut core = self.core();
        for &value in &values {
            core.add(value);
        }
    }

    /// The value that a share of them, from 0 to 1, does not exceed, within 1 %; 0 where there are none.
    #[pyo3(signature = (share, /))]
    fn percentile(&self, share: f64) -> f64 {
        self.core().percentile(share)
    }

    /// How many values there are.
    #[getter]
    fn count(&self) -> u64 {
        self.core().count()
    }

    /// Their mean; 0 where there are none.
    #[getter]
    fn mean(&self) -> f64 {
        self.core().mean()
    }

    /// The highest of them; 0 where there are none.
    #[getter]
    fn highest(&self) -> f64 {
        self.core().highest()
    }
}
