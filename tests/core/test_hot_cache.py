"""HotCache: what it keeps, for how long, and what it says about it."""

import gc
import hashlib
import inspect
import math
import random
import sys
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotloop._core import HotCache, ManualClock


def digest(n: int) -> bytes:
    return hashlib.sha256(n.to_bytes(8, "little")).digest()


class Value:
    """An object that can be watched."""


def test_a_value_comes_back_as_the_same_object():
    cache, value = HotCache(4), Value()
    cache.put(digest(1), value)
    cache.put("text", None)
    assert cache.get(digest(1)) is value
    assert cache.get("text", "default") is None
    assert cache.get(digest(2)) is None
    assert cache.get("other", value) is value
    assert cache.get("other", default=7) == 7


def test_get_takes_its_arguments_in_every_form():
    cache = HotCache(4)
    cache.put(digest(1), 1)
    assert cache.get(key=digest(1)) == cache.get(digest(1), default=2) == cache.get(default=2, key=digest(1)) == 1
    assert cache.get(digest(2), 2) == cache.get(digest(2), default=2) == cache.get(key=digest(2), default=2) == 2
    assert HotCache.get(cache, digest(1)) == 1
    assert str(inspect.signature(cache.get)) == "(key, default=None)"
    for wrong in ((), (digest(1), 2, 3)):
        with pytest.raises(TypeError):
            cache.get(*wrong)
    for names in ({"other": 1}, {"key": digest(1)}):
        with pytest.raises(TypeError):
            cache.get(digest(1), **names)
    with pytest.raises(TypeError):
        HotCache.get("not a cache", digest(1))


def test_equal_but_new_keys_find_the_entry():
    cache = HotCache(4)
    cache.put(digest(1), 1)
    cache.put("ключ" * 30, 2)
    assert cache.get(bytes(bytearray(digest(1)))) == 1
    assert cache.get("".join(["ключ"] * 30)) == 2


def test_texts_and_bytes_are_different_keys():
    raw = digest(1)
    texts = [raw.hex(), raw.hex().upper(), raw.hex() + "0", "", "\0", "x" * 31, "x" * 32, "x" * 64]
    cache = HotCache(100)
    for key in [raw, *texts]:
        assert key not in cache
        cache.put(key, key)
    assert [cache.get(key) for key in [raw, *texts]] == [raw, *texts]


@pytest.mark.parametrize("key", [1, None, ("a",), bytearray(32), memoryview(bytes(32)), 1.5])
def test_other_types_are_no_keys(key):
    cache = HotCache(4)
    for use in (cache.get, cache.pop, lambda key: cache.put(key, 1), cache.__contains__):
        with pytest.raises(TypeError, match="32 bytes or a str"):
            use(key)


@pytest.mark.parametrize("key", [b"", b"short", bytes(31), bytes(33), "\ud800"])
def test_keys_of_the_wrong_form_are_refused(key):
    cache = HotCache(4)
    for use in (cache.get, cache.pop, lambda key: cache.put(key, 1), cache.__contains__):
        with pytest.raises(ValueError, match=r"32 bytes|surrogate"):
            use(key)


def test_methods_of_subclasses_are_not_asked():
    class Loud(str):
        def __eq__(self, other):
            raise AssertionError

        def __hash__(self):
            raise AssertionError

    cache = HotCache(4)
    cache.put(Loud("key"), 1)
    assert cache.get("key") == 1
    assert cache.get(Loud("key")) == 1


@pytest.mark.parametrize("capacity", [0, -1, 2**31 + 1, 2**64, 2**200])
def test_a_capacity_out_of_range_is_refused(capacity):
    with pytest.raises(ValueError, match="capacity"):
        HotCache(capacity)


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf, -1e-9, 10**400, -(10**400)])
def test_a_ttl_that_is_no_duration_is_refused(ttl):
    with pytest.raises(ValueError, match="ttl"):
        HotCache(4, ttl=ttl)
    with pytest.raises(ValueError, match="ttl"):
        HotCache(4).put("a", 1, ttl=ttl)


