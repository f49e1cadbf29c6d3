//! Remembers conversations, so that the key of one that has grown costs what is new.
//!
//! A track holds, for the head and for each message, the digest up to there and a snapshot: the shape of its
//! containers and the very objects that are its leaves. Leaves are immutable and the track owns a reference to each,
//! so that the same object in the same place is the same text; containers are read again each time. A change in
//! place, at any depth, puts another object somewhere or changes a shape, and the digests from there on are made
//! anew. Nothing is compared by hash, so no key can come back for another conversation.

use std::ptr;
use std::sync::{Mutex, PoisonError};

use hotloop_core::canon::Writer;
use hotloop_core::key::{Digest, MESSAGES, Scope, Shape, message_writer};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::value::exact::{self, Unusual};

/// How many conversations are remembered.
const TRACKS: usize = 32;
/// What they hold in total, counting the text of their leaves.
const TRACKED_BYTES: usize = 32 << 20;
/// Shorter conversations cost less to hash than to remember.
const TRACKED_FROM: usize = 4 << 10;
/// The longest snapshot of one conversation.
const MAX_WORDS: usize = 1 << 20;

/// The conversation used last comes last.
static KNOWN: Mutex<Vec<Track>> = Mutex::new(Vec::new());

/// The digest of a body that is an exact `dict` whose `messages` are an exact `list` or `tuple`.
pub(crate) fn digest(
    scope: &Scope,
    body: &Bound<'_, PyAny>,
    messages: &[Bound<'_, PyAny>],
) -> Result<Digest, Unusual> {
    let name = Name::of(messages);
    // Taken out while it is used: no lock is held over the work, and no two threads share a track.
    let mut track = take(name, scope).unwrap_or_else(|| Track::new(name, scope.clone()));
    let digest = track.follow(body, messages)?;
    let gone = put(track);
    drop(gone); // outside the lock
    Ok(digest)
}

fn take(name: Name, scope: &Scope) -> Option<Track> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let i = known
        .iter()
        .rposition(|track| track.name == name && track.scope == *scope)?;
    Some(known.remove(i))
}

