//! `cache_key`, `request_key` and `KeyChain`.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use hotloop_core::canon::{CanonError, Step, TooLong, Writer};
use hotloop_core::key::{self, Digest, MESSAGES, Memo, Scope, Shape, message_writer, value_writer};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::canon::{Source, detached_if_large};
use crate::error::raise;
use crate::track;
use crate::value::exact::{self, Unusual};
use crate::value::{self, any};

/// Wire bytes that are remembered with their keys, in total.
const MEMO_BYTES: usize = 16 << 20;
/// Shorter bodies cost less to parse than to remember.
const MEMO_FROM: usize = 1 << 10;

/// The tenant where the caller names none.
const NOBODY: &[u8] = b"";

static MEMO: LazyLock<Mutex<Memo<PyBackedBytes>>> = LazyLock::new(|| {
    use std::hash::{BuildHasher as _, RandomState};
    Mutex::new(Memo::new(MEMO_BYTES, RandomState::new().hash_one(0)))
});

/// A poisoned lock is as good as any: what it guards is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The 32-byte key of a value.
#[pyfunction]
#[pyo3(signature = (value, *, namespace = ""))]
pub(crate) fn cache_key<'py>(
    value: &Bound<'py, PyAny>,
    namespace: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let writer = value::write(value, || value_writer(namespace))?;
    Ok(PyBytes::new(value.py(), &writer.digest()))
}

/// The 32-byte key of a model request.
#[pyfunction]
#[pyo3(
    signature = (body, *, url = "", headers = None, tenant = NOBODY, namespace = ""),
    text_signature = "(body, *, url='', headers=None, tenant=b'', namespace='')"
)]
pub(crate) fn request_key<'py>(
    body: &Bound<'py, PyAny>,
    url: &str,
    headers: Option<&Bound<'py, PyAny>>,
    tenant: &[u8],
    namespace: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = body.py();
    let scope = scope(url, headers, tenant, namespace)?;
    let digest = match Source::of(body)? {
        Some(text) => of_text(py, scope, &text)?,
        None => Chain::of_body(&scope, body, true)?.digest,
    };
    Ok(PyBytes::new(py, &digest))
}

fn of_text(py: Python<'_>, scope: Scope, text: &Source<'_, '_>) -> PyResult<Digest> {
    let bytes = text.as_bytes();
    let parse = || {
        detached_if_large(py, bytes.len(), || key::request_key(&scope, bytes))
            .map_err(|error| raise(&error, None))
    };
    let Source::Bytes(object) = text else {
        return parse();
    };
    if bytes.len() < MEMO_FROM {
        return parse();
    }
    let (slot, known) = {
        let memo = lock(&MEMO);
        let slot = memo.slot(&scope, bytes);
        (slot, memo.get(slot, &scope, bytes))
    };
    if let Some(digest) = known {
        return Ok(digest);
    }
    let digest = parse()?;
    let body = PyBackedBytes::from((*object).clone());
    let gone = lock(&MEMO).put(slot, scope, body, digest);
    drop(gone); // outside the lock
    Ok(digest)
}

/// Everything about a request but its body.
fn scope(
    url: &str,
    headers: Option<&Bound<'_, PyAny>>,
    tenant: &[u8],
    namespace: &str,
) -> PyResult<Scope> {
    let Some(headers) = headers else {
        return Ok(Scope::new(namespace, tenant, url, []));
    };
    let pairs = if headers.hasattr("items")? {
        headers.call_method0("items")?
    } else {
        headers.clone()
    };
    let pairs: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)> = pairs
        .try_iter()?
        .map(|pair| pair?.extract())
        .collect::<PyResult<_>>()?;
    let mut fields = Vec::with_capacity(pairs.len());
    for (name, value) in &pairs {
        fields.push((header_bytes(name)?, header_bytes(value)?));
    }
    Ok(Scope::new(namespace, tenant, url, fields))
}

fn header_bytes<'a>(part: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(text) = part.cast::<PyString>() {
        return Ok(text.to_str()?.as_bytes());
    }
    match part.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "headers are str or bytes, not {}",
            part.get_type()
        ))),
    }
}

/// The digest after some messages.
#[derive(Clone, Copy)]
struct Chain {
    digest: Digest,
    messages: usize,
}

impl Chain {
    /// The chain of a whole body. One without messages has its own shape, unless it is the head of some to come.
    fn of_body(scope: &Scope, body: &Bound<'_, PyAny>, whole: bool) -> PyResult<Self> {
        match Self::of_exact(scope, body, whole) {
            Ok(chain) => Ok(chain),
            Err(Unusual::TooLong) => Err(any::Failure::from(TooLong).into()),
            Err(Unusual::Part) => Self::of_any(scope, body, whole),
        }
    }