def test_other_limits_out_of_range_are_refused():
    for max_bytes in (0, -1, 2**64, 10**5000):
        with pytest.raises(ValueError, match="max_bytes"):
            HotCache(4, max_bytes=max_bytes)
    for size in (-1, -(10**5000), 2**48, 2**64, 2**200):
        with pytest.raises(ValueError, match="size"):
            HotCache(4).put("a", 1, size=size)
    for make in (lambda: HotCache("4"), lambda: HotCache(4.0), lambda: HotCache(4, max_bytes=1.5)):
        with pytest.raises(TypeError, match=r"capacity|max_bytes"):
            make()


def test_what_a_number_raises_itself_is_raised():
    class Raises:
        def __index__(self):
            raise KeyboardInterrupt

        __float__ = __index__

    class Loud(int):
        def __index__(self):
            raise AssertionError

        __float__ = __lt__ = __str__ = __repr__ = __index__

    raises, cache, clock = Raises(), HotCache(Loud(4), max_bytes=Loud(2**40)), ManualClock()
    for use in (
        lambda: HotCache(raises),
        lambda: HotCache(4, max_bytes=raises),
        lambda: HotCache(4, ttl=raises),
        lambda: cache.put("a", 1, size=raises),
        lambda: cache.put("a", 1, ttl=raises),
        lambda: clock.advance(raises),
    ):
        with pytest.raises(KeyboardInterrupt):
            use()
    for size in (Loud(-1), Loud(-(2**70)), Loud(2**70)):
        with pytest.raises(ValueError, match="size"):
            cache.put("a", 1, size=size)
    assert len(cache) == 0


