"""The races of races.py under pytest-benchmark: absolute times, grouped by the work. `make bench` runs it."""

from __future__ import annotations

import time

import pytest

from races import RACES


@pytest.fixture(scope="module", params=RACES)
def race(request):
    return request.param, RACES[request.param]()


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("place", range(3))
def test_race(benchmark, race, place):
    name, candidates = race
    if place >= len(candidates):
        pytest.skip("fewer candidates")
    candidate = candidates[place]
    benchmark.group = name
    benchmark.name = candidate.name
    benchmark.extra_info["operations"] = candidate.operations
    slow = candidate.operations == 1
    benchmark.pedantic(
        candidate.work, setup=lambda: (candidate.prepare(), {}), rounds=2 if slow else 15, warmup_rounds=1
    )
