//! `HotCache.get`, the one method whose call must cost less than its work.
//!
//! A method that PyO3 generates spends more on its arguments than a look-up takes. This one looks at the usual call
//! itself, one or two positional arguments of which the first is a key, and leaves all others to `_get`.
#![expect(clippy::doc_markdown, reason = "PyO3 is a name")]

use std::{ffi::CStr, iter, slice};

use hotloop_core::cache::{Dropped, Key, Lookup};
use pyo3::{Borrowed, ffi, intern, prelude::*};

use crate::cache::HotCache;

const DOC: &CStr = c"get($self, /, key, default=None)
--

The live value of a key.

Args:
    key: 32 bytes, or a text.
    default: what to return where there is none.

Raises:
    TypeError: the key is neither ``bytes`` nor ``str``.
    ValueError: the key is ``bytes`` of another length, or a ``str`` with a lone surrogate.";

struct Definition(ffi::PyMethodDef);

// SAFETY: it is never written to.
unsafe impl Sync for Definition {}

static GET: Definition = Definition(ffi::PyMethodDef {
    ml_name: c"get".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer {
        PyCFunctionFastWithKeywords: get,
    },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: DOC.as_ptr(),
});

/// Puts the method into the class.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<HotCache>();
    // SAFETY: the class is a type and the definition lives for ever; the result is a new reference or null with an
    // error set.
    let method = unsafe {
        let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), (&raw const GET.0).cast_mut());
        Bound::from_owned_ptr_or_err(py, method)?
    };
    class.setattr("get", method)
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
            return other(py, cache, arguments, count, names);
        }
        let Some(key) = plain_key(*arguments) else {
            return other(py, cache, arguments, count, names);
        };
        let cache = Borrowed::from_ptr(py, cache).cast_unchecked::<HotCache>();
        let found = cache
            .get()
            .core
            .look_up(&key, |value| value.clone_ref(py).into_ptr());
        match found {
            Lookup::Live(value) => return value,
            // Attached a second time, so that PyO3 knows of it and drops at once.
            Lookup::Expired => {
                Python::attach(|_| cache.get().core.drop_expired(&key, &mut Dropped::new()));
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

/// Calls `_get` with the same arguments.
///
/// # Safety
///
/// As for `get`, which hands its own arguments on.
#[cold]
unsafe fn other(
    py: Python<'_>,
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
        let name = intern!(py, "_get").as_ptr();
        ffi::PyObject_VectorcallMethod(name, all.as_ptr(), count.unsigned_abs() + 1, names)
    }
}
