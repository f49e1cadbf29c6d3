//! Reads values of the exact built-in types from their memory.
//!
//! Nothing here runs Python code and the GIL is never released, so what is read is one state of the value, whatever
//! other threads do to it before and after, and borrowed references stay good. Everything that would need Python
//! code (a subclass, a mapping, an error to raise) ends the reading with [`Unusual`]. So does, from the start, a Python
//! without a GIL: nothing there keeps a value still.

use std::ffi::{c_char, c_int};
use std::ptr;

use crate::fetch::fetch;
use hotloop_core::canon::{MAX_DEPTH, TooLong, Writer, exact_integer, prefix, utf16_order};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// Why a value was not read to its end.
#[derive(Debug)]
pub(crate) enum Unusual {
    /// A part of it has to be read by [`super::any`].
    Part,
    /// Its canonical form is too long, which reading it in another way would not change.
    TooLong,
}

impl From<TooLong> for Unusual {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// Bytes of a line of the processor's cache.
const LINE: usize = 64;

type Result<T = ()> = std::result::Result<T, Unusual>;

/// Ends the reading where there is no GIL.
#[inline]
fn held() -> Result {
    if cfg!(Py_GIL_DISABLED) {
        Err(Unusual::Part)
    } else {
        Ok(())
    }
}

/// Writes a value.
pub(crate) fn write(value: &Bound<'_, PyAny>, writer: &mut Writer) -> Result {
    held()?;
    let mut reader = Reader {
        writer,
        members: Vec::new(),
    };
    // SAFETY: `value` is a live object and the GIL is held.
    unsafe { reader.value(value.as_ptr(), 0)? };
    Ok(reader.writer.finish()?)
}

/// Writes a `dict` without one of its members.
pub(crate) fn write_without(
    dict: &Bound<'_, PyAny>,
    left_out: &str,
    writer: &mut Writer,
) -> Result {
    held()?;
    let mut reader = Reader {
        writer,
        members: Vec::with_capacity(32),
    };
    // SAFETY: `dict` is a live object and the GIL is held.
    unsafe {
        if ffi::Py_TYPE(dict.as_ptr()) != &raw mut ffi::PyDict_Type {
            return Err(Unusual::Part);
        }
        reader.dict(dict.as_ptr(), 0, left_out.as_bytes())?;
    }
    Ok(reader.writer.finish()?)
}

/// The member `name` of a `dict` whose names are all exact strings, if it has one.
pub(crate) fn member<'py>(
    dict: &Bound<'py, PyAny>,
    name: &str,
) -> Result<Option<Bound<'py, PyAny>>> {
    held()?;
    let mut found = None;
    // SAFETY: the GIL is held and nothing below runs Python code, so that the borrowed references stay good.
    unsafe {
        if ffi::Py_TYPE(dict.as_ptr()) != &raw mut ffi::PyDict_Type {
            return Err(Unusual::Part);
        }
        let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) != 0 {
            if utf8(key)? == name {
                found = Some(Bound::from_borrowed_ptr(dict.py(), value));
            }
        }
    }
    Ok(found)
}

/// Whether an object is an exact string of this text.
///
/// # Safety
/// `object` is a live object and the GIL is held.
pub(crate) unsafe fn is(object: *mut ffi::PyObject, text: &str) -> bool {
    // SAFETY: by the caller; the text is looked at and let go.
    unsafe { utf8(object).is_ok_and(|found| found == text) }
}

/// The items of a `list` or `tuple`.
pub(crate) fn items<'py>(array: &Bound<'py, PyAny>) -> Result<Vec<Bound<'py, PyAny>>> {
    match (array.cast_exact::<PyList>(), array.cast_exact::<PyTuple>()) {
        (Ok(list), _) => Ok(list.iter().collect()),
        (_, Ok(tuple)) => Ok(tuple.iter().collect()),
        _ => Err(Unusual::Part),
    }
}

/// The UTF-8 form of an exact string.
///
/// # Safety
/// `object` is a live object, the GIL is held, and the result is not used after it is released or the object is gone.
#[inline]
unsafe fn utf8<'a>(object: *mut ffi::PyObject) -> Result<&'a str> {
    // SAFETY: by the caller; CPython gives valid UTF-8 and keeps it as long as the string lives.
    unsafe {
        if ffi::Py_TYPE(object) != &raw mut ffi::PyUnicode_Type {
            return Err(Unusual::Part);
        }
        // Most strings are ASCII, whose text follows their header; 3.14 hides the header.
        #[cfg(not(any(Py_3_14, PyPy, GraalPy)))]
        if ffi::PyUnicode_IS_COMPACT_ASCII(object) != 0 {
            let header: *const ffi::PyASCIIObject = object.cast();
            let text =
                std::slice::from_raw_parts(header.add(1).cast(), (*header).length.cast_unsigned());
            return Ok(std::str::from_utf8_unchecked(text));
        }
        let mut size = 0;
        let start: *const c_char = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut size);
        if start.is_null() {
            ffi::PyErr_Clear(); // a lone surrogate, or no memory
            return Err(Unusual::Part);
        }
        Ok(std::str::from_utf8_unchecked(std::slice::from_raw_parts(
            start.cast(),
            size.cast_unsigned(),
        )))
    }
}