def test_a_clock_has_an_end():
    clock = ManualClock()
    for seconds in (-1, math.nan, math.inf, 10**400, 2**48):
        with pytest.raises(ValueError, match="seconds"):
            clock.advance(seconds)
    cache = HotCache(4, ttl=10, _clock=clock)
    cache.put("a", 1)
    clock.advance(2**48 // 1000 - 1)
    cache.put("b", 2)
    assert "a" not in cache
    assert len(cache) == 1
    for _ in range(3):
        with pytest.raises(ValueError, match="seconds"):
            clock.advance(2**47 // 1000)


@pytest.mark.parametrize("capacity", [1, 2, 3, 35, 1000, 5000, 40_000])
def test_the_capacity_is_exact(capacity):
    cache = HotCache(capacity)
    for n in range(capacity):
        cache.put(digest(n), n)
    assert all(cache.get(digest(n)) == n for n in range(capacity))
    for n in range(capacity, 2 * capacity):
        cache.put(digest(n), n)
        assert cache.get(digest(n)) == n
    stats = cache.stats()
    assert (stats.size, stats.capacity, stats.evictions) == (capacity, capacity, capacity)
    assert len(cache) == sum(digest(n) in cache for n in range(2 * capacity)) == capacity


def test_an_entry_that_is_used_outlives_one_that_is_not():
    cache = HotCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert "b" not in cache
    assert cache.get("a") == 1
    assert cache.get("c") == 3


def test_replacing_keeps_one_entry():
    cache = HotCache(2)
    for n in range(10):
        cache.put("a", n, size=n)
    assert cache.get("a") == 9
    stats = cache.stats()
    assert (stats.size, stats.bytes, stats.evictions) == (1, 9, 0)


def test_pop_takes_the_value_out():
    cache = HotCache(2)
    cache.put("a", 1)
    assert cache.pop("a") == 1
    assert cache.pop("a") is None
    assert cache.pop("a", "default") == "default"
    assert len(cache) == 0


def test_clear_drops_the_entries_and_keeps_the_counters():
    cache = HotCache(20)
    for n in range(10):
        cache.put(digest(n), n)
        cache.get(digest(n))
    cache.clear()
    stats = cache.stats()
    assert (stats.size, stats.bytes, stats.hits) == (0, 0, 10)
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_the_counters_count():
    cache = HotCache(2)
    cache.put("a", 1, size=10)
    cache.put("b", 1, size=20)
    cache.put("c", 1, size=30)
    cache.get("c")
    cache.get("gone")
    assert "c" in cache
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.evictions, stats.expirations, stats.size) == (1, 1, 1, 0, 2)
    assert stats.bytes in (40, 50)
    assert (
        repr(stats)
        == f"CacheStats(hits=1, misses=1, evictions=1, expirations=0, size=2, capacity=2, bytes={stats.bytes})"
    )
    assert stats == cache.stats()


def test_an_entry_is_served_until_its_time_is_over():
    clock = ManualClock()
    cache = HotCache(4, ttl=2, _clock=clock)
    cache.put("a", 1)
    cache.put("b", 2, ttl=10)
    cache.put("c", 3, ttl=math.inf)
    clock.advance(1.999)
    assert cache.get("a") == 1
    clock.advance(0.001)
    assert cache.get("a") is None
    assert "a" not in cache
    assert cache.get("b") == 2
    clock.advance(1e9)
    assert cache.pop("b", "gone") == "gone"
    assert cache.get("c") == 3
    stats = cache.stats()
    assert (stats.expirations, stats.evictions, stats.size, stats.misses) == (2, 0, 1, 1)


def test_putting_again_starts_the_time_again():
    clock = ManualClock()
    cache = HotCache(4, ttl=2, _clock=clock)
    cache.put("a", 1)
    clock.advance(1.5)
    cache.put("a", 2)
    clock.advance(1.5)
    assert cache.get("a") == 2
    clock.advance(0.5)
    cache.put("a", 3)
    assert cache.stats().expirations == 1


def test_expired_entries_are_not_counted_and_free_their_values():
    clock = ManualClock()
    cache = HotCache(1000, ttl=1, _clock=clock)
    values = [Value() for _ in range(100)]
    watched = [weakref.ref(value) for value in values]
    for n, value in enumerate(values):
        cache.put(digest(n), value, size=1)
    del values, value
    clock.advance(1)
    assert len(cache) == 0
    assert cache.stats().bytes == 0
    assert not any(ref() for ref in watched)


def test_changes_sweep_expired_entries_out():
    clock = ManualClock()
    cache = HotCache(1000, ttl=1, _clock=clock)
    values = [Value() for _ in range(100)]
    watched = [weakref.ref(value) for value in values]
    for n, value in enumerate(values):
        cache.put(digest(n), value)
    del values, value
    clock.advance(1)
    for n in range(1000, 1060):
        cache.put(digest(n), n)
    assert not any(ref() for ref in watched)
    assert cache.stats().evictions == 0


def test_the_real_clock_serves_what_is_young():
    cache = HotCache(4, ttl=3600)
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_the_sizes_never_pass_max_bytes():
    cache = HotCache(1000, max_bytes=100)
    for n in range(200):
        cache.put(digest(n), n, size=n % 60)
        assert cache.get(digest(n)) == n
        assert cache.stats().bytes <= 100
    for n in range(100):
        cache.put("grows", n, size=n)
        assert cache.get("grows") == n
        assert cache.stats().bytes <= 100


def test_a_value_larger_than_the_cache_takes_the_old_one_along():
    cache = HotCache(4, max_bytes=100)
    cache.put("a", 1, size=10)
    cache.put("b", 2, size=10)
    cache.put("a", 3, size=101)
    assert "a" not in cache
    assert cache.get("b") == 2
    assert cache.stats().bytes == 10
    cache.put("c", 4, size=100)
    assert cache.get("c") == 4
    assert len(cache) == 1


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"12345", 5),
        (bytearray(7), 7),
        (memoryview(bytes(8)).cast("I"), 8),
        ("text", 4),
        ("é€", 4),
        ("😀\ud800", 8),
        ([1, 2], sys.getsizeof([1, 2])),
        (None, sys.getsizeof(None)),
    ],
)
def test_sizes_by_default(value, size):
    cache = HotCache(4)
    cache.put("a", value)
    assert cache.stats().bytes == size


def test_a_size_that_raises_stores_nothing():
    class Broken:
        def __sizeof__(self):
            raise RuntimeError("no size")

    cache = HotCache(4)
    with pytest.raises(RuntimeError, match="no size"):
        cache.put("a", Broken())
    assert len(cache) == 0


