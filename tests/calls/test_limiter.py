"""Holding calls back: on a virtual clock, from threads and event loops, against a server that keeps quotas."""

import asyncio
import random
import threading

import pytest

from hotloop.calls import Breaking, Clock
from hotloop.calls.gate import Gate
from hotloop.calls.limits import Demand, Limits
from hotloop.errors import ModelStatusError
from support.clock import VirtualTime


def gate(time: VirtualTime, **limits) -> Gate:
    return Gate(Limits(**{"slack": 0.0} | limits), Breaking(), time.clock())


class Provider:
    """A server with token buckets for requests and tokens, which says what is left, as OpenAI does."""

    def __init__(self, time: VirtualTime, requests: float, tokens: float, *, talks: bool = True) -> None:
        self.time = time
        self.tops = [requests, tokens]
        self.levels = [requests, tokens]
        self.stamp = time.now
        self.talks = talks
        self.served = self.refused = self.tokens = 0

    def take(self, tokens: float) -> tuple[int, dict[str, str]]:
        passed, self.stamp = self.time.now - self.stamp, self.time.now
        self.levels = [min(top, level + passed * top / 60) for top, level in zip(self.tops, self.levels, strict=True)]
        headers = {}
        if self.levels[0] >= 1 and self.levels[1] >= tokens:
            self.levels = [self.levels[0] - 1, self.levels[1] - tokens]
            self.served += 1
            self.tokens += tokens
            status = 200
        else:
            self.refused += 1
            status = 429
            short = max((1 - self.levels[0]) * 60 / self.tops[0], (tokens - self.levels[1]) * 60 / self.tops[1])
            headers["retry-after"] = str(max(0.0, short))
        if self.talks:
            for kind, top, level in zip(("requests", "tokens"), self.tops, self.levels, strict=True):
                headers |= {f"x-ratelimit-limit-{kind}": str(top), f"x-ratelimit-remaining-{kind}": str(int(level))}
        return status, headers


async def ask(time: VirtualTime, held: Gate, provider: Provider, chance: random.Random, priority: int = 1) -> None:
    """One call: 429s are made again at once, since it is the limiter's to wait."""
    tokens = chance.randint(50, 500)
    demand = Demand("m", input_tokens=2 * tokens, output_tokens=None, priority=priority)
    while True:
        async with held.passage(demand):
            await time.sleep(chance.uniform(0.001, 0.02))  # the way there
            status, headers = provider.take(tokens)
            await time.sleep(chance.uniform(0.1, 3.0))
            demand.observe(headers, status)
            if status == 200:
                demand.settle(input_tokens=tokens - 20, output_tokens=20)
                return


async def crowd(time: VirtualTime, held: Gate, provider: Provider, clients: int, seconds: float) -> None:
    chance, end = random.Random(7), time.now + seconds

    async def client() -> None:
        while time.now < end:
            await ask(time, held, provider, chance)

    await time.run(asyncio.wait([asyncio.ensure_future(client()) for _ in range(clients)]), until=end)


@pytest.mark.parametrize("quotas", [{}, {"requests_per_minute": 600, "tokens_per_minute": 100_000}])
@pytest.mark.parametrize("talks", [True, False])
async def test_fifty_clients_use_a_server_fully_and_are_not_refused(quotas, talks):
    if not quotas and not talks:
        pytest.skip("nobody says what the quotas are")
    time = VirtualTime()
    provider = Provider(time, 600, 100_000, talks=talks)
    await crowd(time, gate(time, slack=0.2, **quotas), provider, clients=50, seconds=300.0)
    share = max(provider.served / (600 * 6), provider.tokens / (100_000 * 6))  # a full bucket, and five minutes more
    assert share > 0.97
    assert provider.refused <= 0.001 * provider.served


async def test_a_server_that_only_refuses_is_used_without_being_pressed():
    time = VirtualTime()
    provider = Provider(time, 600, 10**9, talks=False)
    await crowd(time, gate(time), provider, clients=50, seconds=300.0)
    unlimited = Provider(time, 600, 10**9, talks=False)
    held = gate(time, learn=False)
    await crowd(time, held, unlimited, clients=50, seconds=300.0)
    assert provider.served > 0.9 * 600 * 6
    assert provider.refused < unlimited.refused


async def test_quotas_of_one_scope_hold_nobody_else_up():
    time = VirtualTime()
    held = gate(time, requests_per_minute=1)
    started = []

    async def call(scope: str) -> None:
        async with held.passage(Demand(scope)):
            started.append((scope, time.now - 1000.0))

    await time.run(asyncio.wait([asyncio.ensure_future(call(scope)) for scope in "aaabab"]))
    assert started == [("a", 0), ("b", 0), ("a", 60), ("b", 60), ("a", 120), ("a", 180)]


