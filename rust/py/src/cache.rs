//! `HotCache`: keys, limits and values across the boundary.
//!
//! No Python code runs while the core holds a lock: keys are copied, sizes taken and durations read before, and what
//! leaves the cache is dropped after.
#![expect(clippy::doc_markdown, reason = "docstrings are Python's")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{gil::Interpreter, nest, number};
use hotloop_core::cache::{self, Clock, Dropped, END, Key, MAX_SIZE, Millis, SystemClock, Ttl};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    ffi,
    gc::{PyTraverseError, PyVisit},
    intern,
    prelude::*,
    types::{PyByteArray, PyBytes, PyMemoryView, PyString},
};

/// What a cache has done since it was made, and what it holds.
#[pyclass(frozen, get_all, eq, module = "hotloop._core")]
#[derive(PartialEq)]
pub(crate) struct CacheStats {
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
    size: usize,
    capacity: usize,
    bytes: u64,
}

#[pymethods]
impl CacheStats {
    fn __repr__(&self) -> String {
        let Self {
            hits,
            misses,
            evictions,
            expirations,
            size,
            capacity,
            bytes,
        } = self;
        format!(
            "CacheStats(hits={hits}, misses={misses}, evictions={evictions}, expirations={expirations}, \
             size={size}, capacity={capacity}, bytes={bytes})"
        )
    }
}

/// A clock that only moves when told to, for tests of expiry: `HotCache(8, ttl=1, _clock=ManualClock())`.
#[pyclass(frozen, module = "hotloop._core")]
#[derive(Default)]
pub(crate) struct ManualClock(AtomicU64);

#[pymethods]
impl ManualClock {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on.
    ///
    /// Args:
    ///     seconds: how far; counted in whole milliseconds.
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        let time = Duration::try_from_secs_f64(number::seconds("seconds", seconds)?)
            .ok()
            .and_then(|time| u64::try_from(time.as_millis()).ok());
        let later = |now: u64| now.checked_add(time?).filter(|&later| later < END);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later)
            .map_err(|_| {
                PyValueError::new_err("seconds must be a duration that is not negative, and the clock ends after 8900 years")
            })?;
        Ok(())
    }
}

pub(crate) enum AnyClock {
    System(SystemClock),
    Manual(Py<ManualClock>),
}

impl Clock for AnyClock {
    fn now(&self) -> Millis {
        match self {
            Self::System(clock) => clock.now(),
            Self::Manual(clock) => clock.get().0.load(Ordering::Relaxed),
        }
    }
}

/// A bounded cache in memory, made for keys that are digests.
///
/// Keys are 32-byte ``bytes`` or ``str``; values are any objects. A hit takes no exclusive lock and runs no Python
/// code. Keys are compared exactly, except that a ``str`` of more than 31 UTF-8 bytes which is not 64 lower-case
/// hexadecimal digits stands for its SHA-256; a ``str`` never equals a ``bytes`` key.
///
/// Args:
///     capacity: entries that it may hold, at least 1. The limit is exact.
///     ttl: seconds for which an entry is served, to the few milliseconds of a coarse clock; None or ``inf``: no limit.
///     max_bytes: what the sizes of the values may add up to; None: no limit.
///
/// Raises:
///     ValueError: a limit is zero, negative, not a number or too large.
#[pyclass(frozen, module = "hotloop._core")]
pub(crate) struct HotCache {
    pub(crate) core: cache::HotCache<Py<PyAny>, AnyClock, Interpreter>,
    pub(crate) ttl: Ttl,
}

impl Drop for HotCache {
    fn drop(&mut self) {
        let mut dropped = Dropped::new();
        self.core.clear(&mut dropped);
        nest::release(dropped);
    }
}

