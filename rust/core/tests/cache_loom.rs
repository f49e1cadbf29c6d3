//! The hot cache under the model checker: `make model`.
#![cfg(loom)]

use std::{sync::OnceLock, time::Duration};

use hotloop_core::cache::{
    Clock, Dropped, HotCache, Key, Millis, Ttl,
    sync::{AtomicU64, Ordering, Sharing},
};
use lock_api::{GuardNoSend, RawRwLock};
use loom::{
    model::Builder,
    sync::{Arc, atomic::AtomicUsize},
    thread,
};

/// A lock made of an atomic that loom watches: as many readers as it says, or `usize::MAX` for a writer.
///
/// loom's atomics cannot be made in a constant, so it is made when it is first used.
struct Watched(OnceLock<AtomicUsize>);

const WRITER: usize = usize::MAX;

impl Watched {
    fn state(&self) -> &AtomicUsize {
        self.0.get_or_init(|| AtomicUsize::new(0))
    }
}

// SAFETY: one writer or any number of readers, by compare and exchange.
unsafe impl RawRwLock for Watched {
    const INIT: Self = Self(OnceLock::new());
    type GuardMarker = GuardNoSend;

    fn lock_shared(&self) {
        while !self.try_lock_shared() {
            thread::yield_now();
        }
    }

    fn try_lock_shared(&self) -> bool {
        let more = |readers: usize| (readers != WRITER).then(|| readers + 1);
        self.state()
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, more)
            .is_ok()
    }

    unsafe fn unlock_shared(&self) {
        self.state().fetch_sub(1, Ordering::Release);
    }

    fn lock_exclusive(&self) {
        while !self.try_lock_exclusive() {
            thread::yield_now();
        }
    }

    fn try_lock_exclusive(&self) -> bool {
        self.state()
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    unsafe fn unlock_exclusive(&self) {
        self.state().store(0, Ordering::Release);
    }
}

struct Modelled;

impl Sharing for Modelled {
    type Lock = Watched;

    fn count(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed)
    }
}

struct Fixed(Millis);

impl Clock for Fixed {
    fn now(&self) -> Millis {
        self.0
    }
}

type Cache = HotCache<u64, Fixed, Modelled>;

fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn cache(capacity: u64) -> Arc<Cache> {
    Arc::new(HotCache::with_seed(capacity, Some(10), Fixed(5), 1).unwrap())
}

fn put(cache: &Cache, key: &str, value: u64) -> usize {
    let mut dropped = Dropped::new();
    cache.put(&Key::text(key), value, Ttl::Never, 5, &mut dropped);
    dropped.len()
}

fn get(cache: &Cache, key: &str) -> Option<u64> {
    cache.get(&Key::text(key), |&value| value, &mut Dropped::new())
}

#[test]
fn values_stay_with_their_keys_and_none_is_lost() {
    explore(|| {
        let cache = cache(1);
        let mut gone = put(&cache, "a", 1);
        let other = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let gone = put(&cache, "b", 2);
                assert!([None, Some(3)].contains(&get(&cache, "a")));
                gone
            })
        };
        assert!([None, Some(2)].contains(&get(&cache, "b")));
        gone += put(&cache, "a", 3);
        gone += other.join().unwrap();
        let stats = cache.stats(&mut Dropped::new());
        assert_eq!((stats.size, stats.bytes, gone), (1, 5, 2));
        assert_eq!(stats.hits + stats.misses, 2);
    });
}

#[test]
fn hits_are_counted_while_entries_go() {
    explore(|| {
        let cache = cache(2);
        put(&cache, "a", 1);
        put(&cache, "b", 2);
        let reader = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || [get(&cache, "a"), get(&cache, "b")])
        };
        let mut dropped = Dropped::new();
        assert!(cache.remove(&Key::text("a"), &mut dropped));
        put(&cache, "c", 3);
        let [a, b] = reader.join().unwrap();
        assert!([None, Some(1)].contains(&a));
        assert_eq!(b, Some(2));
        let stats = cache.stats(&mut Dropped::new());
        assert_eq!((stats.hits + stats.misses, stats.size), (2, 2));
        assert_eq!(stats.hits, u64::from(a.is_some()) + 1);
    });
}

#[test]
fn who_sees_an_entry_expired_does_not_drop_its_successor() {
    explore(|| {
        let cache = Arc::new(
            HotCache::<u64, Ticking, Modelled>::with_seed(2, None, Ticking::default(), 1).unwrap(),
        );
        let key = Key::text("a");
        cache.put(
            &key,
            1,
            Ttl::For(Duration::from_millis(1)),
            0,
            &mut Dropped::new(),
        );
        let reader = {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.get(&key, |&value| value, &mut Dropped::new()))
        };
        cache.put(&key, 2, Ttl::Never, 0, &mut Dropped::new());
        assert!([None, Some(2)].contains(&reader.join().unwrap()));
        assert!(cache.contains(&key));
        let stats = cache.stats(&mut Dropped::new());
        assert_eq!((stats.size, stats.expirations), (1, 1));
    });
}

/// Later each time that it is read.
struct Ticking(AtomicU64);

impl Default for Ticking {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Millis {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
