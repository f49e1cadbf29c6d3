"""BufferPool and Buffer: memory comes back, stays in bounds, and is never shared by accident."""

import array
import gc
import json
import random
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotloop._core import BufferPool, Folder, canonical_json, canonicalize


def stats(pool):
    found = pool.stats()
    return found.takes, found.reuses, found.live, found.pooled


def test_bytes_written_come_out():
    pool = BufferPool()
    with pool.take() as buffer:
        assert buffer.write(b"one ") == 4
        assert buffer.write(bytearray(b"two ")) == 4
        assert buffer.write(memoryview(b"three")[::1]) == 5
        assert buffer.write(array.array("I", [1])) == 4
        assert buffer.write(b"") == 0
        assert len(buffer) == 17
        assert bytes(buffer) == buffer.freeze() == b"one two three" + array.array("I", [1]).tobytes()
        assert bytes(buffer.view()[:3]) == b"one"


def test_memory_is_used_again_and_never_shows_old_bytes():
    pool = BufferPool()
    with pool.take(1 << 20) as buffer:
        buffer.write(b"secret" * 1000)
    with pool.take(1 << 20) as buffer:
        assert (len(buffer), buffer.freeze(), bytes(buffer.view())) == (0, b"", b"")
        assert stats(pool) == (2, 1, 1, 0)
    assert stats(pool) == (2, 1, 0, 1)
    assert pool.stats().pooled_bytes == 1 << 20
    assert repr(pool.stats()) == "PoolStats(takes=2, reuses=1, live=0, pooled=1, pooled_bytes=1048576)"


def test_a_buffer_grows_beyond_its_size():
    pool, piece = BufferPool(), random.Random(1).randbytes(10_000)
    with pool.take(10) as buffer:
        for _ in range(50):
            buffer.write(piece)
        assert buffer.freeze() == piece * 50
    with pool.take() as buffer:
        buffer.write(piece * 50)
    assert stats(pool) == (2, 1, 0, 1)


def test_what_a_pool_may_not_keep_is_allocated_and_freed():
    pool = BufferPool(max_buffers=2, max_bytes=100_000)
    for _ in range(3):
        buffers = [pool.take(5000) for _ in range(5)]
        assert pool.stats().live == 5
        del buffers
        assert pool.stats().pooled == 2
    with pool.take(200_000) as buffer:
        buffer.write(bytes(200_000))
    assert pool.stats().pooled_bytes <= 100_000
    takes, reuses, live, _ = stats(pool)
    assert (takes, takes - reuses, live) == (16, 12, 0)


def test_a_pool_may_keep_nothing():
    for pool in (BufferPool(0), BufferPool(max_bytes=0)):
        with pool.take(10) as buffer:
            buffer.write(b"x")
        assert stats(pool) == (1, 0, 0, 0)


@pytest.mark.parametrize("size", [sys.maxsize, sys.maxsize - 4096, 1 << 62, 1 << 63, 1 << 64, 1 << 200])
def test_more_than_there_is_raises(size):
    pool = BufferPool()
    with pytest.raises(MemoryError, match="bytes"):
        pool.take(size)
    assert pool.stats().live == 0


def test_arguments_that_are_no_sizes_are_refused():
    pool = BufferPool()
    for number in (-1, -(1 << 70)):
        with pytest.raises(ValueError, match="negative"):
            pool.take(number)
        with pytest.raises(ValueError, match="negative"):
            BufferPool(number)
        with pytest.raises(ValueError, match="negative"):
            BufferPool(1, number)
    for wrong in (1.5, "1", None):
        with pytest.raises(TypeError):
            pool.take(wrong)


@pytest.mark.parametrize("data", ["text", 1, None, [1]])
def test_what_has_no_bytes_cannot_be_written(data):
    with BufferPool().take() as buffer:
        with pytest.raises(TypeError, match="bytes-like"):
            buffer.write(data)
        assert len(buffer) == 0


def test_what_is_not_contiguous_cannot_be_written():
    with BufferPool().take() as buffer, pytest.raises(BufferError, match="contiguous"):
        buffer.write(memoryview(b"abcdef")[::2])


def test_all_uses_after_the_block_raise():
    pool = BufferPool()
    with pool.take() as buffer:
        buffer.write(b"x")
    for use in (
        lambda: buffer.write(b""),
        buffer.view,
        buffer.freeze,
        buffer.__len__,
        buffer.__enter__,
        lambda: memoryview(buffer),
    ):
        with pytest.raises(ValueError, match="given back"):
            use()
    assert repr(buffer) == "<Buffer, given back>"
    buffer.__exit__(None, None, None)
    assert stats(pool) == (1, 0, 0, 1)


def test_an_exception_passes_and_gives_the_memory_back():
    pool = BufferPool()
    with pytest.raises(KeyError), pool.take():
        raise KeyError
    assert stats(pool) == (1, 0, 0, 1)


def test_a_view_holds_the_memory_until_it_dies():
    pool = BufferPool()
    with pool.take(100) as buffer:
        buffer.write(b"kept")
        view = buffer.view()
        part = view[1:]
    assert stats(pool) == (1, 0, 1, 0)
    with pool.take(100) as other:
        other.write(b"other bytes")
        assert bytes(view) == b"kept"
        view.release()
        assert bytes(part) == b"ept"
        assert pool.stats().pooled == 0
        part.release()
        assert pool.stats().pooled == 1
    assert stats(pool) == (2, 0, 0, 2)


