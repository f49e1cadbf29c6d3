"""Quotas that processes share: a real server between them, and what happens without it."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotloop.calls import Breaking, Demand, Limits
from hotloop.calls.gate import Gate
from hotloop.calls.limits import Amounts
from hotloop.calls.shared import SharedQuota
from support.clock import VirtualTime

_PROCESS = """
import asyncio, json, sys, time
from hotloop.calls import Breaking, Clock, Demand, Limits
from hotloop.calls.gate import Gate
from hotloop.calls.limits import Amounts
from hotloop.calls.shared import SharedQuota
async def main():
    limits = Limits(requests_per_minute=6000, burst=0.5, slack=0.0, redis_url=sys.argv[1])
    gate, starts = Gate(limits, Breaking(), Clock()), []
    gate.limiter.shared._link.timeout = 30.0
    async def call():
        async with gate.passage(Demand("s")):
            starts.append(time.monotonic())
    await asyncio.gather(*(call() for _ in range(40)))
    await gate.limiter.aclose()
    print(json.dumps(starts))
asyncio.run(main())
"""


def test_processes_together_keep_the_quota_of_one(redis_server):
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, redis_server.url], stdout=subprocess.PIPE) for _ in range(3)
    ]
    starts = sorted(start for process in processes for start in json.loads(process.communicate()[0]))
    assert len(starts) == 120
    # 50 at once, then 100 a second: the last of 120 cannot start sooner than 0.7 s after the first, by the server's
    # clock. A process that is late starts later, never sooner.
    assert starts[-1] - starts[0] > 0.65


async def test_a_server_that_is_away_leaves_each_process_its_share(own_redis):
    time = VirtualTime()
    limits = Limits(requests_per_minute=60, slack=0.0, redis_url=own_redis.url)
    gates = [Gate(limits, Breaking(), time.clock()) for _ in range(2)]
    for gate in gates:
        async with gate.passage(Demand("s")):
            pass
    async with gates[0].passage(Demand("s")):  # by now it has seen the other
        pass
    own_redis.pause()
    link = gates[0].limiter.shared._link
    link.timeout, link.pause = 0.05, 3600.0
    started = []

    async def call() -> None:
        async with gates[0].passage(Demand("s")):
            started.append(time.now - 1000.0)

    async with asyncio.timeout(30):
        assert await gates[0].limiter.shared.reserve("s", (1, 0, 0, 0)) is None
    await time.run(asyncio.wait([asyncio.ensure_future(call()) for _ in range(4)]))
    assert started == pytest.approx([2.0, 4.0, 6.0, 8.0])  # half of one a second, with nothing saved up
    for gate in gates:
        await gate.limiter.aclose()


async def test_a_call_cancelled_while_it_asks_gives_back_what_it_got(redis_server):
    limits = Limits(requests_per_minute=1, slack=0.0, redis_url=redis_server.url)
    shared = SharedQuota(limits)
    shared._link.timeout = 30.0
    shared._link._pool = ThreadPoolExecutor(1)  # one after another, so that what is told has been done
    began, on, reserve = threading.Event(), threading.Event(), shared._reserve

    def slowly(*words):
        began.set()
        on.wait()
        return reserve(*words)

    shared._reserve = slowly
    task = asyncio.ensure_future(shared.reserve("s", Amounts(1)))
    await asyncio.to_thread(began.wait)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    on.set()
    await shared._link.ask(lambda client: client.ping())  # behind it; what it gives back comes next
    assert [(await shared.reserve("s", Amounts(1))).wait > 0 for _ in range(2)] == [False, True]
    await shared.aclose()
