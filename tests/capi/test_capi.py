"""What the C ABI promises: answers, codes, ownership, threads, and no crash for what can be seen to be wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from hotloop import _core

HEADER = Path(__file__).parents[2] / "rust" / "capi" / "hotloop.h"
DIGEST = bytes(range(32))


@pytest.mark.parametrize("compiler", [["cc", "-std=c99", "-x", "c"], ["c++", "-std=c++11", "-x", "c++"]])
def test_the_header_is_plain_c_and_cplusplus(compiler):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    done = subprocess.run([*compiler, *flags, HEADER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_header_and_library_have_the_same_functions(c):
    declared = set(re.findall(r"\b(hotloop_\w+)\(", HEADER.read_text("utf-8").split("HOTLOOP_H", 2)[2]))
    sources = [path.read_text("utf-8") for path in HEADER.parent.glob("src/*.rs")]
    assert declared == {name for source in sources for name in re.findall(r'extern "C" fn (hotloop_\w+)', source)}
    assert all(getattr(c.lib, name) for name in declared)


def test_codes_of_header_and_library_are_the_same():
    of_header = re.findall(r"^ +HOTLOOP_(\w+) = (\d+)", HEADER.read_text("utf-8"), re.MULTILINE)
    of_library = re.findall(
        r"^    (\w+) = (\d+),", (HEADER.parent / "src" / "status.rs").read_text("utf-8"), re.MULTILINE
    )
    codes = {name.replace("_", "").lower(): int(code) for name, code in of_header if name not in ("DIGEST", "TEXT")}
    assert codes == {name.lower(): int(code) for name, code in of_library}


def test_versions(c):
    assert c.lib.hotloop_abi_version() == 1
    assert c.ffi.string(c.lib.hotloop_version()).decode() == _core.__version__


def test_a_chain_gives_the_key_of_the_whole(c):
    scope = {"url": "https://h/v1", "headers": [("Accept", "x")], "tenant": b"\xff", "namespace": "é"}
    chain = c.chain(b'{"model":"m"}', **scope)
    messages = [b'{"role":"user","content":"\\u00e9"}', b"[1.0]"]
    for message in messages:
        c.append(chain, message)
    fork = c.handle("chain", c.lib.hotloop_chain_fork, chain)
    whole = b'{"messages":[%b],"model":"m"}'
    assert c.digest(chain) == c.request_key(whole % b",".join(messages), **scope)
    assert c.digest(chain) == _core.request_key(whole % b",".join(messages), **scope)
    assert c.digest(c.chain(whole % messages[0], **scope)) != c.digest(chain)
    c.append(fork, b"null")
    assert (c.number(c.lib.hotloop_chain_len, chain), c.number(c.lib.hotloop_chain_len, fork)) == (2, 3)
    before = c.digest(chain)
    assert c.lib.hotloop_chain_append(chain, b"{", 1) == c.lib.HOTLOOP_NOT_CANONICAL
    assert c.digest(chain) == before
    for handle in (chain, fork):
        c.check(c.lib.hotloop_chain_free(handle))


def test_the_cache_keeps_bytes(c):
    cache = c.cache(2, max_bytes=10)
    c.put(cache, DIGEST, b"\0abc")
    c.put(cache, "naïve " * 20, b"")
    assert c.get(cache, DIGEST) == b"\0abc"
    assert c.get(cache, "naïve " * 20) == b""
    assert c.get(cache, DIGEST.hex()) is None  # a text never equals a digest
    counts = {"hits": 2, "misses": 1, "evictions": 0, "expirations": 0, "size": 2, "capacity": 2, "bytes": 4}
    assert c.stats(cache) == counts
    c.put(cache, "third", b"x" * 10)
    assert c.number(c.lib.hotloop_cache_len, cache) <= 2
    assert c.stats(cache)["bytes"] <= 10
    c.put(cache, "third", b"x" * 11)  # too long: and the older value is gone too
    assert c.get(cache, "third") is None
    c.put(cache, "a", b"1")
    assert c.pop(cache, "a") == b"1"
    assert c.pop(cache, "a") is None
    c.put(cache, "a", b"1")
    c.check(c.lib.hotloop_cache_clear(cache))
    assert c.stats(cache)["size"] == 0
    c.check(c.lib.hotloop_cache_free(cache))


def test_a_value_outlives_its_entry_and_its_cache(c):
    cache = c.cache(1)
    c.put(cache, "a", b"kept")
    held = c.ffi.new("hotloop_bytes *")
    c.check(c.lib.hotloop_cache_get(cache, *c.key("a"), held))
    c.put(cache, "a", b"other")
    c.put(cache, "b", b"other")
    c.check(c.lib.hotloop_cache_free(cache))
    assert c.taken(0, held) == b"kept"


def test_times_that_are_none(c):
    cache = c.cache(4, ttl=float("inf"))
    c.put(cache, "a", b"1", ttl=1e300)
    assert c.get(cache, "a") == b"1"
    for ttl in (-1.0, float("nan"), float("-inf")):
        assert c.lib.hotloop_cache_put(cache, *c.key("b"), b"", 0, ttl) == c.lib.HOTLOOP_OUT_OF_RANGE
        assert c.lib.hotloop_cache_new(1, ttl, 0, c.ffi.new("hotloop_cache **")) == c.lib.HOTLOOP_OUT_OF_RANGE
    for capacity in (0, 2**31 + 1, 2**64 - 1):
        assert c.lib.hotloop_cache_new(capacity, 0.0, 0, c.ffi.new("hotloop_cache **")) == c.lib.HOTLOOP_OUT_OF_RANGE
    assert "capacity" in c.last_error()
    c.check(c.lib.hotloop_cache_free(cache))


@pytest.mark.parametrize(
    ("kind", "key", "code"),
    [
        (0, b"", "OUT_OF_RANGE"),
        (0, b"x" * 31, "OUT_OF_RANGE"),
        (0, b"x" * 33, "OUT_OF_RANGE"),
        (1, b"\xff", "NOT_UTF8"),
        (2, b"x" * 32, "OUT_OF_RANGE"),
        (-1, b"x" * 32, "OUT_OF_RANGE"),
    ],
)
def test_wrong_keys(c, kind, key, code):
    cache = c.cache(4)
    held = c.ffi.new("hotloop_bytes *")
    want = getattr(c.lib, f"HOTLOOP_{code}")
    assert c.lib.hotloop_cache_put(cache, kind, key, len(key), b"", 0, 0.0) == want
    assert c.lib.hotloop_cache_get(cache, kind, key, len(key), held) == want
    assert c.lib.hotloop_cache_pop(cache, kind, key, len(key), held) == want
    c.check(c.lib.hotloop_cache_free(cache))


def test_text_that_is_not_utf8(c):
    key = c.ffi.new("uint8_t[32]")
    bad, _kept = c.text(b"\xff")
    assert c.lib.hotloop_cache_key(b"1", 1, bad, key) == c.lib.HOTLOOP_NOT_UTF8
    for part in ("url", "namespace"):
        scope, _kept = c.scope(**{part: b"\xff"})
        assert c.lib.hotloop_request_key(b"{}", 2, scope, key) == c.lib.HOTLOOP_NOT_UTF8
        assert part in c.last_error()
    assert c.request_key(b"{}", headers=[(b"\xff", b"\xff")]) == _core.request_key(b"{}", headers=[(b"\xff", b"\xff")])


def calls(c):
    """Every function that takes pointers, as name -> call with NULL in the place of each of them in turn."""
    null, some = c.ffi.NULL, c.ffi.new("uint8_t[64]")
    held, key = c.ffi.new("hotloop_bytes *"), c.ffi.new("uint8_t[32]")
    nothing, lost = c.text("")[0], c.ffi.new("hotloop_text *", {"len": 1})[0]
    chain, cache = c.chain(b"{}"), c.cache(4)
    without = c.ffi.new("hotloop_scope *", {"header_count": 1})
    lib = c.lib
    yield lib.hotloop_bytes_free(null)
    yield lib.hotloop_canonicalize(null, 1, held)
    yield lib.hotloop_canonicalize(b"1", 1, null)
    yield lib.hotloop_cache_key(null, 1, nothing, key)
    yield lib.hotloop_cache_key(b"1", 1, lost, key)
    yield lib.hotloop_cache_key(b"1", 1, nothing, null)
    yield lib.hotloop_request_key(null, 1, null, key)
    yield lib.hotloop_request_key(b"{}", 2, null, null)
    yield lib.hotloop_request_key(b"{}", 2, without, key)
    yield lib.hotloop_chain_new(null, 1, null, c.ffi.new("hotloop_chain **"))
    yield lib.hotloop_chain_new(b"{}", 2, null, null)
    yield lib.hotloop_chain_append(chain, null, 1)
    yield lib.hotloop_chain_digest(chain, null)
    yield lib.hotloop_chain_len(chain, null)
    yield lib.hotloop_chain_fork(chain, null)
    yield lib.hotloop_cache_new(1, 0.0, 0, null)
    yield lib.hotloop_cache_put(cache, 0, null, 32, b"", 0, 0.0)
    yield lib.hotloop_cache_put(cache, 0, some, 32, null, 1, 0.0)
    yield lib.hotloop_cache_get(cache, 0, null, 32, held)
    yield lib.hotloop_cache_get(cache, 0, some, 32, null)
    yield lib.hotloop_cache_pop(cache, 0, null, 32, held)
    yield lib.hotloop_cache_pop(cache, 0, some, 32, null)
    yield lib.hotloop_cache_len(cache, null)
    yield lib.hotloop_cache_get_stats(cache, null)
    c.check(lib.hotloop_chain_free(chain))
    c.check(lib.hotloop_cache_free(cache))


def test_null_where_memory_is_needed(c):
    codes = list(calls(c))
    assert len(codes) == 24
    assert set(codes) == {c.lib.HOTLOOP_NULL}
    assert "NULL" in c.last_error()


def test_null_and_any_pointer_will_do_for_nothing(c):
    form = c.ffi.new("hotloop_bytes *")
    assert c.lib.hotloop_canonicalize(c.ffi.NULL, 0, form) == c.lib.HOTLOOP_NOT_CANONICAL
    nowhere = c.ffi.cast("uint8_t *", 1)
    cache = c.cache(4)
    c.check(c.lib.hotloop_cache_put(cache, 1, nowhere, 0, nowhere, 0, 0.0))
    assert c.get(cache, "") == b""
    key = c.ffi.new("uint8_t[32]")
    c.check(c.lib.hotloop_request_key(b"{}", 2, c.ffi.NULL, key))
    assert bytes(key) == _core.request_key(b"{}")


def test_lengths_that_nothing_has(c):
    form, key, byte = c.ffi.new("hotloop_bytes *"), c.ffi.new("uint8_t[32]"), c.ffi.new("uint8_t[1]")
    cache = c.cache(4)
    for length in (2**63, 2**64 - 1):
        assert c.lib.hotloop_canonicalize(byte, length, form) == c.lib.HOTLOOP_TOO_LARGE
        assert c.lib.hotloop_cache_put(cache, 1, byte, length, byte, 1, 0.0) == c.lib.HOTLOOP_TOO_LARGE
        assert c.lib.hotloop_cache_put(cache, 1, byte, 1, byte, length, 0.0) == c.lib.HOTLOOP_TOO_LARGE
        fields = c.ffi.new("hotloop_header[1]")
        scope = c.ffi.new("hotloop_scope *", {"headers": fields, "header_count": length // 32})
        assert c.lib.hotloop_request_key(b"{}", 2, scope, key) == c.lib.HOTLOOP_TOO_LARGE
    # One that memory could have and the library does not read: refused before a byte of it is.
    assert c.lib.hotloop_canonicalize(byte, 2**62, form) == c.lib.HOTLOOP_NOT_CANONICAL
    assert "longer than" in c.last_error()


def test_pointers_that_are_not_aligned(c):
    room = c.ffi.new("uint64_t[16]")
    odd = c.ffi.cast("uint8_t *", room) + 1
    assert c.lib.hotloop_canonicalize(b"1", 1, c.ffi.cast("hotloop_bytes *", odd)) == c.lib.HOTLOOP_MISALIGNED
    scope = c.ffi.cast("hotloop_scope *", odd)
    assert c.lib.hotloop_request_key(b"{}", 2, scope, odd) == c.lib.HOTLOOP_MISALIGNED
    c.check(c.lib.hotloop_request_key(b"{}", 2, c.ffi.NULL, odd))  # bytes may lie anywhere


def test_handles_that_are_none(c):
    chain, cache = c.chain(b"{}"), c.cache(4)
    freed_chain, freed_cache = c.chain(b"{}"), c.cache(4)
    c.check(c.lib.hotloop_chain_free(freed_chain))
    c.check(c.lib.hotloop_cache_free(freed_cache))
    number, held, stats = c.ffi.new("uint64_t *"), c.ffi.new("hotloop_bytes *"), c.ffi.new("hotloop_cache_stats *")
    key, fork = c.ffi.new("uint8_t[32]"), c.ffi.new("hotloop_chain **")
    real = c.ffi.new("uint8_t[64]")
    bad = c.lib.HOTLOOP_BAD_HANDLE
    for it in (freed_chain, c.ffi.NULL, c.ffi.cast("hotloop_chain *", cache), c.ffi.cast("hotloop_chain *", real)):
        assert c.lib.hotloop_chain_append(it, b"1", 1) == bad
        assert c.lib.hotloop_chain_digest(it, key) == bad
        assert c.lib.hotloop_chain_len(it, number) == bad
        assert c.lib.hotloop_chain_fork(it, fork) == bad
        assert c.lib.hotloop_chain_free(it) == bad
    for it in (freed_cache, c.ffi.NULL, c.ffi.cast("hotloop_cache *", chain), c.ffi.cast("hotloop_cache *", real)):
        assert c.lib.hotloop_cache_put(it, 1, b"", 0, b"", 0, 0.0) == bad
        assert c.lib.hotloop_cache_get(it, 1, b"", 0, held) == bad
        assert c.lib.hotloop_cache_pop(it, 1, b"", 0, held) == bad
        assert c.lib.hotloop_cache_len(it, number) == bad
        assert c.lib.hotloop_cache_clear(it) == bad
        assert c.lib.hotloop_cache_get_stats(it, stats) == bad
        assert c.lib.hotloop_cache_free(it) == bad
    c.check(c.lib.hotloop_chain_free(chain))
    c.check(c.lib.hotloop_cache_free(cache))


def test_bytes_are_given_back_once(c):
    form = c.ffi.new("hotloop_bytes *")
    c.check(c.lib.hotloop_bytes_free(form))  # nothing to free
    c.check(c.lib.hotloop_canonicalize(b"[1.0]", 5, form))
    form.len += 1
    assert c.lib.hotloop_bytes_free(form) == c.lib.HOTLOOP_BAD_BYTES
    form.len -= 1
    assert c.taken(0, form) == b"[1]"
    assert (form.data, form.len, form.seal) == (c.ffi.NULL, 0, 0)
    c.check(c.lib.hotloop_bytes_free(form))
    garbage = c.ffi.new("hotloop_bytes *", {"data": c.ffi.from_buffer(b"abc"), "len": 3, "seal": 7})
    assert c.lib.hotloop_bytes_free(garbage) == c.lib.HOTLOOP_BAD_BYTES
    assert c.lib.hotloop_canonicalize(b"[", 1, garbage) == c.lib.HOTLOOP_NOT_CANONICAL
    assert (garbage.data, garbage.len) == (c.ffi.NULL, 0)


def test_errors_are_told_to_their_own_thread(c):
    assert c.lib.hotloop_canonicalize(b'{"a":[1,}', 9, c.ffi.new("hotloop_bytes *")) == c.lib.HOTLOOP_NOT_CANONICAL
    told = []
    thread = threading.Thread(target=lambda: told.append(c.last_error()))
    thread.start()
    thread.join()
    assert told == [""]
    assert c.last_error().startswith("$.a[1]: not JSON")


def test_what_is_hard_to_read(c):
    assert c.lib.hotloop_canonicalize(b"[" * 100_000, 100_000, c.ffi.new("hotloop_bytes *")) == 100
    assert "512" in c.last_error()
    deep = b"[" * 512 + b"]" * 512
    assert c.canonicalize(deep) == deep
    assert c.canonicalize(b'"' + b"\\u0000" * 10_000 + b'"') == b'"' + b"\\u0000" * 10_000 + b'"'


def test_threads_share_a_cache_and_a_chain_while_one_frees_them(c):
    cache, chain = c.cache(100), c.chain(b"{}")
    gone, errors = threading.Barrier(5), []

    def work(seed):
        gone.wait()
        held = c.ffi.new("hotloop_bytes *")
        for n in range(2000):
            key = (seed * n % 150).to_bytes(32, "little")
            codes = {
                c.lib.hotloop_cache_put(cache, 0, key, 32, key, 32, 0.0),
                c.lib.hotloop_cache_get(cache, 0, key, 32, held),
                c.lib.hotloop_chain_append(chain, b"1", 1),
            }
            if held.len and c.ffi.buffer(held.data, held.len)[:] != key:
                errors.append(key)
            c.lib.hotloop_bytes_free(held)
            if not codes <= {0, 1, c.lib.HOTLOOP_BAD_HANDLE}:
                errors.append(codes)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    gone.wait()
    while c.number(c.lib.hotloop_chain_len, chain) < 1000:
        pass
    c.check(c.lib.hotloop_cache_free(cache))
    c.check(c.lib.hotloop_chain_free(chain))
    for thread in threads:
        thread.join()
    assert not errors
    assert c.lib.hotloop_cache_free(cache) == c.lib.HOTLOOP_BAD_HANDLE


def test_appends_from_threads_are_all_there(c):
    chain = c.chain(b"{}")
    threads = [threading.Thread(target=lambda: [c.append(chain, b"1") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert c.digest(chain) == _core.request_key({"messages": [1] * 2000})
    c.check(c.lib.hotloop_chain_free(chain))