struct Member {
    prefix: u64,
    name: *const str,
    value: *mut ffi::PyObject,
}

/// `members` is a stack: each `dict` being written has its sorted members on top.
struct Reader<'w> {
    writer: &'w mut Writer,
    members: Vec<Member>,
}

impl Reader<'_> {
    /// # Safety
    /// `object` is a live object and the GIL is held.
    unsafe fn value(&mut self, object: *mut ffi::PyObject, depth: usize) -> Result {
        // SAFETY: by the caller; each type is checked before the object is read as one of it.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyUnicode_Type {
                self.writer.string(utf8(object)?)?;
            } else if kind == &raw mut ffi::PyDict_Type {
                self.dict(object, depth, b"\xff")?; // no name is that
            } else if kind == &raw mut ffi::PyList_Type {
                self.open(depth)?;
                let mut i = 0;
                while i < ffi::PyList_GET_SIZE(object) {
                    self.item(ffi::PyList_GET_ITEM(object, i), i, depth)?;
                    i += 1;
                }
                self.writer.byte(b']')?;
            } else if kind == &raw mut ffi::PyLong_Type {
                let mut overflow: c_int = 0;
                let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
                if overflow != 0 || exact_integer(value).is_none() {
                    return Err(Unusual::Part);
                }
                self.writer.integer(value)?;
            } else if kind == &raw mut ffi::PyBool_Type {
                self.writer.raw(if object == ffi::Py_True() {
                    b"true"
                } else {
                    b"false"
                })?;
            } else if object == ffi::Py_None() {
                self.writer.raw(b"null")?;
            } else if kind == &raw mut ffi::PyFloat_Type {
                let value = ffi::PyFloat_AS_DOUBLE(object);
                if !value.is_finite() {
                    return Err(Unusual::Part);
                }
                self.writer.number(value)?;
            } else if kind == &raw mut ffi::PyTuple_Type {
                self.open(depth)?;
                for i in 0..ffi::PyTuple_GET_SIZE(object) {
                    self.item(ffi::PyTuple_GET_ITEM(object, i), i, depth)?;
                }
                self.writer.byte(b']')?;
            } else {
                return Err(Unusual::Part);
            }
        }
        Ok(())
    }

    #[inline]
    fn open(&mut self, depth: usize) -> Result {
        if depth == MAX_DEPTH {
            return Err(Unusual::Part);
        }
        Ok(self.writer.byte(b'[')?)
    }

    /// # Safety
    /// As [`Reader::value`].
    #[inline]
    unsafe fn item(&mut self, item: *mut ffi::PyObject, index: isize, depth: usize) -> Result {
        if index > 0 {
            self.writer.byte(b',')?;
        }
        // SAFETY: by the caller: a container keeps its items alive while no Python code runs.
        unsafe { self.value(item, depth + 1) }
    }

    /// # Safety
    /// As [`Reader::value`], and `dict` is an exact `dict`.
    unsafe fn dict(&mut self, dict: *mut ffi::PyObject, depth: usize, left_out: &[u8]) -> Result {
        if depth == MAX_DEPTH {
            return Err(Unusual::Part);
        }
        let base = self.members.len();
        // SAFETY: by the caller: the dict keeps its names and values alive while no Python code runs.
        unsafe {
            let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
            while ffi::PyDict_Next(dict, &raw mut at, &raw mut key, &raw mut value) != 0 {
                fetch(value);
                fetch(value.cast::<u8>().wrapping_add(LINE)); // where most of a short string stands
                let name = utf8(key)?;
                if name.as_bytes() != left_out {
                    self.members.push(Member {
                        prefix: prefix(name),
                        name,
                        value,
                    });
                }
            }
            sort(self.members.get_mut(base..).unwrap_or_default());
            self.writer.byte(b'{')?;
            for i in base..self.members.len() {
                let Some(&Member { name, value, .. }) = self.members.get(i) else {
                    break;
                };
                if i > base {
                    self.writer.byte(b',')?;
                }
                self.writer.name(&*name)?;
                self.value(value, depth + 1)?;
            }
        }
        self.members.truncate(base);
        Ok(self.writer.byte(b'}')?)
    }
}

/// Sorts members by name. Names of exact strings in one dict differ.
fn sort(members: &mut [Member]) {
    members.sort_unstable_by(|a, b| {
        // SAFETY: the names live as long as the dict that `Reader::dict` is writing.
        let names = || unsafe { utf16_order(&*a.name, &*b.name) };
        a.prefix.cmp(&b.prefix).then_with(names)
    });
}
