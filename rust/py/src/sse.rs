//! `SSEReader`: server-sent events from bytes.
#![expect(clippy::doc_markdown, reason = "docstrings are Python's")]

use hotloop_core::sse::{Event, Frame, Reader};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// Turns the pieces of a stream of server-sent events into events.
///
/// `feed` takes a piece, however it is cut, and the reader is an iterator over the events that are whole: each as its
/// name (empty for none) and its data, or as a text alone where `expect` said so. An event that the stream ends in the
/// middle of never comes. For one reader of a stream: a second thread gets a RuntimeError.
///
/// Attributes:
///     texts: how many events came as a text alone.
#[pyclass(module = "hotloop._core")]
#[derive(Default)]
pub(crate) struct SSEReader {
    reader: Reader,
    #[pyo3(get)]
    texts: u64,
}

#[pymethods]
impl SSEReader {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece and returns the reader, for `for event in reader.feed(piece)`.
    #[pyo3(signature = (piece, /))]
    fn feed<'py>(slf: Bound<'py, Self>, piece: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, Self>> {
        slf.try_borrow_mut()?.reader.feed(piece.as_bytes());
        Ok(slf)
    }

    /// From now on, gives the text alone of an event without a name whose data is `head`, a JSON string and `tail`.
    fn expect(&mut self, head: &[u8], tail: &[u8]) {
        self.reader.expect(Frame::new(head, tail));
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        // Neither bytes nor text is known to the garbage collector, which could run code while the reader is held.
        let (name, data) = {
            let mut this = slf.try_borrow_mut()?;
            match this.reader.event() {
                None => return Ok(None),
                Some(Event::Raw { name, data }) => (PyBytes::new(py, name), PyBytes::new(py, data)),
                Some(Event::Text(text)) => {
                    let text = PyString::new(py, &text);
                    this.texts += 1;
                    return Ok(Some(text.into_any()));
                }
            }
        };
        Ok(Some(PyTuple::new(py, [name, data])?.into_any()))
    }
}