    fn of_exact(scope: &Scope, body: &Bound<'_, PyAny>, whole: bool) -> Result<Self, Unusual> {
        let messages = exact::member(body, MESSAGES)?;
        let messages = messages.as_ref();
        let is_array = messages.is_some_and(|it| {
            it.is_exact_instance_of::<PyList>() || it.is_exact_instance_of::<PyTuple>()
        });
        if !is_array && !whole && messages.is_some() {
            return Err(Unusual::Part);
        }
        let shape = if whole && !is_array {
            Shape::Whole
        } else {
            Shape::Messages
        };
        if shape == Shape::Whole
            && messages
                .is_some_and(|it| it.is_instance_of::<PyList>() || it.is_instance_of::<PyTuple>())
        {
            return Err(Unusual::Part);
        }
        if let Some(messages) = messages.filter(|_| is_array) {
            let items = exact::items(messages)?;
            return Ok(Self {
                digest: track::digest(scope, body, &items)?,
                messages: items.len(),
            });
        }
        let mut writer = scope.head_writer(shape);
        match shape {
            Shape::Messages => exact::write_without(body, MESSAGES, &mut writer)?,
            Shape::Whole => exact::write(body, &mut writer)?,
        }
        Ok(Self {
            digest: writer.digest(),
            messages: 0,
        })
    }

    fn of_any(scope: &Scope, body: &Bound<'_, PyAny>, whole: bool) -> PyResult<Self> {
        let Some(mut members) = any::members(body)? else {
            return Err(raise(
                &CanonError::new("a request body is a JSON object"),
                None,
            ));
        };
        let within = |failure: any::Failure| failure.within(|| Step::Name(MESSAGES.to_owned()));
        let mut messages = None;
        let mut others = 0;
        for (name, value) in &members {
            if name.to_str().is_ok_and(|name| name == MESSAGES) {
                messages = any::items(value).map_err(within)?;
                others += 1;
            }
        }
        if others > 1 {
            return Err(raise(&CanonError::duplicate(MESSAGES), None));
        }
        if !whole && others == 1 && messages.is_none() {
            let error = CanonError::new("the messages of a chain are a list");
            return Err(raise(&error.within(Step::Name(MESSAGES.to_owned())), None));
        }
        let shape = if whole && messages.is_none() {
            Shape::Whole
        } else {
            Shape::Messages
        };
        if shape == Shape::Messages {
            members.retain(|(name, _)| !name.to_str().is_ok_and(|name| name == MESSAGES));
        }
        let mut writer = scope.head_writer(shape);
        any::write_members(&members, &mut writer)?;
        let mut chain = Self {
            digest: writer.digest(),
            messages: 0,
        };
        for (i, message) in messages.iter().flatten().enumerate() {
            let mut writer = message_writer(&chain.digest);
            any::write(message, &mut writer)
                .map_err(|failure| within(failure.within(|| Step::Index(i))))?;
            chain.push(writer);
        }
        Ok(chain)
    }

    fn push(&mut self, message: Writer) {
        self.digest = message.digest();
        self.messages += 1;
    }
}

/// The key of a request whose messages come one at a time.
#[pyclass(frozen, module = "hotloop._core")]
pub(crate) struct KeyChain(Mutex<Chain>);

#[pymethods]
impl KeyChain {
    #[new]
    #[pyo3(
        signature = (head, *, url = "", headers = None, tenant = NOBODY, namespace = ""),
        text_signature = "(head, *, url='', headers=None, tenant=b'', namespace='')"
    )]
    fn new(
        head: &Bound<'_, PyAny>,
        url: &str,
        headers: Option<&Bound<'_, PyAny>>,
        tenant: &[u8],
        namespace: &str,
    ) -> PyResult<Self> {
        let scope = scope(url, headers, tenant, namespace)?;
        Ok(Self(Mutex::new(Chain::of_body(&scope, head, false)?)))
    }

    /// Adds a message.
    fn append(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        // Read before the lock is taken: reading may run Python code.
        let form = value::write(message, Writer::growing)?;
        let mut chain = lock(&self.0);
        let mut writer = message_writer(&chain.digest);
        writer
            .raw(form.as_bytes())
            .map_err(|error| raise(&error.into(), None))?;
        chain.push(writer);
        Ok(())
    }

    /// The key of the request as it stands.
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let digest = lock(&self.0).digest;
        PyBytes::new(py, &digest)
    }

    /// A chain that goes on from here by itself.
    fn fork(&self) -> Self {
        Self(Mutex::new(*lock(&self.0)))
    }

    fn __len__(&self) -> usize {
        lock(&self.0).messages
    }

    fn __repr__(&self) -> String {
        format!("<KeyChain of {} messages>", lock(&self.0).messages)
    }
}
