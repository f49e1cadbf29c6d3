//! The hot cache against a simple model: whatever it serves was put and is in time, and its limits hold.
#![cfg(not(loom))]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hotloop_core::cache::{Clock, Dropped, HotCache, Key, MAX_SIZE, Millis, Ttl};
use proptest::prelude::*;

#[derive(Default)]
struct Manual(AtomicU64);

impl Clock for &Manual {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        ttl: Option<u64>,
        size: u64,
    },
    Get(u8),
    Contains(u8),
    Remove(u8),
    Advance(u64),
    Len,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..40;
    let step = prop_oneof![
        8 => (key.clone(), prop::option::of(1u64..50), 0u64..20).prop_map(|(key, ttl, size)| Step::Put { key, ttl, size }),
        8 => key.clone().prop_map(Step::Get),
        2 => key.clone().prop_map(Step::Contains),
        2 => key.prop_map(Step::Remove),
        2 => (0u64..30).prop_map(Step::Advance),
        1 => Just(Step::Len),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..400)
}

fn key_of(number: u8) -> Key {
    match number % 3 {
        0 => Key::digest(&[number; 32]),
        1 => Key::text(&format!("{number}")),
        _ => Key::text(&format!("{number}").repeat(20)),
    }
}

/// What was put last: a serial number, when it expires, and its size.
type Model = HashMap<u8, (u64, Millis, u64)>;

proptest! {
    #[test]
    fn it_serves_only_what_was_put_and_is_in_time(
        capacity in 1u64..30,
        max_bytes in prop::option::of(1u64..100),
        steps in steps(),
    ) {
        let clock = Manual::default();
        let cache: HotCache<u64, _> = HotCache::with_seed(capacity, max_bytes, &clock, 7).unwrap();
        let limit = max_bytes.unwrap_or(u64::MAX);
        let mut model = Model::new();
        let (mut gets, mut puts, mut gone) = (0, 0, 0);
        for step in steps {
            let now = (&&clock).now();
            let mut dropped = Dropped::new();
            match step {
                Step::Put { key, ttl, size } => {
                    puts += 1;
                    let until = ttl.map_or(Millis::MAX, |ttl| now + ttl);
                    let ttl = ttl.map_or(Ttl::Never, |ttl| Ttl::For(Duration::from_millis(ttl)));
                    cache.put(&key_of(key), puts, ttl, size, &mut dropped);
                    model.insert(key, (puts, until, size));
                    // What was just put is there, unless it is larger than the cache.
                    gets += 1;
                    let found = cache.get(&key_of(key), |&value| value, &mut dropped);
                    prop_assert_eq!(found, (size <= limit).then_some(puts));
                }
                Step::Get(key) => {
                    gets += 1;
                    if let Some(found) = cache.get(&key_of(key), |&value| value, &mut dropped) {
                        let (value, until, _) = model[&key];
                        prop_assert!(found == value && now < until);
                    }
                }
                Step::Contains(key) => {
                    prop_assert!(!cache.contains(&key_of(key)) || now < model[&key].1);
                }
                Step::Remove(key) => {
                    let live = cache.contains(&key_of(key));
                    prop_assert_eq!(cache.remove(&key_of(key), &mut dropped), live);
                    if live {
                        prop_assert_eq!(dropped.last(), Some(&model[&key].0));
                    }
                    prop_assert!(!cache.contains(&key_of(key)));
                }
                Step::Advance(millis) => {
                    clock.0.fetch_add(millis, Ordering::Relaxed);
                }
                Step::Len => {
                    let held = model.iter().filter(|(key, _)| cache.contains(&key_of(**key))).count();
                    prop_assert_eq!(cache.len(&mut dropped), held);
                }
                Step::Clear => cache.clear(&mut dropped),
            }
            // Every value leaves exactly once.
            gone += dropped.len();
            let mut held = 0;
            cache.try_for_each(|_| { held += 1; Ok::<(), ()>(()) }).unwrap();
            prop_assert_eq!(gone + held, usize::try_from(puts).unwrap());
            prop_assert!(held as u64 <= capacity);
            let mut dropped = Dropped::new();
            let stats = cache.stats(&mut dropped);
            gone += dropped.len();
            let live = model.iter().filter(|(key, _)| cache.contains(&key_of(**key)));
            let (count, bytes) = live.fold((0, 0), |(count, bytes), (_, entry)| (count + 1, bytes + entry.2));
            prop_assert_eq!((stats.size, stats.bytes), (count, bytes));
            prop_assert!(stats.bytes <= limit);
            prop_assert_eq!(stats.hits + stats.misses, gets);
        }
    }
}

