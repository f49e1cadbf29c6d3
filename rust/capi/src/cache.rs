//! The hot cache with byte values.

use std::sync::Arc;
use std::time::Duration;

use hotloop_core::cache::{Dropped, HotCache, Key, MAX_SIZE, SystemClock, Ttl};

use crate::bytes::Bytes;
use crate::handles::Handles;
use crate::pointers::{Out, many, utf8};
use crate::status::{Code, Failure, answer};

/// What `hotloop_cache *` points to: nothing.
#[derive(Debug)]
pub(crate) enum CacheHandle {}

/// Counters, as the header shows them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Stats {
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
    size: u64,
    capacity: u64,
    bytes: u64,
}

struct Cache {
    core: HotCache<Arc<[u8]>, SystemClock>,
    ttl: Ttl,
}

static CACHES: Handles<Cache> = Handles::new("cache");

fn out_of_range(text: String) -> Failure {
    Failure(Code::OutOfRange, text)
}

/// The time that so many seconds are; `otherwise` where they are 0.
fn duration(seconds: f64, otherwise: Ttl) -> Result<Ttl, Failure> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(out_of_range(format!(
            "ttl must be a number of seconds that is not negative, got {seconds}"
        )));
    }
    if seconds == 0.0 {
        return Ok(otherwise);
    }
    Ok(Duration::try_from_secs_f64(seconds).map_or(Ttl::Never, Ttl::For))
}

/// The key that an argument stands for.
///
/// # Safety
/// `key` is null or points to `key_len` bytes.
unsafe fn key_of(kind: i32, key: *const u8, key_len: usize) -> Result<Key, Failure> {
    // SAFETY: the caller's word.
    let bytes = unsafe { many(key, key_len, "key") }?;
    match kind {
        0 => bytes
            .try_into()
            .map(Key::digest)
            .map_err(|_| out_of_range(format!("a digest key has 32 bytes, not {}", bytes.len()))),
        1 => Ok(Key::text(utf8(bytes, "key")?)),
        _ => Err(out_of_range(format!("there is no kind {kind} of keys"))),
    }
}

/// Makes a cache.
///
/// # Safety
/// `cache` is null or points to memory for a handle.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_new(
    capacity: u64,
    ttl: f64,
    max_bytes: u64,
    cache: *mut *mut CacheHandle,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let cache = unsafe { Out::new(cache, "cache") }?;
        let ttl = duration(ttl, Ttl::Never)?;
        let max_bytes = (max_bytes > 0).then_some(max_bytes);
        let core = HotCache::new(capacity, max_bytes, SystemClock)?;
        cache.put(CACHES.give(Cache { core, ttl }));
        Ok(Code::Ok)
    })
}

/// Stores a value.
///
/// # Safety
/// `key` and `value` are each null or point to as many bytes as the length beside them says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_put(
    cache: *mut CacheHandle,
    kind: i32,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    ttl: f64,
) -> i32 {
    answer(|| {
        let cache = CACHES.get(cache)?;
        // SAFETY: the caller's word.
        let (key, value) = unsafe {
            (
                key_of(kind, key, key_len)?,
                many(value, value_len, "value")?,
            )
        };
        let ttl = duration(ttl, cache.ttl)?;
        let size = value.len() as u64;
        if size > MAX_SIZE {
            return Err(out_of_range(format!("a value of {size} bytes is too long")));
        }
        let mut dropped = Dropped::new();
        cache.core.put(&key, value.into(), ttl, size, &mut dropped);
        Ok(Code::Ok)
    })
}

/// The live value of a key.
///
/// # Safety
/// `key` is null or points to `key_len` bytes; `value` is null or points to memory for a structure.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_get(
    cache: *mut CacheHandle,
    kind: i32,
    key: *const u8,
    key_len: usize,
    value: *mut Bytes,
) -> i32 {
    let look = |cache: &Cache, key: &Key| cache.core.get(key, Arc::clone, &mut Dropped::new());
    // SAFETY: the caller's word.
    unsafe { answer_with(cache, kind, key, key_len, value, look) }
}

/// Takes the live value of a key out.
///
/// # Safety
/// As [`hotloop_cache_get`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_pop(
    cache: *mut CacheHandle,
    kind: i32,
    key: *const u8,
    key_len: usize,
    value: *mut Bytes,
) -> i32 {
    let take = |cache: &Cache, key: &Key| {
        let mut dropped = Dropped::new();
        let live = cache.core.remove(key, &mut dropped);
        if live { dropped.pop() } else { None }
    };
    // SAFETY: the caller's word.
    unsafe { answer_with(cache, kind, key, key_len, value, take) }
}

/// # Safety
/// As [`hotloop_cache_get`].
unsafe fn answer_with(
    cache: *mut CacheHandle,
    kind: i32,
    key: *const u8,
    key_len: usize,
    value: *mut Bytes,
    find: impl FnOnce(&Cache, &Key) -> Option<Arc<[u8]>>,
) -> i32 {
    answer(|| {
        // SAFETY: the caller's word.
        let value = unsafe { Out::new(value, "value") }?;
        value.put(Bytes::EMPTY);
        let cache = CACHES.get(cache)?;
        // SAFETY: the caller's word.
        let key = unsafe { key_of(kind, key, key_len) }?;
        let Some(found) = find(&cache, &key) else {
            return Ok(Code::Absent);
        };
        value.put(Bytes::share(found));
        Ok(Code::Ok)
    })
}

/// How many entries a cache holds.
///
/// # Safety
/// `len` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_len(cache: *mut CacheHandle, len: *mut u64) -> i32 {
    answer(|| {
        let cache = CACHES.get(cache)?;
        // SAFETY: the caller's word.
        let len = unsafe { Out::new(len, "len") }?;
        len.put(cache.core.len(&mut Dropped::new()) as u64);
        Ok(Code::Ok)
    })
}

/// Drops every entry.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_cache_clear(cache: *mut CacheHandle) -> i32 {
    answer(|| {
        CACHES.get(cache)?.core.clear(&mut Dropped::new());
        Ok(Code::Ok)
    })
}

/// What a cache has done and holds.
///
/// # Safety
/// `stats` is null or points to memory for a structure.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn hotloop_cache_get_stats(
    cache: *mut CacheHandle,
    stats: *mut Stats,
) -> i32 {
    answer(|| {
        let cache = CACHES.get(cache)?;
        // SAFETY: the caller's word.
        let out = unsafe { Out::new(stats, "stats") }?;
        let stats = cache.core.stats(&mut Dropped::new());
        out.put(Stats {
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            expirations: stats.expirations,
            size: stats.size as u64,
            capacity: stats.capacity as u64,
            bytes: stats.bytes,
        });
        Ok(Code::Ok)
    })
}

/// Frees a cache.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn hotloop_cache_free(cache: *mut CacheHandle) -> i32 {
    answer(|| {
        CACHES.end(cache)?;
        Ok(Code::Ok)
    })
}
