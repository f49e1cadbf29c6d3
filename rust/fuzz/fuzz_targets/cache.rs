//! Any row of operations on a cache, against a map that never evicts: what the cache still has is right, what it has
//! lost is accounted for, and its bounds hold at every step.
#![no_main]

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use arbitrary::Arbitrary;
use hotloop_core::cache::{Clock, Dropped, HotCache, Key, Millis, Ttl};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Op {
    Get(u8),
    Contains(u8),
    Put { key: u8, size: u8, ttl: Option<u16> },
    Pop(u8),
    Advance(u16),
    Clear,
    Stats,
}

#[derive(Arbitrary, Debug)]
struct Input {
    capacity: u8,
    max_bytes: Option<u16>,
    seed: u64,
    texts: bool,
    ops: Vec<Op>,
}

#[derive(Debug)]
struct Manual<'a>(&'a Cell<Millis>);

impl Clock for Manual<'_> {
    fn now(&self) -> Millis {
        self.0.get()
    }
}

#[derive(Clone, Copy)]
struct Known {
    value: u64,
    until: Option<Millis>,
    size: u64,
}

/// A value that is counted while it lives.
#[derive(Debug)]
struct Counted {
    value: u64,
    _alive: Rc<()>,
}

fuzz_target!(|input: Input| {
    let time = Cell::new(1);
    let alive = Rc::new(());
    let capacity = u64::from(input.capacity) + 1;
    let max_bytes = input.max_bytes.map(|bytes| u64::from(bytes) + 1);
    let cache: HotCache<Counted, Manual<'_>> =
        HotCache::with_seed(capacity, max_bytes, Manual(&time), input.seed)
            .expect("limits in range");
    let key = |n: u8| match input.texts {
        true => Key::text(&"key ".repeat(usize::from(n))),
        false => Key::digest(&[n; 32]),
    };
    let mut model: HashMap<u8, Known> = HashMap::new();
    let (mut hits, mut misses, mut stored, mut taken, mut cleared) = (0, 0, 0, 0, 0);
    for (step, op) in input.ops.iter().enumerate() {
        let mut dropped: Dropped<Counted> = Dropped::new();
        let live = |known: &Known| known.until.is_none_or(|until| time.get() < until);
        match *op {
            Op::Get(n) => {
                let found = cache.get(&key(n), |found| found.value, &mut dropped);
                if let Some(value) = found {
                    let known = model.get(&n).expect("only what was stored is found");
                    assert!(known.value == value && live(known), "stale or foreign");
                    hits += 1;
                } else {
                    model.remove(&n);
                    misses += 1;
                }
            }
            Op::Contains(n) => {
                let there = cache.contains(&key(n));
                assert!(!there || model.get(&n).is_some_and(live));
            }
            Op::Put { key: n, size, ttl } => {
                let (value, size) = (step as u64, u64::from(size));
                let (ttl, until) = match ttl {
                    None => (Ttl::Never, None),
                    Some(millis) => {
                        let millis = u64::from(millis);
                        let until = time.get() + millis.max(1);
                        (Ttl::For(Duration::from_millis(millis)), Some(until))
                    }
                };
                let had = cache.contains(&key(n));
                cache.put(
                    &key(n),
                    Counted {
                        value,
                        _alive: alive.clone(),
                    },
                    ttl,
                    size,
                    &mut dropped,
                );
                let fits = max_bytes.is_none_or(|most| size <= most);
                assert_eq!(cache.contains(&key(n)), fits, "what fits is stored");
                if fits {
                    model.insert(n, Known { value, until, size });
                    stored += u64::from(!had);
                } else {
                    model.remove(&n);
                    taken += u64::from(had);
                }
            }
            Op::Pop(n) => {
                let live_one = cache.remove(&key(n), &mut dropped);
                if live_one {
                    let value = dropped.pop().expect("the value comes last");
                    let known = model.get(&n).expect("only what was stored is found");
                    assert!(
                        known.value == value.value && live(known),
                        "stale or foreign"
                    );
                    taken += 1;
                }
                model.remove(&n);
            }
            Op::Advance(millis) => time.set(time.get() + u64::from(millis)),
            Op::Clear => {
                cleared += cache.stats(&mut dropped).size as u64;
                cache.clear(&mut dropped);
                model.clear();
                assert_eq!(cache.stats(&mut dropped).size, 0);
            }
            Op::Stats => {}
        }
        drop(dropped);
        let stats = cache.stats(&mut Dropped::new());
        assert_eq!((stats.hits, stats.misses), (hits, misses));
        assert!(stats.size as u64 <= capacity && stats.bytes <= max_bytes.unwrap_or(u64::MAX));
        assert_eq!(
            stats.size as u64 + stats.evictions + stats.expirations + taken + cleared,
            stored,
            "all accounted for"
        );
        assert_eq!(
            Rc::strong_count(&alive) - 1,
            stats.size,
            "values are held once, and dropped once"
        );
        let held = |n: &u8| cache.contains(&key(*n));
        let sizes: u64 = model
            .iter()
            .filter(|(n, _)| held(n))
            .map(|(_, known)| known.size)
            .sum();
        assert_eq!(stats.bytes, sizes, "bytes are those of what is held");
    }
});