fn put(track: Track) -> Vec<Track> {
    if !(TRACKED_FROM..TRACKED_BYTES / 2).contains(&track.bytes())
        || track.snapshot.words.len() > MAX_WORDS
    {
        return vec![track];
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.push(track);
    let mut bytes = 0;
    let fitting = known.iter().rev().take(TRACKS).take_while(|track| {
        bytes += track.bytes();
        bytes <= TRACKED_BYTES
    });
    let excess = known.len() - fitting.count();
    known.drain(..excess).collect()
}

/// Where to look for a conversation: the addresses of its first two messages. What is found is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name([usize; 2]);

impl Name {
    fn of(messages: &[Bound<'_, PyAny>]) -> Self {
        let address = |i: usize| messages.get(i).map_or(0, |message| message.as_ptr().addr());
        Self([address(0), address(1)])
    }
}

struct Track {
    name: Name,
    scope: Scope,
    snapshot: Snapshot,
    /// Of the head, then of each message.
    parts: Vec<Part>,
}

struct Part {
    /// Where its snapshot ends.
    words: usize,
    /// The bytes of its canonical form, and of those before it.
    bytes: usize,
    digest: Digest,
}

impl Track {
    fn new(name: Name, scope: Scope) -> Self {
        Self {
            name,
            scope,
            snapshot: Snapshot { words: Vec::new() },
            parts: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        let words = size_of::<usize>() * self.snapshot.words.len();
        self.parts.last().map_or(0, |part| part.bytes)
            + words
            + size_of::<Part>() * self.parts.len()
    }

    /// Goes along the conversation as far as it is known and on from there.
    fn follow(
        &mut self,
        body: &Bound<'_, PyAny>,
        messages: &[Bound<'_, PyAny>],
    ) -> Result<Digest, Unusual> {
        let mut known = 0;
        let mut at = 0;
        for part in &self.parts {
            let value = if known == 0 {
                Some(body)
            } else {
                messages.get(known - 1)
            };
            let left_out = if known == 0 { MESSAGES } else { "" };
            let Some(next) = value.and_then(|value| self.snapshot.matches(at, value, left_out))
            else {
                break;
            };
            debug_assert_eq!(next, part.words);
            at = next;
            known += 1;
        }
        if known <= messages.len() {
            // Something differs, or is new. A shorter conversation, on the other hand, leaves the track as it is.
            self.parts.truncate(known);
            self.snapshot.truncate(at);
        }
        if known == 0 {
            let mut writer = self.scope.head_writer(Shape::Messages);
            exact::write_without(body, MESSAGES, &mut writer)?;
            self.add(body, MESSAGES, writer);
            known = 1;
        }
        let mut digest = self
            .parts
            .get(known - 1)
            .map_or([0; 32], |part| part.digest);
        for message in messages.get(known - 1..).unwrap_or_default() {
            let mut writer = message_writer(&digest);
            exact::write(message, &mut writer)?;
            digest = self.add(message, "", writer);
        }
        Ok(digest)
    }

    fn add(&mut self, value: &Bound<'_, PyAny>, left_out: &str, form: Writer) -> Digest {
        let bytes = self.parts.last().map_or(0, |part| part.bytes) + form.len();
        let digest = form.digest();
        self.snapshot.add(value, left_out);
        self.parts.push(Part {
            words: self.snapshot.words.len(),
            bytes,
            digest,
        });
        digest
    }
}

/// Values laid out flat: a container is a word of its kind and size, followed by its parts; a leaf is its address.
/// Objects are aligned, so that the lowest bit tells the two apart. Owns a reference to each leaf.
struct Snapshot {
    words: Vec<usize>,
}

const DICT: usize = 1;
const LIST: usize = 3;
const TUPLE: usize = 5;

/// The word of a container.
fn container(kind: usize, len: isize) -> usize {
    len.cast_unsigned() << 3 | kind
}

impl Snapshot {
    /// Adds a value that [`exact`] has just written: its depth and types are known to be good.
    fn add(&mut self, value: &Bound<'_, PyAny>, left_out: &str) {
        // SAFETY: `value` is a live object and the GIL is held.
        unsafe { self.add_value(value.as_ptr(), left_out) }
    }

    /// # Safety
    /// `object` is a live object and the GIL is held.
    unsafe fn add_value(&mut self, object: *mut ffi::PyObject, left_out: &str) {
        if self.words.len() > MAX_WORDS {
            return; // `put` will not keep it
        }
        // SAFETY: by the caller; nothing here runs Python code, so that borrowed references stay good.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyDict_Type {
                self.words.push(container(DICT, ffi::PyDict_Size(object)));
                let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
                while ffi::PyDict_Next(object, &raw mut at, &raw mut key, &raw mut value) != 0 {
                    self.add_leaf(key);
                    if left_out.is_empty() || !exact::is(key, left_out) {
                        self.add_value(value, "");
                    }
                }
            } else if kind == &raw mut ffi::PyList_Type {
                let len = ffi::PyList_GET_SIZE(object);
                self.words.push(container(LIST, len));
                for i in 0..len {
                    self.add_value(ffi::PyList_GET_ITEM(object, i), "");
                }
            } else if kind == &raw mut ffi::PyTuple_Type {
                let len = ffi::PyTuple_GET_SIZE(object);
                self.words.push(container(TUPLE, len));
                for i in 0..len {
                    self.add_value(ffi::PyTuple_GET_ITEM(object, i), "");
                }
            } else {
                self.add_leaf(object);
            }
        }
    }

    /// # Safety
    /// `object` is a live object and the GIL is held.
    unsafe fn add_leaf(&mut self, object: *mut ffi::PyObject) {
        // SAFETY: by the caller; `truncate` gives the reference back.
        unsafe { ffi::Py_INCREF(object) };
        self.words.push(object.expose_provenance());
    }

    /// Where the snapshot that starts at `at` ends, if it is one of `value` as it is now.
    fn matches(&self, at: usize, value: &Bound<'_, PyAny>, left_out: &str) -> Option<usize> {
        // SAFETY: `value` is a live object and the GIL is held.
        unsafe { self.matches_value(at, value.as_ptr(), left_out) }
    }

    /// # Safety
    /// `object` is a live object and the GIL is held.
    unsafe fn matches_value(
        &self,
        mut at: usize,
        object: *mut ffi::PyObject,
        left_out: &str,
    ) -> Option<usize> {
        let word = *self.words.get(at)?;
        at += 1;
        if word & 1 == 0 {
            return (word == object.addr()).then_some(at);
        }
        // SAFETY: by the caller; nothing here runs Python code, so that borrowed references stay good.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyDict_Type {
                if word != container(DICT, ffi::PyDict_Size(object)) {
                    return None;
                }
                let (mut next, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
                while ffi::PyDict_Next(object, &raw mut next, &raw mut key, &raw mut value) != 0 {
                    if *self.words.get(at)? != key.addr() {
                        return None;
                    }
                    at += 1;
                    if left_out.is_empty() || !exact::is(key, left_out) {
                        at = self.matches_value(at, value, "")?;
                    }
                }
            } else if kind == &raw mut ffi::PyList_Type {
                let len = ffi::PyList_GET_SIZE(object);
                if word != container(LIST, len) {
                    return None;
                }
                for i in 0..len {
                    at = self.matches_value(at, ffi::PyList_GET_ITEM(object, i), "")?;
                }
            } else if kind == &raw mut ffi::PyTuple_Type {
                let len = ffi::PyTuple_GET_SIZE(object);
                if word != container(TUPLE, len) {
                    return None;
                }
                for i in 0..len {
                    at = self.matches_value(at, ffi::PyTuple_GET_ITEM(object, i), "")?;
                }
            } else {
                return None;
            }
        }
        Some(at)
    }

    fn truncate(&mut self, len: usize) {
        let gone = self.words.split_off(len.min(self.words.len()));
        if gone.is_empty() {
            return;
        }
        Python::attach(|_| {
            for word in gone.into_iter().filter(|word| word & 1 == 0) {
                // SAFETY: the word is a reference that `add_leaf` took, and the GIL is held. Leaves are of exact
                // built-in types, so that freeing one runs no Python code.
                unsafe { ffi::Py_DECREF(ptr::with_exposed_provenance_mut(word)) };
            }
        });
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.truncate(0);
    }
}