async def test_urgent_calls_go_first_and_starve_nobody():
    time = VirtualTime()
    held = gate(time, requests_per_minute=60, burst=1.0)
    order: list[int] = []

    async def call(priority: int) -> None:
        async with held.passage(Demand("s", priority=priority)):
            order.append(priority)

    tasks = [asyncio.ensure_future(call(priority)) for priority in [1, 0, 0, 0] + [3] * 60 + [2] * 20]
    await time.run(asyncio.wait(tasks))
    assert order[:2] == [1, 0]  # the first in line when the others came
    assert order[2:10] == [3] * 8
    assert order.count(0) == 3
    lows = [place for place, priority in enumerate(order) if priority == 0]
    twos = [place for place, priority in enumerate(order) if priority == 2]
    assert lows[0] <= 12
    assert lows[2] <= 40
    assert twos[0] <= 12
    assert [place for place, priority in enumerate(order) if priority == 3][-1] < len(order)


async def test_a_cancelled_call_gives_its_place_and_its_quota_back():
    time = VirtualTime()
    held = gate(time, requests_per_minute=60, burst=2.0, concurrency=1)
    started = []

    async def call(name: str) -> None:
        async with held.passage(Demand("s")):
            started.append((name, time.now - 1000.0))
            await time.sleep(0.1)

    tasks = {name: asyncio.ensure_future(call(name)) for name in "abcde"}

    async def cancel() -> None:
        await time.sleep(0.05)
        tasks["b"].cancel()  # waits for the place
        tasks["c"].cancel()  # waits in line
        await asyncio.wait(tasks.values())

    await time.run(cancel())
    assert started == [("a", 0.0), ("d", pytest.approx(0.1)), ("e", pytest.approx(1.0, abs=0.05))]
    assert held.limiter.account("s").line.try_enter()


async def test_an_error_that_says_429_pauses_the_scope_also_without_headers():
    time = VirtualTime()
    held = gate(time)

    async def refused() -> None:
        async with held.passage(Demand("s")):
            raise ModelStatusError("busy", 429, retry_after=7.0)

    async def after() -> float:
        with pytest.raises(ModelStatusError):
            await refused()
        async with held.passage(Demand("s")):
            return time.now - 1000.0

    assert await time.run(after()) == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("limits", "counted"),
    [
        ({"tokens_per_minute": 6000}, 3100),  # as OpenAI counts
        ({"tokens_per_minute": 6000, "count_cached": False}, 200),
        ({"input_tokens_per_minute": 6000}, 100),  # as Anthropic counts
        ({"input_tokens_per_minute": 6000, "count_cached": True}, 3000),
        ({"output_tokens_per_minute": 6000}, 100),
    ],
)
async def test_cached_tokens_count_as_the_provider_counts_them(limits, counted):
    time = VirtualTime()
    held = gate(time, **limits)

    async def work() -> float:
        demand = Demand("s", input_tokens=3000, output_tokens=100)
        async with held.passage(demand):
            demand.settle(input_tokens=3000, output_tokens=100, cached_tokens=2900)
        account = held.limiter.account("s")
        account.ratio[:] = [1.0, 1.0]
        all_of_it = Demand("s", input_tokens=6000, output_tokens=0)
        if "output_tokens_per_minute" in limits:
            all_of_it = Demand("s", output_tokens=6000)
        async with held.passage(all_of_it):
            return (time.now - 1000.0) * 100.0

    assert await time.run(work()) == pytest.approx(counted)


async def test_what_answers_take_is_learned_when_the_call_does_not_say():
    time = VirtualTime()
    account = gate(time).limiter.account("s")
    unknown = Demand("s", input_tokens=1000, output_tokens=None)
    assert account.estimate(unknown)[1:] == (1256.0, 1000.0, 256.0)
    account.learn(
        unknown.input_tokens,
        account.estimate(unknown)._replace(tokens=3000.0, input_tokens=100.0, output_tokens=2000.0),
    )
    assert account.estimate(unknown).output_tokens == 2000.0  # more than expected: at once
    assert 100.0 < account.estimate(unknown).input_tokens < 1000.0  # less: slowly


def test_several_event_loops_and_threads_share_one_limiter():
    held = Gate(Limits(concurrency=3, learn=False), Breaking(), Clock())
    running = peak = done = 0
    lock = threading.Lock()

    async def call() -> None:
        nonlocal running, peak, done
        async with held.passage(Demand("s")):
            with lock:
                running += 1
                peak = max(peak, running)
            await asyncio.sleep(0)
            with lock:
                running -= 1
                done += 1

    async def many() -> None:
        await asyncio.gather(*(call() for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    asyncio.run(many())
    assert (done, running) == (250, 0)
    assert peak <= 3


def test_a_waiter_whose_event_loop_was_closed_holds_nobody_up():
    held = Gate(Limits(concurrency=1), Breaking(), Clock())
    first, gone = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def enter():
        slot = held.passage(None)
        await slot.__aenter__()
        return slot

    async def wait_in_vain() -> None:
        task = asyncio.ensure_future(enter())
        await asyncio.sleep(0)
        assert not task.done()
        task._log_destroy_pending = False

    slot = first.run_until_complete(enter())
    gone.run_until_complete(wait_in_vain())
    gone.close()
    first.run_until_complete(slot.__aexit__(None, None, None))
    assert first.run_until_complete(enter()) is not None
    first.close()


async def test_scopes_that_nobody_uses_are_forgotten():
    held = gate(VirtualTime())
    for number in range(5000):
        held.limiter.account(str(number))
    assert len(held.limiter._accounts) == 4096
