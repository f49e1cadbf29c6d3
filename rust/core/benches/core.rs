//! The core without Python: `cargo bench -p hotloop-core`.
#![expect(clippy::unwrap_used, reason = "a benchmark that panics has failed")]

use divan::{Bencher, black_box, counter::BytesCount};
use hotloop_core::cache::{Dropped, HotCache, Key, SystemClock, Ttl};
use hotloop_core::canon::canonicalize;
use hotloop_core::key::{Chain, Scope, cache_key, request_key};
use hotloop_core::pool::Pool;
use std::time::Duration;

const SIZES: [usize; 3] = [4 << 10, 32 << 10, 256 << 10];

fn main() {
    divan::main();
}

/// A chat body of about so many bytes, as an SDK sends it.
fn body(size: usize) -> Vec<u8> {
    let mut text = String::from(r#"{"model":"gpt-4o","temperature":0.2,"messages":["#);
    while text.len() < size {
        let content = "the agent read a file\\nand said \\\"no\\\" – ".repeat(12);
        text.push_str(r#"{"role":"tool","tool_call_id":"call_1","content":""#);
        text.push_str(&content);
        text.push_str(r#""},"#);
    }
    text.push_str(r#"{"role":"user","content":"and now?"}],"seed":42}"#);
    text.into_bytes()
}

fn scope() -> Scope {
    Scope::new("", b"", "https://api.openai.com/v1/chat/completions", [])
}

#[divan::bench(args = SIZES)]
fn canonical_text(bencher: Bencher, size: usize) {
    let text = body(size);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| canonicalize(black_box(&text)));
}

#[divan::bench(args = SIZES)]
fn key_of_value(bencher: Bencher, size: usize) {
    let text = body(size);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| cache_key(black_box(&text), ""));
}

#[divan::bench(args = SIZES)]
fn key_of_request(bencher: Bencher, size: usize) {
    let (text, scope) = (body(size), scope());
    bencher
        .counter(BytesCount::new(text.len()))
        .bench(|| request_key(&scope, black_box(&text)));
}

#[divan::bench]
fn chain_of_one_more_message(bencher: Bencher) {
    let message = format!(r#"{{"role":"tool","content":"{}"}}"#, "x".repeat(2000));
    let mut chain = Chain::new(&scope(), br#"{"model":"m"}"#).unwrap();
    bencher.bench_local(|| chain.append(black_box(message.as_bytes())));
}

fn key(n: u64) -> Key {
    let mut bytes = [0; 32];
    for (at, part) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *part = (n ^ at as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes();
    }
    Key::digest(&bytes)
}

fn full(entries: u64) -> HotCache<u64> {
    let cache = HotCache::with_seed(entries, None, SystemClock, 1).unwrap();
    for n in 0..entries {
        let ttl = Ttl::For(Duration::from_secs(3600));
        cache.put(&key(n), n, ttl, 8, &mut Dropped::new());
    }
    cache
}

const ENTRIES: [u64; 2] = [10_000, 1_000_000];

/// Keys in an order that no prefetcher knows.
fn asked(entries: u64) -> Vec<Key> {
    (0..4096_u64)
        .map(|n| key(n.wrapping_mul(0x2545_f491_4f6c_dd1d) % entries))
        .collect()
}

#[divan::bench(args = ENTRIES)]
fn hits_4096(bencher: Bencher, entries: u64) {
    let (cache, keys) = (full(entries), asked(entries));
    bencher.bench(|| {
        let mut dropped = Dropped::new();
        let hits = keys
            .iter()
            .filter(|key| cache.get(key, |value| *value, &mut dropped).is_some());
        black_box(hits.count())
    });
}

#[divan::bench(args = ENTRIES, threads = [2])]
fn hits_4096_of_two_threads(bencher: Bencher, entries: u64) {
    hits_4096(bencher, entries);
}

#[divan::bench(args = ENTRIES)]
fn puts_with_eviction_4096(bencher: Bencher, entries: u64) {
    let cache = full(entries);
    let mut next = entries;
    bencher.bench_local(|| {
        let mut dropped = Dropped::new();
        for _ in 0..4096 {
            cache.put(&key(next), next, Ttl::Never, 8, &mut dropped);
            dropped.clear();
            next += 1;
        }
    });
}

#[divan::bench(args = [16 << 10, 1 << 20])]
fn buffer_take_fill_give(bencher: Bencher, size: usize) {
    let (pool, data) = (Pool::new(64, 64 << 20), vec![7; size]);
    bencher.counter(BytesCount::new(size)).bench(|| {
        pool.take(size)
            .map(|mut buffer| buffer.extend_from_slice(black_box(&data)))
    });
}
