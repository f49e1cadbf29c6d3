//! `HotCache.get` and `put`, whose calls must cost less than their work.
//!
//! A method that PyO3 generates spends more on its arguments than a look-up takes. These look at the usual call
//! themselves, positional arguments of the usual types, and leave all others to `_get` and `_put`.
#![expect(clippy::doc_markdown, reason = "PyO3 is a name")]

use std::{ffi::CStr, iter, slice};

use hotloop_core::cache::{Dropped, Key, Lookup};
use pyo3::{Borrowed, ffi, intern, prelude::*, types::PyString};

use crate::cache::HotCache;

const GET_DOC: &CStr = c"get($self, /, key, default=None)
--

The live value of a key.

Args:
    key: 32 bytes, or a text.
    default: what to return where there is none.

Raises:
    TypeError: the key is neither ``bytes`` nor ``str``.
    ValueError: the key is ``bytes`` of another length, or a ``str`` with a lone surrogate.";

const PUT_DOC: &CStr = c"put($self, /, key, value, *, ttl=None, size=None)
--

Stores a value in the place of any older one of the key; others may be evicted for it.

A value larger than ``max_bytes`` is not stored, and the older value of its key is dropped with it.

Args:
    key: 32 bytes, or a text.
    value: any object.
    ttl: seconds for which to serve it, in place of the cache's own; ``inf``: no limit.
    size: what it counts for in ``max_bytes``; by default the length in bytes of ``bytes``, ``bytearray``,
        ``memoryview`` and ``str`` (1, 2 or 4 a character, as Python stores it), and ``sys.getsizeof`` of
        anything else, which leaves out what a container refers to.

Raises:
    TypeError: the key is neither ``bytes`` nor ``str``.
    ValueError: the key is ``bytes`` of another length, or a ``str`` with a lone surrogate; the ttl is not a
        positive number; the size is negative or 2^48 or more.";

struct Definition(ffi::PyMethodDef);

// SAFETY: it is never written to.
unsafe impl Sync for Definition {}

type Method = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

const fn definition(name: &'static CStr, method: Method, doc: &'static CStr) -> Definition {
    Definition(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: method,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    })
}

static GET: Definition = definition(c"get", get, GET_DOC);
static PUT: Definition = definition(c"put", put, PUT_DOC);

/// Puts the methods into the class.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<HotCache>();
    for (name, definition) in [("get", &GET), ("put", &PUT)] {
        // SAFETY: the class is a type and the definition lives for ever; the result is a new reference or null with
        // an error set.
        let method = unsafe {
            let method =
                ffi::PyDescr_NewMethod(class.as_type_ptr(), (&raw const definition.0).cast_mut());
            Bound::from_owned_ptr_or_err(py, method)?
        };
        class.setattr(name, method)?;
    }
    Ok(())
}

unsafe extern "C" fn get(
    cache: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls with valid pointers, `count` arguments and itself attached to this thread; the descriptor
    // has seen that `cache` is of its class. References to the arguments are borrowed from the caller.
    unsafe {
        let py = Python::assume_attached();
        if !names.is_null() || !(count == 1 || count == 2) {
            return other(intern!(py, "_get"), cache, arguments, count, names);
        }
        let Some(key) = plain_key(*arguments) else {
            return other(intern!(py, "_get"), cache, arguments, count, names);
        };
        let cache = Borrowed::from_ptr(py, cache).cast_unchecked::<HotCache>();
        let found = cache
            .get()
            .core
            .look_up(&key, |value| value.clone_ref(py).into_ptr());
        match found {
            Lookup::Live(value) => return value,
            Lookup::Expired => {
                let mut dropped = Dropped::new();
                cache.get().core.drop_expired(&key, &mut dropped);
                release(dropped);
            }
            Lookup::Missing => {}
        }
        ffi::Py_NewRef(if count == 2 {
            *arguments.add(1)
        } else {
            ffi::Py_None()
        })
    }
}

unsafe extern "C" fn put(
    cache: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    unsafe {
        let py = Python::assume_attached();
        if !names.is_null() || count != 2 {
            return other(intern!(py, "_put"), cache, arguments, count, names);
        }
        let value = *arguments.add(1);
        let (Some(key), Some(size)) = (plain_key(*arguments), plain_size(value)) else {
            return other(intern!(py, "_put"), cache, arguments, count, names);
        };
        let cache = Borrowed::from_ptr(py, cache).cast_unchecked::<HotCache>();
        let value = Borrowed::from_ptr(py, value).to_owned().unbind();
        let HotCache { core, ttl } = cache.get();
        let mut dropped = Dropped::new();
        core.put(&key, value, *ttl, size, &mut dropped);
        release(dropped);
        ffi::Py_NewRef(ffi::Py_None())
    }
}

/// Lets go of what has left a cache, without asking `PyO3` whether this thread is attached: it does not know.
///
/// # Safety
///
/// This thread is attached.
#[inline]
unsafe fn release(dropped: Dropped<Py<PyAny>>) {
    for value in dropped {
        // SAFETY: the reference was the cache's own.
        unsafe { ffi::Py_DECREF(value.into_ptr()) };
    }
}

/// What bytes and text count for; None for all other values.
///
/// # Safety
///
/// As for `plain_key`.
#[inline]
unsafe fn plain_size(value: *mut ffi::PyObject) -> Option<u64> {
    // SAFETY: the types are looked at before what only they have.
    unsafe {
        if ffi::PyBytes_CheckExact(value) != 0 {
            return Some(ffi::Py_SIZE(value).unsigned_abs() as u64);
        }
        if ffi::PyUnicode_CheckExact(value) != 0 {
            let characters = ffi::PyUnicode_GET_LENGTH(value).unsigned_abs();
            return Some((characters * ffi::PyUnicode_KIND(value) as usize) as u64);
        }
        None
    }
}

/// The key of the usual objects; None for all that need a second look.
///
/// # Safety
///
/// `key` points to an object, and this thread is attached.
#[inline]
unsafe fn plain_key(key: *mut ffi::PyObject) -> Option<Key> {
    // SAFETY: the types are looked at before what only they have. Bytes and the UTF-8 form of a str do not change.
    unsafe {
        if ffi::PyBytes_CheckExact(key) != 0 && ffi::Py_SIZE(key) == 32 {
            return Some(Key::digest(&*ffi::PyBytes_AS_STRING(key).cast()));
        }
        if ffi::PyUnicode_CheckExact(key) == 0 {
            return None;
        }
        let mut length = 0;
        let text = ffi::PyUnicode_AsUTF8AndSize(key, &raw mut length);
        if text.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let text = slice::from_raw_parts(text.cast(), length.unsigned_abs());
        Some(Key::text(str::from_utf8_unchecked(text)))
    }
}

/// Calls another method with the same arguments.
///
/// # Safety
///
/// As for `get` and `put`, which hand their own arguments on.
#[cold]
unsafe fn other(
    name: &Bound<'_, PyString>,
    cache: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: there are as many arguments as `count` and `names` say, and the cache is put before them.
    unsafe {
        let keywords = if names.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(names)
        };
        let given = slice::from_raw_parts(arguments, (count + keywords).unsigned_abs());
        let all: Vec<_> = iter::once(cache).chain(given.iter().copied()).collect();
        ffi::PyObject_VectorcallMethod(name.as_ptr(), all.as_ptr(), count.unsigned_abs() + 1, names)
    }
}
