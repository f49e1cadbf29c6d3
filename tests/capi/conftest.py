"""The C ABI as a C program would see it, through cffi."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cffi import FFI

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "rust" / "capi" / "hotloop.h"
LIBRARY = {"darwin": "libhotloop.dylib", "win32": "hotloop.dll"}.get(sys.platform, "libhotloop.so")


class CError(ValueError):
    """A function of the C ABI did not answer HOTLOOP_OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class C:
    """The library and its header; each method is one C call in Python's types, `lib` the bare functions."""

    def __init__(self, library: Path) -> None:
        self.ffi = FFI()
        header = HEADER.read_text("utf-8").split('extern "C" {\n#endif')[1].split("#ifdef __cplusplus")[0]
        self.ffi.cdef(header)
        self.lib = self.ffi.dlopen(str(library))

    def last_error(self) -> str:
        return self.ffi.string(self.lib.hotloop_last_error()).decode()

    def check(self, code: int) -> None:
        if code != self.lib.HOTLOOP_OK:
            raise CError(code, self.last_error())

    def taken(self, code: int, held) -> bytes:
        """A copy of bytes that the library gave, which it then has back."""
        self.check(code)
        copy = self.ffi.buffer(held.data, held.len)[:]
        self.check(self.lib.hotloop_bytes_free(held))
        return copy

    def text(self, value: str | bytes):
        """A hotloop_text, and what keeps it alive."""
        raw = value.encode() if isinstance(value, str) else value
        held = self.ffi.new("char[]", raw)
        return self.ffi.new("hotloop_text *", {"data": held, "len": len(raw)})[0], held

    def scope(self, url="", headers=(), tenant=b"", namespace=""):
        """A hotloop_scope *, and what keeps it alive."""
        kept = [self.text(part) for part in (url, tenant, namespace)]
        pairs = [(self.text(name), self.text(value)) for name, value in headers]
        fields = self.ffi.new("hotloop_header[]", [{"name": name[0], "value": value[0]} for name, value in pairs])
        members = {"url": kept[0][0], "tenant": kept[1][0], "name_space": kept[2][0]}
        scope = self.ffi.new("hotloop_scope *", {**members, "headers": fields, "header_count": len(pairs)})
        return scope, (kept, pairs, fields)

    def canonicalize(self, text: bytes) -> bytes:
        form = self.ffi.new("hotloop_bytes *")
        return self.taken(self.lib.hotloop_canonicalize(text, len(text), form), form)

    def cache_key(self, text: bytes, namespace: str = "") -> bytes:
        key = self.ffi.new("uint8_t[32]")
        name_space, _kept = self.text(namespace)
        self.check(self.lib.hotloop_cache_key(text, len(text), name_space, key))
        return bytes(key)

    def request_key(self, body: bytes, **scope) -> bytes:
        key = self.ffi.new("uint8_t[32]")
        where, _kept = self.scope(**scope)
        self.check(self.lib.hotloop_request_key(body, len(body), where, key))
        return bytes(key)

    def handle(self, kind: str, make, *arguments):
        place = self.ffi.new(f"hotloop_{kind} **")
        self.check(make(*arguments, place))
        return place[0]

    def chain(self, head: bytes, **scope):
        where, _kept = self.scope(**scope)
        return self.handle("chain", self.lib.hotloop_chain_new, head, len(head), where)

    def append(self, chain, message: bytes) -> None:
        self.check(self.lib.hotloop_chain_append(chain, message, len(message)))

    def digest(self, chain) -> bytes:
        key = self.ffi.new("uint8_t[32]")
        self.check(self.lib.hotloop_chain_digest(chain, key))
        return bytes(key)

    def cache(self, capacity: int, ttl: float = 0.0, max_bytes: int = 0):
        return self.handle("cache", self.lib.hotloop_cache_new, capacity, ttl, max_bytes)

    def key(self, key: bytes | str):
        """The arguments for a key: its kind, its bytes and their number."""
        if isinstance(key, str):
            return self.lib.HOTLOOP_TEXT, key.encode(), len(key.encode())
        return self.lib.HOTLOOP_DIGEST, key, len(key)

    def put(self, cache, key: bytes | str, value: bytes, ttl: float = 0.0) -> None:
        self.check(self.lib.hotloop_cache_put(cache, *self.key(key), value, len(value), ttl))

    def find(self, look_up, cache, key: bytes | str) -> bytes | None:
        held = self.ffi.new("hotloop_bytes *")
        code = look_up(cache, *self.key(key), held)
        return None if code == self.lib.HOTLOOP_ABSENT else self.taken(code, held)

    def get(self, cache, key: bytes | str) -> bytes | None:
        return self.find(self.lib.hotloop_cache_get, cache, key)

    def pop(self, cache, key: bytes | str) -> bytes | None:
        return self.find(self.lib.hotloop_cache_pop, cache, key)

    def number(self, ask, handle) -> int:
        number = self.ffi.new("uint64_t *")
        self.check(ask(handle, number))
        return number[0]

    def stats(self, cache) -> dict[str, int]:
        stats = self.ffi.new("hotloop_cache_stats *")
        self.check(self.lib.hotloop_cache_get_stats(cache, stats))
        return {name: getattr(stats, name) for name, _field in self.ffi.typeof("hotloop_cache_stats").fields}


@pytest.fixture(scope="session")
def c() -> C:
    library = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / LIBRARY
    if not library.exists():
        pytest.skip("no C library: run the tests with `make test`, or build it: cargo build --release -p hotloop-capi")
    return C(library)
