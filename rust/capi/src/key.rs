//! Keys of values and requests, and chains.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hotloop_core::key::{self, Chain, Digest};

use crate::handles::Handles;
use crate::pointers::{self, Out, Text, many};
use crate::status::{Code, Failure, answer};

/// A header field.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Header {
    name: Text,
    value: Text,
}

/// Everything about a request but its body.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Scope {
    url: Text,
    tenant: Text,
    name_space: Text,
    headers: *const Header,
    header_count: usize,
}

/// What `hotloop_chain *` points to: nothing.
#[derive(Debug)]
pub(crate) enum ChainHandle {}

static CHAINS: Handles<Mutex<Chain>> = Handles::new("chain");

fn lock(chain: &Mutex<Chain>) -> MutexGuard<'_, Chain> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `scope` is null or points to a structure, each pointer in it to as much as the length beside it says.
unsafe fn scope_of(scope: *const Scope) -> Result<key::Scope, Failure> {
    if scope.is_null() {
        return Ok(key::Scope::new("", b"", "", []));
    }
    // SAFETY: the caller's word, here and for what the structure points to.
    unsafe {
        let scope = pointers::one(scope, "scope")?;
        let mut fields = Vec::new();
        for header in many(scope.headers, scope.header_count, "headers")? {
            fields.push((
                header.name.bytes("header name")?,
                header.value.bytes("header value")?,
            ));
        }
        Ok(key::Scope::new(
            scope.name_space.text("namespace")?,
            scope.tenant.bytes("tenant")?,
            scope.url.text("url")?,
            fields,
        ))
    }
}

/// The key of the value that a JSON text stands for.
///
/// # Safety
/// `text` is null or points to `text_len` bytes, `name_space.data` likewise; `key` is null or points to 32 bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_key(
    text: *const u8,
    text_len: usize,
    name_space: Text,
    key: *mut Digest,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let (text, name_space, key) = unsafe {
            (
                many(text, text_len, "text")?,
                name_space.text("namespace")?,
                Out::new(key, "key")?,
            )
        };
        key.put(key::cache_key(text, name_space)?);
        Ok(Code::Ok)
    })
}

/// The key of a request.
///
/// # Safety
/// `body` is null or points to `body_len` bytes; `scope` as for [`scope_of`]; `key` is null or points to 32 bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_request_key(
    body: *const u8,
    body_len: usize,
    scope: *const Scope,
    key: *mut Digest,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let (body, scope, key) = unsafe {
            (
                many(body, body_len, "body")?,
                scope_of(scope)?,
                Out::new(key, "key")?,
            )
        };
        key.put(key::request_key(&scope, body)?);
        Ok(Code::Ok)
    })
}

/// Starts a chain.
///
/// # Safety
/// `head` is null or points to `head_len` bytes; `scope` as for [`scope_of`]; `chain` is null or points to memory for
/// a handle.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_chain_new(
    head: *const u8,
    head_len: usize,
    scope: *const Scope,
    chain: *mut *mut ChainHandle,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let (head, scope, chain) = unsafe {
            (
                many(head, head_len, "head")?,
                scope_of(scope)?,
                Out::new(chain, "chain")?,
            )
        };
        chain.put(CHAINS.give(Mutex::new(Chain::new(&scope, head)?)));
        Ok(Code::Ok)
    })
}

/// Adds a message.
///
/// # Safety
/// `message` is null or points to `message_len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_chain_append(
    chain: *mut ChainHandle,
    message: *const u8,
    message_len: usize,
) -> i32 {
    answer(|| {
        let chain = CHAINS.get(chain)?;
        // SAFETY: the caller's word.
        let message = unsafe { many(message, message_len, "message") }?;
        lock(&chain).append(message)?;
        Ok(Code::Ok)
    })
}

/// The key of the request as it stands.
///
/// # Safety
/// `key` is null or points to 32 bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_chain_digest(
    chain: *mut ChainHandle,
    key: *mut Digest,
) -> i32 {
    answer(|| {
        let chain = CHAINS.get(chain)?;
        // SAFETY: the caller's word.
        let key = unsafe { Out::new(key, "key") }?;
        key.put(lock(&chain).digest());
        Ok(Code::Ok)
    })
}

/// How many messages a chain has.
///
/// # Safety
/// `len` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_chain_len(chain: *mut ChainHandle, len: *mut u64) -> i32 {
    answer(|| {
        let chain = CHAINS.get(chain)?;
        // SAFETY: the caller's word.
        let len = unsafe { Out::new(len, "len") }?;
        len.put(lock(&chain).messages() as u64);
        Ok(Code::Ok)
    })
}

/// A chain that goes on from here by itself.
///
/// # Safety
/// `fork` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_chain_fork(
    chain: *mut ChainHandle,
    fork: *mut *mut ChainHandle,
) -> i32 {
    answer(|| {
        let chain = CHAINS.get(chain)?;
        // SAFETY: the caller's word.
        let fork = unsafe { Out::new(fork, "fork") }?;
        let copy = *lock(&chain);
        fork.put(CHAINS.give(Mutex::new(copy)));
        Ok(Code::Ok)
    })
}

/// Frees a chain.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_chain_free(chain: *mut ChainHandle) -> i32 {
    answer(|| {
        CHAINS.end(chain)?;
        Ok(Code::Ok)
    })
}
