"""Who goes next."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.pipeline import queue
from hotloop.pipeline.queue import PATIENCE, Places, Priority


async def order_of(priorities, *, count=1, cancel=()):
    """Let calls of these priorities wait for `count` places, and return the order in which they had them."""
    places = Places(count)
    for _ in range(count):
        assert places.try_take((), 0.0)
    order = []

    async def call(number, priority):
        await places.take(priority)
        order.append(number)
        await asyncio.sleep(0)
        places.give((), 0.0)

    tasks = [asyncio.create_task(call(number, priority)) for number, priority in enumerate(priorities)]
    await asyncio.sleep(0)
    for number in cancel:
        tasks[number].cancel()
    for _ in range(count):
        places.give((), 0.0)
    await asyncio.wait(tasks)
    assert (places.free, places.waiting) == (count, 0)
    return order


async def test_urgent_calls_go_first_and_equals_in_their_order():
    low, normal, high, critical = Priority
    assert await order_of([low, normal, critical, high, normal, critical]) == [2, 5, 3, 1, 4, 0]


async def test_a_low_call_has_its_turn_in_a_stream_of_urgent_ones():
    order = await order_of([Priority.LOW, *[Priority.CRITICAL] * 100])
    assert order.index(0) == PATIENCE


async def test_an_urgent_call_passes_a_long_queue():
    order = await order_of([*[Priority.NORMAL] * 1000, Priority.CRITICAL])
    assert order[0] == 1000


@given(st.lists(st.sampled_from(Priority), min_size=1, max_size=60), st.integers(1, 4), st.data())
def test_each_has_one_turn_in_order_of_its_lane_and_is_not_starved(priorities, count, data):
    cancelled = data.draw(st.sets(st.integers(0, len(priorities) - 1)))
    order = asyncio.run(order_of(priorities, count=count, cancel=cancelled))
    assert sorted(order) == [number for number in range(len(priorities)) if number not in cancelled]
    for lane in Priority:
        own = [number for number in order if priorities[number] is lane]
        assert own == sorted(own)
        turns = [position for position, number in enumerate(order) if priorities[number] is lane]
        gaps = [after - before for before, after in zip([-1, *turns], turns, strict=False)]
        # passed over PATIENCE times, then at most once by each other lane that has waited as long
        assert all(gap <= PATIENCE + len(Priority) for gap in gaps)


async def test_a_turn_that_comes_together_with_a_cancellation_goes_on_to_the_next():
    places = Places(1)
    places.try_take((), 0.0)
    first, second = (asyncio.create_task(places.take(Priority.NORMAL)) for _ in range(2))
    await asyncio.sleep(0)
    places.give((), 0.0)
    first.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert not second.cancelled()
    places.give((), 0.0)
    assert places.free == 1


def test_no_place_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Places(0)


async def test_the_mean_of_taken_places_counts_all_time_in_which_any_was_taken(monkeypatch):
    clock = 1000.0
    monkeypatch.setattr(queue, "perf_counter", lambda: clock)
    places = Places(2)
    assert places.mean == 0.0
    places.try_take((), clock)
    clock += 1.0
    assert places.mean == 1.0
    places.try_take((), clock)
    clock += 1.0
    assert places.mean == 1.5
    waiting = asyncio.create_task(places.take(Priority.NORMAL))
    await asyncio.sleep(0)
    places.give((), clock)
    places.give((), clock)
    await waiting
    clock += 2.0
    places.give((), clock)
    clock += 100.0
    assert places.mean == 1.25


async def test_a_place_that_is_handed_on_stays_taken(monkeypatch):
    clock = 1000.0
    monkeypatch.setattr(queue, "perf_counter", lambda: clock)
    places = Places(1)
    places.try_take((), clock)
    for _ in range(3):
        waiting = asyncio.create_task(places.take(Priority.NORMAL))
        await asyncio.sleep(0)
        clock += 1.0
        places.give((), clock)
        await waiting
    places.give((), clock)
    assert places.mean == 1.0