def test_destructors_may_use_the_cache():
    cache = HotCache(2)
    seen = []

    class Reentrant:
        def __del__(self):
            cache.put("from the destructor", len(cache))
            seen.append(cache.get("from the destructor"))
            cache.pop("from the destructor")

    for n in range(20):
        cache.put(digest(n % 5), Reentrant())
    cache.pop(digest(4))
    cache.clear()
    assert len(seen) == 20


def test_caches_in_caches_are_freed_however_deep():
    levels, value = 3000, Value()
    gone = weakref.ref(value)
    outermost = HotCache(1)
    outermost.put("in", value)
    del value
    for _ in range(levels):
        inner, outermost = outermost, HotCache(1)
        outermost.put("in", inner)
    del inner
    caches = [outermost]
    del outermost
    size = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=caches.clear)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()
    assert gone() is None


def test_cycles_through_the_cache_are_collected():
    cache, value = HotCache(4), Value()
    value.cache = cache
    cache.put("a", value)
    watched = weakref.ref(value)
    del cache, value
    gc.collect()
    assert watched() is None


def test_values_live_no_longer_than_their_entries():
    cache, values = HotCache(10), [Value() for _ in range(30)]
    watched = [weakref.ref(value) for value in values]
    for n, value in enumerate(values):
        cache.put(digest(n), value)
    del values, value
    assert sum(ref() is not None for ref in watched) == 10
    del cache
    assert not any(ref() for ref in watched)


KEYS = st.integers(0, 12).map(lambda n: digest(n) if n % 2 else f"key {n}" * (n + 1))
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), KEYS, st.integers(0, 9), st.sampled_from([None, 1.0, 3.0, math.inf]), st.integers(0, 30)
        ),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("pop"), KEYS),
        st.tuples(st.just("in"), KEYS),
        st.tuples(st.just("advance"), st.integers(1, 2000)),
        st.tuples(st.just("clear")),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 80), STEPS)
def test_it_never_says_what_was_not_put(capacity, max_bytes, steps):
    """Whatever is served is the last value put, in time; limits hold; what was just put is there."""
    clock, now = ManualClock(), 0
    cache = HotCache(capacity, ttl=2.0, max_bytes=max_bytes, _clock=clock)
    model: dict[object, tuple[int, float, int]] = {}
    for step in steps:
        match step:
            case ("put", key, value, ttl, size):
                cache.put(key, value, ttl=ttl, size=size)
                model[key] = (value, now + 1000 * (ttl or 2.0), size)
                assert (cache.get(key) == value) == (size <= max_bytes)
                if size > max_bytes:
                    del model[key]
            case ("get", key):
                found = cache.get(key)
                assert found is None or (key in model and found == model[key][0] and now < model[key][1])
            case ("pop", key):
                found = cache.pop(key)
                assert found is None or (found == model[key][0] and now < model[key][1])
                assert key not in cache
                model.pop(key, None)
            case ("in", key):
                assert key not in cache or now < model[key][1]
            case ("advance", millis):
                now += millis
                clock.advance(millis / 1000)
            case _:
                cache.clear()
                model.clear()
        stats = cache.stats()
        held = [key for key in model if key in cache]
        assert stats.size == len(cache) == len(held) <= capacity
        assert stats.bytes == sum(model[key][2] for key in held) <= max_bytes
        live = [entry for entry in model.values() if now < entry[1]]
        if len(model) <= capacity and sum(entry[2] for entry in model.values()) <= max_bytes:
            assert len(held) == len(live) or stats.evictions


def test_threads_see_only_values_of_their_key():
    cache, clock_ends = HotCache(300, max_bytes=6000), 4000
    failures: list[object] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(clock_ends):
            n = rng.randrange(600)
            key = digest(n) if n % 2 else f"key {n}"
            found = cache.get(key)
            if found is None:
                cache.put(key, (n, seed), size=n % 50)
            elif found[0] != n:
                failures.append((n, found))
            if rng.random() < 0.05:
                cache.pop(key)
            if rng.random() < 0.02:
                stats = cache.stats()
                if stats.size > 300 or stats.bytes > 6000:
                    failures.append(stats)
            if rng.random() < 0.001:
                cache.clear()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    stats = cache.stats()
    assert stats.hits + stats.misses == 6 * clock_ends
