"""What is made again, how often in all, and what never."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.calls import Breaking, Call, CallPath, Clock, Demand, Retry
from hotloop.calls.retry import Budget
from hotloop.errors import CircuitOpenError, ModelConnectionError, ModelStatusError, ModelTimeoutError


async def at_once(seconds: float) -> None:
    pass


def unreached() -> ModelConnectionError:
    error = ModelConnectionError("no connection could be made")
    error.acted = False
    return error


@pytest.mark.parametrize(
    ("error", "alone", "repeatable"),
    [
        (unreached(), True, True),
        (ModelStatusError("", 429), True, True),
        (ModelStatusError("", 503), True, True),
        (ModelStatusError("", 529), True, True),
        (ModelStatusError("", 408), True, True),
        (ModelStatusError("", 500), False, True),
        (ModelStatusError("", 502), False, True),
        (ModelStatusError("", 504), False, True),
        (ModelConnectionError("went away"), False, True),
        (ModelTimeoutError("silent"), False, True),
        (ModelStatusError("", 400), False, False),
        (ModelStatusError("", 401), False, False),
        (CircuitOpenError("open", 1.0), False, False),
        (ValueError("a bug"), False, False),
        (asyncio.CancelledError(), False, False),
    ],
    ids=lambda value: (
        f"{type(value).__name__}{getattr(value, 'status', '')}" if isinstance(value, BaseException) else ""
    ),
)
def test_what_may_have_been_acted_on_is_repeated_only_where_the_call_says_so(error, alone, repeatable):
    retry = Retry(attempts=3)
    assert (retry.delay(error, 1) is not None) == alone
    assert (retry.delay(error, 1, repeatable=True) is not None) == repeatable
    assert retry.delay(error, 3, repeatable=True) is None


@given(st.integers(1, 10_000), st.floats(0, 100), st.floats(0, 100))
def test_waits_are_jittered_fully_and_bounded(attempt, base, longest):
    retry = Retry(attempts=100_000, base=base, max_wait=longest)
    wait = retry.delay(ModelStatusError("", 503), attempt)
    assert 0.0 <= wait <= min(longest, base * 2.0 ** min(attempt - 1, 60))


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 1), st.integers(1, 20))
def test_retries_never_exceed_their_share_of_calls_and_the_reserve(moves, ratio, reserve):
    budget = Budget(Retry(budget=ratio, reserve=reserve))
    calls = retries = 0
    for is_call in moves:
        if is_call:
            budget.deposit()
            calls += 1
        elif budget.withdraw():
            retries += 1
        assert retries <= reserve + ratio * calls + 1e-6
        assert 0 <= budget.left <= reserve


async def test_many_calls_against_a_server_that_is_down_do_not_multiply_the_load():
    attempts = 0

    async def down() -> str:
        nonlocal attempts
        attempts += 1
        raise ModelStatusError("down", 503)

    call = Call("llm", "m", None, down, str.encode, bytes.decode)
    for budget, expected in ((0.2, 100 + 10 + 18), (None, 500)):
        attempts = 0
        path = CallPath(retry=Retry(attempts=5, budget=budget), clock=Clock(sleep=at_once))
        for _ in range(100):
            with pytest.raises(ModelStatusError):
                await path.run(call)
        assert attempts == pytest.approx(expected, abs=3)


async def test_a_server_that_keeps_failing_is_left_alone_and_tried_again_by_one():
    now, attempts, gate = 0.0, 0, asyncio.Event()
    works = False

    async def work() -> str:
        nonlocal attempts
        attempts += 1
        if works:
            await gate.wait()
            return "value"
        raise ModelStatusError("down", 500)

    def call() -> Call[str]:
        return Call("llm", "m", None, work, str.encode, bytes.decode, demand=Demand("s", origin="https://a"))

    path = CallPath(breaking=Breaking(failures=3, pause=5.0), clock=Clock(monotonic=lambda: now, sleep=at_once))
    for _ in range(3):
        with pytest.raises(ModelStatusError):
            await path.run(call())
    for _ in range(10):
        with pytest.raises(CircuitOpenError, match="has failed again") as raised:
            await path.run(call())
    assert (attempts, raised.value.retry_after) == (3, 5.0)
    other = Call("llm", "m", None, at_work, str.encode, bytes.decode, demand=Demand("s", origin="https://b"))
    assert (await path.run(other)).value == "elsewhere"
    now, works = 5.0, True
    trial = asyncio.create_task(path.run(call()))
    await asyncio.sleep(0.01)
    with pytest.raises(CircuitOpenError):
        await path.run(call())
    gate.set()
    assert (await trial).value == "value"
    assert (await path.run(call())).value == "value"
    assert attempts == 5


async def at_work() -> str:
    return "elsewhere"


def test_settings_out_of_range_are_refused():
    for make in (
        lambda: Retry(budget=-0.1),
        lambda: Retry(reserve=0),
        lambda: Breaking(failures=0),
        lambda: Breaking(pause=-1),
    ):
        with pytest.raises(ValueError, match=r"must be|cannot be"):
            make()