def test_a_view_outlives_buffer_and_pool():
    with BufferPool().take() as buffer:
        buffer.write(b"kept")
        view = buffer.view()
    del buffer
    gc.collect()
    assert bytes(view) == b"kept"


def test_a_view_allows_writing_in_the_room_there_is():
    with BufferPool().take(8192) as buffer:
        buffer.write(b"a" * 4000)
        view = buffer.view()
        buffer.write(b"b" * 4192)
        assert bytes(view) == b"a" * 4000
        with pytest.raises(BufferError, match="view"):
            buffer.write(b"c")
        view.release()
        buffer.write(b"c")
        assert buffer.freeze() == b"a" * 4000 + b"b" * 4192 + b"c"


def test_a_view_can_be_written_to():
    with BufferPool().take() as buffer:
        buffer.write(b"....body")
        with buffer.view() as view:
            view[:4] = b"head"
        assert buffer.freeze() == b"headbody"


def test_a_buffer_can_be_written_to_itself():
    with BufferPool().take(1 << 20) as buffer:
        buffer.write(b"ab")
        for _ in range(8):
            buffer.write(buffer.view())
            if len(buffer) < 1000:
                buffer.write(buffer)
        assert set(buffer.freeze()) == {97, 98}
        assert buffer.freeze() == b"ab" * (len(buffer) // 2)
    with BufferPool().take(4096) as buffer:
        buffer.write(b"x" * 4000)
        with pytest.raises(BufferError, match="view"):
            buffer.write(buffer)
        assert len(buffer) == 4000


def test_a_buffer_that_is_dropped_gives_its_memory_back():
    pool = BufferPool()
    pool.take()
    buffer = pool.take()
    buffer.__enter__().write(b"x")
    del buffer
    assert stats(pool)[2:] == (0, 1)


def test_blocks_may_be_nested():
    pool = BufferPool()
    with pool.take() as outer, pool.take() as inner:
        outer.write(b"outer")
        inner.write(outer)
        assert inner.freeze() == b"outer"
        with inner:
            pass
        with pytest.raises(ValueError, match="given back"):
            inner.write(b"x")
    assert stats(pool) == (2, 0, 0, 2)


def test_large_bytes_are_copied_while_other_threads_run():
    pool, data = BufferPool(), random.Random(1).randbytes(3 << 20)
    with pool.take() as buffer:
        buffer.write(data)
        buffer.write(memoryview(data))
        assert buffer.freeze() == data + data


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=9000), st.sampled_from(["self", "view", "release"])), max_size=30))
def test_a_buffer_is_what_was_written(steps):
    with BufferPool().take(4096) as buffer:
        wanted, view, seen = b"", None, b""
        for step in steps:
            if step == "view":
                view, seen = buffer.view(), wanted
            elif step == "release":
                view = None
            else:
                data = buffer if step == "self" else step
                try:
                    buffer.write(data)
                except BufferError:
                    assert view is not None or step == "self"
                else:
                    wanted += wanted if step == "self" else step
            assert view is None or bytes(view) == seen
        assert bytes(buffer) == wanted
        view = None


def test_threads_never_share_memory():
    pool, failures = BufferPool(3, 1 << 20), []

    def work(number: int) -> None:
        data = bytes([number]) * 20_000
        for n in range(300):
            with pool.take(n * 50) as buffer:
                buffer.write(data)
                view = buffer.view()
            if bytes(view) != data:
                failures.append(number)
            del view

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    takes, reuses, live, pooled = stats(pool)
    assert (takes, live) == (1800, 0)
    assert 0 < reuses < takes
    assert pooled <= 3


def test_threads_may_write_one_buffer():
    with BufferPool().take() as buffer:
        data = b"x" * (300 << 10)
        threads = [threading.Thread(target=buffer.write, args=(data,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert buffer.freeze() == data * 8


def test_canonical_writing_and_copies_of_bodies_go_through_the_pool_of_the_process():
    pool, text = BufferPool.shared(), "some text " * 100_000
    body = bytearray(json.dumps({"text": text}).encode())
    form = canonical_json({"text": text})
    before = pool.stats()
    for _ in range(10):
        assert canonical_json({"text": text}) == canonicalize(body) == form
    after = pool.stats()
    assert after.takes - before.takes >= 20
    assert after.reuses - before.reuses >= 20 - 1
    assert after.live == before.live
    assert len(form) < after.pooled_bytes <= 64 << 20


def test_searches_in_files_go_through_the_pool_of_the_process(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"needle\n" * 1000)
    folder = Folder(tmp_path)
    before = BufferPool.shared().stats()
    assert len(folder.grep("needle", ".", max_matches=50_000, max_columns=80).matches) == 20_000
    after = BufferPool.shared().stats()
    assert after.takes - before.takes == 20
    assert after.live == before.live


def test_the_pool_of_the_process_is_one():
    with BufferPool.shared().take(100_000) as buffer:
        buffer.write(b"x")
        assert BufferPool.shared().stats().live >= 1
