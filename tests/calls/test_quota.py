"""Quotas as arithmetic: never more than a server that counts the same would grant, and nothing lost either."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotloop.calls.limits import Amounts, Limits
from hotloop.calls.quota import NOTHING, Quota, Report
from hotloop.calls.shared import SharedQuota

TIMES = st.floats(0, 30, allow_nan=False)
LIMITS = Limits(requests_per_minute=60, tokens_per_minute=6000, slack=0.0)


class Server:
    """What a server with token buckets would say to calls that start at these times, in any order of reporting."""

    def __init__(self, limits: Limits) -> None:
        self.rates = [0.0 if quota is None else quota / 60 for quota in limits.quotas]
        self.tops = [rate * limits.burst for rate in self.rates]
        self.starts: list[tuple[float, Amounts]] = []

    def lowest(self) -> float:
        """The least that any bucket ever held, as a share of its size."""
        worst = 1.0
        for index, (rate, top) in enumerate(zip(self.rates, self.tops, strict=True)):
            level, then = top, float("-inf")
            for start, amounts in sorted(self.starts) if rate else ():
                level = min(top, level + rate * (start - then)) - amounts[index]
                worst, then = min(worst, level / top), start
        return worst


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), TIMES, st.none()),
        st.tuples(st.just("call"), st.integers(0, 3000), st.floats(0, 1)),
        st.tuples(st.just("settle"), st.integers(0, 100), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 100), st.none()),
    ),
    max_size=80,
)


@given(steps)
@settings(max_examples=300, deadline=None)
def test_no_interleaving_of_calls_settlements_and_cancellations_exceeds_a_quota(steps):
    quota, server, now, pending = Quota(LIMITS), Server(LIMITS), 0.0, []
    last = float("-inf")
    for kind, number, part in steps:
        if kind == "wait":
            now += number
        elif kind == "call":
            grant = quota.reserve(now, Amounts(1, number))
            start = now + grant.wait
            assert start >= last - 1e-9, "a later call started before an earlier one"
            last = start
            pending.append((start, grant, Amounts(1, number * part)))
        elif pending:
            start, grant, took = pending.pop(number % len(pending))
            if kind == "cancel" and start > now:
                quota.settle(now, grant, NOTHING)
            elif start <= now:
                quota.settle(now, grant, took)
                server.starts.append((start, took))
            else:
                pending.append((start, grant, took))
    server.starts += [(start, grant.taken) for start, grant, _ in pending]
    assert server.lowest() > -1e-6


def test_a_busy_scope_uses_all_of_its_quota():
    quota, start = Quota(LIMITS), 0.0
    for _ in range(600):
        start = quota.reserve(0.0, Amounts(1, 50)).wait
    assert start == pytest.approx(540.0)  # 60 at once, then one a second


def test_a_quota_that_is_not_known_holds_nothing_back():
    quota = Quota(Limits())
    grant = quota.reserve(0.0, Amounts(1, 500, 400, 100))
    quota.correct(0.0, grant, Report(limits=(60.0, None, None, None), remaining=(59.0, None, None, None)), 0.0)
    for _ in range(10):
        assert quota.ready(1.0, Amounts(1, 500, 400, 100))
        assert quota.reserve(1.0, Amounts(1, 500, 400, 100)).wait == 0


def test_the_scarcest_of_several_quotas_decides():
    limits = Limits(requests_per_minute=6000, input_tokens_per_minute=60_000, output_tokens_per_minute=600, slack=0.0)
    quota = Quota(limits)
    waits = [quota.reserve(0.0, Amounts(1, 0, 100, 100)).wait for _ in range(8)]
    assert waits == pytest.approx([0.0] * 6 + [10.0, 20.0])


def test_a_call_larger_than_the_quota_gets_all_of_it_and_those_after_it_wait_for_the_rest():
    quota = Quota(Limits(tokens_per_minute=600, slack=0.0))
    assert quota.reserve(0.0, Amounts(1, 1200)).wait == 0.0
    assert quota.reserve(0.0, Amounts(1, 10)).wait == pytest.approx(61.0)


def test_what_was_estimated_too_high_comes_back_and_too_low_is_owed():
    quota = Quota(Limits(tokens_per_minute=600, slack=0.0))
    first = quota.reserve(0.0, Amounts(1, 600))
    quota.settle(0.0, first, Amounts(1, 100))
    second = quota.reserve(0.0, Amounts(1, 500))
    assert second.wait == 0.0
    quota.settle(0.0, second, Amounts(1, 800))
    assert quota.reserve(0.0, Amounts(1, 0)).wait == pytest.approx(30.0)


def test_slack_is_held_back_once():
    quota = Quota(Limits(requests_per_minute=600, slack=1.0))
    waits = [quota.reserve(0.0, Amounts(1)).wait for _ in range(600)]
    assert waits.count(0.0) == 590
    assert waits[-1] == pytest.approx(1.0)


def report(limit=None, left=None, **rest) -> Report:
    return Report((limit, None, None, None), (left, None, None, None), **rest)


def test_a_quota_is_learned_from_the_server_and_never_raised_above_what_was_set():
    quota = Quota(Limits(slack=0.0))
    first = quota.reserve(0.0, Amounts(1))
    assert [quota.reserve(0.0, Amounts(1)).wait for _ in range(5)] == [0.0] * 5
    quota.correct(0.0, first, report(60, 3), 0.0)
    assert [quota.reserve(0.0, Amounts(1)).wait for _ in range(5)] == pytest.approx([0, 0, 0, 1, 2])
    held = Quota(Limits(requests_per_minute=60, slack=0.0))
    held.correct(0.0, held.reserve(0.0, Amounts(1)), report(6000, 5999), 0.0)
    assert [held.reserve(0.0, Amounts(1)).wait for _ in range(61)][-2:] == pytest.approx([1.0, 2.0])
    lower = Quota(Limits(requests_per_minute=60, slack=0.0))
    lower.correct(0.0, lower.reserve(0.0, Amounts(1)), report(6, 5), 0.0)
    assert [lower.reserve(0.0, Amounts(1)).wait for _ in range(7)][-1] == pytest.approx(20.0)


def test_what_the_server_says_is_read_in_the_light_of_the_calls_under_way():
    quota = Quota(Limits(requests_per_minute=60, slack=0.0))
    quota.settle(0.0, quota.reserve(0.0, Amounts(56)), Amounts(56))
    early = quota.reserve(0.0, Amounts(0))
    for _ in range(4):  # by our count, nothing is left now
        quota.reserve(0.0, Amounts(1))
    quota.correct(0.0, early, report(60, 30), 0.0)  # the server has more; but it may not have seen the four yet
    assert [quota.reserve(0.0, Amounts(1)).wait for _ in range(27)] == pytest.approx([0.0] * 26 + [1.0])


def test_old_news_are_not_taken_for_new():
    quota = Quota(Limits(requests_per_minute=60, slack=0.0))
    grant = quota.reserve(0.0, Amounts(60))
    quota.settle(50.0, grant, grant.taken)
    quota.correct(50.0, grant, report(60, 0), 50.0)  # said at some time in the last 50 s
    assert [quota.reserve(50.0, Amounts(1)).wait for _ in range(51)] == pytest.approx([0.0] * 50 + [1.0])


def test_a_refusal_empties_the_buckets_and_pauses_but_not_for_ever():
    quota = Quota(Limits(requests_per_minute=60, slack=0.0, max_pause=20.0))
    quota.correct(0.0, quota.reserve(0.0, Amounts(1)), Report(retry_after=5.0, refused=True), 0.0)
    assert quota.reserve(0.0, Amounts(1)).wait == pytest.approx(5.0)
    quota.correct(0.0, quota.reserve(0.0, Amounts(1)), Report(retry_after=3600.0, refused=True), 0.0)
    assert quota.reserve(0.0, Amounts(1)).wait == pytest.approx(20.0)


def test_a_share_of_the_quota_begins_empty():
    quota = Quota(Limits(requests_per_minute=60, slack=0.0))
    quota.share(0.0, 0.25)
    assert [quota.reserve(0.0, Amounts(1)).wait for _ in range(3)] == pytest.approx([4.0, 8.0, 12.0])


# -- the same on the server

amounts = st.tuples(st.integers(0, 3), st.integers(0, 3000), st.integers(0, 500), st.integers(0, 500))
maybe = st.one_of(st.none(), st.integers(0, 5000))
moves = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), TIMES),
        st.tuples(st.just("reserve"), amounts),
        st.tuples(st.just("settle"), st.tuples(st.integers(0, 20), amounts)),
        st.tuples(
            st.just("correct"),
            st.tuples(
                st.integers(0, 20),
                st.tuples(*[st.one_of(st.none(), st.sampled_from([6, 60, 600, 6000, 60_000]))] * 4),
                st.tuples(*[maybe] * 4),
                st.one_of(st.none(), st.floats(0, 100)),
                st.booleans(),
            ),
        ),
    ),
    max_size=25,
)


@pytest.mark.hypothesis
def test_the_server_side_gives_what_the_arithmetic_here_gives(redis_server):
    limits = Limits(requests_per_minute=60, tokens_per_minute=6000, slack=0.2, redis_url=redis_server.url)
    shared = SharedQuota(limits, now=0.0)
    shared._link.timeout = 5.0
    shared._link._pool = ThreadPoolExecutor(1)  # one after another, so that what is told has been done
    scopes = count()

    async def check(moves) -> None:
        scope, now, grants, quota = str(next(scopes)), 1_000_000.0, [], Quota(limits)
        for kind, facts in moves:
            shared.now = now
            if kind == "wait":
                now += facts
            elif kind == "reserve":
                here, there = quota.reserve(now, Amounts(*facts)), await shared.reserve(scope, Amounts(*facts))
                assert there.wait == pytest.approx(here.wait, abs=1e-4)
                assert there.settled == pytest.approx(here.settled)
                grants.append((here, there))
            elif grants and kind == "settle":
                which, took = facts
                here, there = grants.pop(which % len(grants))
                quota.settle(now, here, Amounts(*took))
                shared.settle(scope, there, Amounts(*took))
            elif grants:
                which, *said = facts
                here, there = grants[which % len(grants)]
                quota.correct(now, here, Report(*said), 1.5)
                shared.correct(scope, there, Report(*said), 1.5)

    nothing, refused = (None,) * 4, (None, True)
    learned_late = [  # a quota that becomes known after calls that had to wait
        ("reserve", (0, 0, 0, 0)),
        ("correct", (0, nothing, nothing, *refused)),
        ("reserve", (0, 1, 1, 0)),
        ("wait", 1.0),
        ("correct", (0, (None, None, 6, None), nothing, *refused)),
        ("reserve", (0, 0, 0, 0)),
    ]

    @given(moves)
    @example(learned_late)
    @settings(max_examples=100, deadline=None)
    def explore(found):
        asyncio.run(check(found))

    explore()
    asyncio.run(shared.aclose())


def test_settings_out_of_range_are_refused():
    for wrong in (
        {"requests_per_minute": 0},
        {"tokens_per_minute": float("nan")},
        {"output_tokens_per_minute": float("inf")},
        {"slack": 60.0},
        {"burst": 0.0},
        {"max_pause": -1.0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Limits(**wrong)
    assert "secret" not in repr(Limits(redis_url="redis://:secret@host"))
