//! `BufferPool` and `Buffer`: pooled memory under Python's buffer protocol.
#![expect(clippy::doc_markdown, reason = "docstrings are Python's")]

use std::{
    ffi::c_int,
    ptr, slice,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::number::limit;
use hotloop_core::pool::{Pool, PoolStats as CoreStats, Pooled};
use pyo3::{
    exceptions::{PyBufferError, PyMemoryError, PyValueError},
    ffi,
    prelude::*,
    types::{PyBytes, PyMemoryView},
};

/// Bytes from which a copy lets other threads run: some 20 µs, a hundred times what that costs.
const LARGE: usize = 256 << 10;

/// What a pool has done since it was made, and what it holds.
#[pyclass(frozen, get_all, eq, module = "hotloop._core")]
#[derive(PartialEq)]
pub(crate) struct PoolStats {
    takes: u64,
    reuses: u64,
    live: usize,
    pooled: usize,
    pooled_bytes: usize,
}

#[pymethods]
impl PoolStats {
    fn __repr__(&self) -> String {
        let Self {
            takes,
            reuses,
            live,
            pooled,
            pooled_bytes,
        } = self;
        format!(
            "PoolStats(takes={takes}, reuses={reuses}, live={live}, pooled={pooled}, pooled_bytes={pooled_bytes})"
        )
    }
}

/// Memory that is used again: for large buffers that live briefly.
///
/// Memory that is given back keeps its pages, so filling it again causes no page fault, no zeroing and no copy. When
/// nothing suitable waits, or more is live than the pool may keep, a take allocates and its memory may be freed
/// afterwards: `takes - reuses` in the statistics.
///
/// Args:
///     max_buffers: buffers that may wait to be used again, at least 0.
///     max_bytes: what their memory may add up to, at least 0. A larger buffer is never kept.
///
/// Raises:
///     ValueError: a limit is negative.
#[pyclass(frozen, module = "hotloop._core")]
pub(crate) struct BufferPool(Pool);

#[pymethods]
impl BufferPool {
    #[new]
    #[pyo3(signature = (max_buffers=64, max_bytes=67_108_864))]
    fn new(
        #[pyo3(from_py_with = limit)] max_buffers: usize,
        #[pyo3(from_py_with = limit)] max_bytes: usize,
    ) -> Self {
        Self(Pool::new(max_buffers, max_bytes))
    }

    /// An empty buffer.
    ///
    /// Args:
    ///     size: bytes to have room for; a buffer grows beyond it where it must. 0: not known.
    ///
    /// Raises:
    ///     MemoryError: there is not that much memory.
    ///     ValueError: the size is negative.
    #[pyo3(signature = (size=0))]
    fn take(&self, #[pyo3(from_py_with = limit)] size: usize) -> PyResult<Buffer> {
        let memory = self.0.take(size).map_err(|_| no_memory(size))?;
        Ok(Buffer(Mutex::new(State {
            memory: Some(memory),
            views: 0,
            closed: false,
        })))
    }

    /// The pool of the process, which keeps at most 64 buffers of together at most 64 MiB.
    ///
    /// Canonical writing and keys, searches in files, and copies of bodies given as `bytearray` or `memoryview` take
    /// their memory from it. A thread that writes keeps one buffer of 64 KiB on loan as long as it lives.
    #[staticmethod]
    fn shared() -> Self {
        Self(Pool::shared().clone())
    }

    /// What the pool has done since it was made, and what it holds now.
    fn stats(&self) -> PoolStats {
        let CoreStats {
            takes,
            reuses,
            live,
            pooled,
            pooled_bytes,
        } = self.0.stats();
        PoolStats {
            takes,
            reuses,
            live,
            pooled,
            pooled_bytes,
        }
    }

    fn __repr__(&self) -> String {
        let stats = self.0.stats();
        format!(
            "<BufferPool: {} live, {} pooled with {} bytes>",
            stats.live, stats.pooled, stats.pooled_bytes
        )
    }
}

/// Bytes that are written one after the other, in memory of a pool: `with pool.take() as buffer:`.
///
/// Leaving the block gives the memory back, at once or when the last view of it is gone: a view stays valid for as
/// long as it lives. A buffer that is dropped gives its memory back too. All uses after the block raise ValueError.
///
/// Supports the buffer protocol; views can be written to.
#[pyclass(frozen, module = "hotloop._core")]
pub(crate) struct Buffer(Mutex<State>);

struct State {
    /// None once it has been given back.
    memory: Option<Pooled>,
    /// Views that point into the memory, which must not move while there are any.
    views: usize,
    closed: bool,
}

impl State {
    fn open(&mut self) -> PyResult<&mut Pooled> {
        let memory = if self.closed {
            None
        } else {
            self.memory.as_mut()
        };
        memory.ok_or_else(|| {
            PyValueError::new_err(
                "the buffer was given back to its pool; use it inside its `with` block",
            )
        })
    }
}

impl Buffer {
    /// Nothing panics under the lock, and no Python code runs there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, source: Bytes) -> PyResult<usize> {
        let mut state = self.lock();
        let viewed = state.views > 0;
        let memory = state.open()?;
        if memory.capacity() - memory.len() < source.len {
            if viewed {
                return Err(PyBufferError::new_err(
                    "the buffer must grow, which a view of it prevents; release the view, or take a larger buffer",
                ));
            }
            memory
                .try_reserve(source.len)
                .map_err(|_| no_memory(source.len))?;
        }
        if source.len > 0 {
            // SAFETY: whoever made `source` keeps its memory alive and in place. Where that is this buffer's own, it
            // ends before the room that is written to, and there is room enough, so it does not move.
            memory.extend_from_slice(unsafe { slice::from_raw_parts(source.start, source.len) });
        }
        Ok(source.len)
    }

    /// Counts one more view, so that the memory stays where it is until `unpin`.
    fn pin(&self) -> PyResult<Bytes> {
        let mut state = self.lock();
        let memory = state.open()?;
        let bytes = Bytes {
            start: memory.as_mut_ptr(),
            len: memory.len(),
        };
        state.views += 1;
        Ok(bytes)
    }

    fn unpin(&self) {
        let mut state = self.lock();
        state.views -= 1;
        let memory = if state.closed && state.views == 0 {
            state.memory.take()
        } else {
            None
        };
        drop(state);
        drop(memory);
    }
}