/// The capacity belongs to all shards together, however unevenly the keys fall.
#[test]
fn a_sharded_cache_holds_exactly_its_capacity() {
    let clock = Manual::default();
    let cache: HotCache<u32, _> = HotCache::with_seed(40_000, Some(1_000_000), &clock, 7).unwrap();
    for number in 0..100_000u32 {
        cache.put(
            &Key::text(&number.to_string()),
            number,
            Ttl::Never,
            u64::from(number % 50),
            &mut Dropped::new(),
        );
        if number % 64 == 0 {
            let stats = cache.stats(&mut Dropped::new());
            assert!(stats.bytes <= 1_000_000 && stats.size <= 40_000);
        }
    }
    let stats = cache.stats(&mut Dropped::new());
    assert!(stats.size == 40_000 || stats.bytes > 999_950, "{stats:?}");
}

/// What an entry cannot say is refused, not shortened: the sum of the sizes would never come right again.
#[test]
fn a_value_larger_than_any_entry_is_not_stored() {
    let clock = Manual::default();
    let cache: HotCache<u64, _> = HotCache::with_seed(10, None, &clock, 1).unwrap();
    let mut dropped = Dropped::new();
    cache.put(&key_of(1), 1, Ttl::Never, MAX_SIZE, &mut dropped);
    cache.put(&key_of(2), 2, Ttl::Never, MAX_SIZE + 1, &mut dropped);
    assert_eq!(dropped.as_slice(), [2]);
    assert_eq!(cache.stats(&mut dropped).bytes, MAX_SIZE);
    cache.clear(&mut dropped);
    assert_eq!(cache.stats(&mut dropped).bytes, 0);
}

/// Else it would drain its shard, then the next ones, and there would be no room for most other keys.
#[test]
fn a_key_taken_out_and_stored_again_leaves_room_for_others() {
    let clock = Manual::default();
    let cache: HotCache<u64, _> = HotCache::with_seed(8192, None, &clock, 1).unwrap();
    let put = |text: &str, number| {
        let key = Key::text(&format!("{text} {number}"));
        cache.put(&key, number, Ttl::Never, 1, &mut Dropped::new());
    };
    for number in 0..30_000 {
        cache.remove(&Key::text("taken 0"), &mut Dropped::new());
        put("other", number);
        put("taken", 0);
    }
    let mut hits = 0;
    for _ in 0..8 {
        hits = 0;
        for number in 0..4000 {
            let key = Key::text(&format!("wanted {number}"));
            match cache.get(&key, |_| (), &mut Dropped::new()) {
                Some(()) => hits += 1,
                None => put("wanted", number),
            }
        }
    }
    assert_eq!(hits, 4000);
    assert_eq!(cache.len(&mut Dropped::new()), 8192);
}

/// Threads that get and put at random see only values of the key that they asked for, and lose none.
#[test]
fn threads_agree() {
    let clock = Manual::default();
    let cache: HotCache<u64, _> = HotCache::with_seed(5000, Some(100_000), &clock, 7).unwrap();
    let (puts, gone): (u64, u64) = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let cache = &cache;
            scope.spawn(move || {
                let (mut state, mut puts, mut gone) = (thread, 0, 0);
                for _ in 0..40_000 {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let number = state >> 51;
                    let key = Key::text(&number.to_string());
                    let mut dropped = Dropped::new();
                    if let Some(found) = cache.get(&key, |&value| value, &mut dropped) {
                        assert_eq!(found, number);
                    } else {
                        puts += 1;
                        cache.put(&key, number, Ttl::Never, number % 40, &mut dropped);
                    }
                    if state % 97 == 0 {
                        cache.remove(&key, &mut dropped);
                    }
                    gone += dropped.len() as u64;
                }
                (puts, gone)
            })
        };
        let threads: Vec<_> = (1..=4).map(work).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let stats = cache.stats(&mut Dropped::new());
    assert_eq!(puts - gone, stats.size as u64);
    assert_eq!(stats.hits + stats.misses, 4 * 40_000);
    assert!(stats.size <= 5000 && stats.bytes <= 100_000);
}