#[pymethods]
impl HotCache {
    #[new]
    #[expect(
        clippy::used_underscore_binding,
        reason = "Python's mark of what is private"
    )]
    #[pyo3(signature = (capacity, *, ttl=None, max_bytes=None, _clock=None))]
    fn new(
        capacity: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        max_bytes: Option<&Bound<'_, PyAny>>,
        _clock: Option<Py<ManualClock>>,
    ) -> PyResult<Self> {
        let clock = _clock.map_or_else(|| AnyClock::System(SystemClock), AnyClock::Manual);
        let capacity = number::whole("capacity", capacity)?.unwrap_or(u64::MAX);
        let max_bytes = max_bytes.map(all_bytes).transpose()?;
        let core = cache::HotCache::new(capacity, max_bytes, clock)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self {
            core,
            ttl: ttl.map_or(Ok(Ttl::Never), duration)?,
        })
    }

    /// `get` with its arguments as Python gives them; see the module `direct`.
    #[pyo3(name = "_get", signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut dropped = Dropped::new();
        let found = self.core.get(
            &key_of(key)?,
            |value| value.bind(key.py()).clone(),
            &mut dropped,
        );
        Ok(found.or(default))
    }

    /// `put` with its arguments as Python gives them; see the module `direct`.
    #[pyo3(name = "_put", signature = (key, value, *, ttl=None, size=None))]
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        value: Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
        size: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let key = key_of(key)?;
        let ttl = ttl.map_or(Ok(self.ttl), duration)?;
        let size = match size {
            Some(size) => number::whole("size", size)?.unwrap_or(u64::MAX),
            None => size_of(&value)?,
        };
        if size > MAX_SIZE {
            return Err(PyValueError::new_err(format!(
                "size must be below 2^48, got {size}"
            )));
        }
        self.core
            .put(&key, value.unbind(), ttl, size, &mut Dropped::new());
        Ok(())
    }

    /// Takes a value out.
    ///
    /// Args:
    ///     key: 32 bytes, or a text.
    ///     default: what to return where there is no live one.
    ///
    /// Raises:
    ///     TypeError: the key is neither ``bytes`` nor ``str``.
    ///     ValueError: the key is ``bytes`` of another length, or a ``str`` with a lone surrogate.
    #[pyo3(signature = (key, default=None))]
    fn pop(
        &self,
        key: &Bound<'_, PyAny>,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let mut dropped = Dropped::new();
        let live = self.core.remove(&key_of(key)?, &mut dropped);
        Ok(if live { dropped.pop() } else { default })
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.core.contains(&key_of(key)?))
    }

    fn __len__(&self) -> usize {
        self.core.len(&mut Dropped::new())
    }

    /// Drops every entry; the counters go on.
    fn clear(&self) {
        self.core.clear(&mut Dropped::new());
    }

    /// What the cache has done since it was made, and what it holds now.
    fn stats(&self) -> CacheStats {
        let cache::CacheStats {
            hits,
            misses,
            evictions,
            expirations,
            size,
            capacity,
            bytes,
        } = self.core.stats(&mut Dropped::new());
        CacheStats {
            hits,
            misses,
            evictions,
            expirations,
            size,
            capacity,
            bytes,
        }
    }

    fn __repr__(&self) -> String {
        let stats = self.stats();
        format!(
            "<HotCache {} of {} entries, {} bytes>",
            stats.size, stats.capacity, stats.bytes
        )
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.core.try_for_each(|value| visit.call(value))
    }

    fn __clear__(&self) {
        self.clear();
    }
}

/// The key that a Python object stands for.
#[inline]
fn key_of(key: &Bound<'_, PyAny>) -> PyResult<Key> {
    if let Ok(bytes) = key.cast::<PyBytes>()
        && let Ok(bytes) = bytes.as_bytes().try_into()
    {
        return Ok(Key::digest(bytes));
    }
    other_key_of(key)
}

/// The key that anything but 32 bytes stands for.
#[inline(never)]
fn other_key_of(key: &Bound<'_, PyAny>) -> PyResult<Key> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        let len = bytes.as_bytes().len();
        return Err(PyValueError::new_err(format!(
            "a bytes key must have 32 bytes, like a SHA-256 digest; got {len}"
        )));
    }
    let Ok(text) = key.cast::<PyString>() else {
        let kind = key.get_type().fully_qualified_name()?;
        return Err(PyTypeError::new_err(format!(
            "a key must be 32 bytes or a str, not {kind}"
        )));
    };
    text.to_str()
        .map(Key::text)
        .map_err(|_| PyValueError::new_err("a str key must not hold a lone surrogate"))
}

fn all_bytes(max_bytes: &Bound<'_, PyAny>) -> PyResult<u64> {
    number::whole("max_bytes", max_bytes)?.ok_or_else(|| {
        PyValueError::new_err("max_bytes must be below 2^64; leave it out for no limit")
    })
}

fn duration(seconds: &Bound<'_, PyAny>) -> PyResult<Ttl> {
    let seconds = number::seconds("ttl", seconds)?;
    if seconds == f64::INFINITY {
        return Ok(Ttl::Never);
    }
    if seconds.is_nan() || seconds <= 0.0 {
        return Err(PyValueError::new_err(format!(
            "ttl must be a positive number of seconds, got {seconds}"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(Ttl::Never, Ttl::For))
}

/// What a value counts for by default.
fn size_of(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let size = if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        bytes.as_bytes().len()
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // SAFETY: `text` is a str, and both only read its header.
        unsafe {
            ffi::PyUnicode_GET_LENGTH(text.as_ptr()).unsigned_abs()
                * ffi::PyUnicode_KIND(text.as_ptr()) as usize
        }
    } else if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
        bytes.len()
    } else if value.is_exact_instance_of::<PyMemoryView>() {
        value.getattr(intern!(value.py(), "nbytes"))?.extract()?
    } else {
        value
            .py()
            .import(intern!(value.py(), "sys"))?
            .getattr(intern!(value.py(), "getsizeof"))?
            .call1((value,))?
            .extract()?
    };
    Ok(size as u64)
}