/// Memory that somebody else keeps alive and in place.
#[derive(Clone, Copy)]
struct Bytes {
    start: *mut u8,
    len: usize,
}

// SAFETY: a pointer may be sent anywhere; who follows it says why that is sound.
unsafe impl Send for Bytes {}

impl Bytes {
    /// Copies as many bytes from elsewhere.
    ///
    /// # Safety
    ///
    /// Both are alive, nobody else uses `self`, and they do not overlap.
    unsafe fn fill(self, from: Self) {
        // SAFETY: the caller's word.
        unsafe { ptr::copy_nonoverlapping(from.start, self.start, self.len.min(from.len)) };
    }

    /// Does work on so many bytes beside other Python threads where it is long enough to be worth it.
    ///
    /// Locks are taken and left inside `work`, so nobody can hold one while it waits to run again.
    fn beside<R: Send>(self, py: Python<'_>, work: impl FnOnce(Self) -> R + Send) -> R {
        if self.len < LARGE {
            work(self)
        } else {
            py.detach(move || work(self))
        }
    }
}

/// Somebody's bytes, held in place by the buffer protocol.
struct Source(ffi::Py_buffer);

impl Source {
    fn of(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = ffi::Py_buffer::new();
        // SAFETY: both pointers are valid; the view is filled where this returns 0.
        let failed =
            unsafe { ffi::PyObject_GetBuffer(data.as_ptr(), &raw mut view, ffi::PyBUF_SIMPLE) }
                != 0;
        if failed {
            Err(PyErr::fetch(data.py()))
        } else {
            Ok(Self(view))
        }
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            start: self.0.buf.cast(),
            len: self.0.len.unsigned_abs(),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: the view was filled and is released once, by a thread that holds the interpreter: a `Source` lives
        // and dies inside one method.
        unsafe { ffi::PyBuffer_Release(&raw mut self.0) };
    }
}

pub(crate) fn no_memory(size: usize) -> PyErr {
    PyMemoryError::new_err(format!("there is no memory for a buffer of {size} bytes"))
}

#[pymethods]
impl Buffer {
    /// Appends bytes.
    ///
    /// Args:
    ///     data: any contiguous object with the buffer protocol, a view of this buffer included.
    ///
    /// Returns:
    ///     How many bytes that were.
    ///
    /// Raises:
    ///     BufferError: the data is not contiguous; or the buffer must grow while there is a view of it.
    ///     MemoryError: there is not enough memory.
    ///     TypeError: the data has no buffer protocol.
    ///     ValueError: the buffer was given back.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let source = Source::of(data)?;
        source.bytes().beside(data.py(), |bytes| self.append(bytes))
    }

    /// The bytes written so far; while the view lives, the buffer cannot grow beyond the memory that it has.
    ///
    /// Raises:
    ///     ValueError: the buffer was given back.
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(slf)
    }

    /// A copy of the bytes written so far.
    ///
    /// Raises:
    ///     ValueError: the buffer was given back.
    fn freeze<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.pin()?;
        // SAFETY: null asks for bytes that are not filled in; the result is a new reference or null with an error set.
        let frozen = unsafe {
            let object = ffi::PyBytes_FromStringAndSize(ptr::null(), bytes.len.cast_signed());
            Bound::from_owned_ptr_or_err(py, object)
        };
        if let Ok(frozen) = &frozen {
            // SAFETY: it is a bytes object.
            let start = unsafe { ffi::PyBytes_AsString(frozen.as_ptr()) };
            let to = Bytes {
                start: start.cast(),
                len: bytes.len,
            };
            // SAFETY: nobody else has seen the new bytes, and `bytes` is pinned.
            bytes.beside(py, move |from| unsafe { to.fill(from) });
        }
        self.unpin();
        // SAFETY: it is a bytes object.
        frozen.map(|frozen| unsafe { frozen.cast_into_unchecked() })
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.lock().open()?.len())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().lock().open()?;
        Ok(slf)
    }

    fn __exit__(
        &self,
        _type: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        let mut state = self.lock();
        state.closed = true;
        let memory = if state.views == 0 {
            state.memory.take()
        } else {
            None
        };
        drop(state);
        drop(memory);
    }

    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().pin()?;
        // SAFETY: `view` is the caller's to be filled; the memory stays in place until `__releasebuffer__`.
        let failed = unsafe {
            let len = bytes.len.cast_signed();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.start.cast(), len, 0, flags)
        } != 0;
        if failed {
            slf.get().unpin();
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.unpin();
    }

    fn __repr__(&self) -> String {
        match self.lock().open() {
            Ok(memory) => format!("<Buffer of {} bytes>", memory.len()),
            Err(_) => "<Buffer, given back>".to_owned(),
        }
    }
}
