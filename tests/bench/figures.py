"""Figures that are no times: memory, page faults, hit ratios."""

from __future__ import annotations

import gzip
import resource
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cachebox
import moka_py
import theine

import hotloop
from benchmarks.workload import agent_sessions, loop, shifting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# The traces and capacities by which eviction policies are judged here: name -> capacities.
TRACES = {
    "loop": (250, 500, 900),
    "multi1": (500, 1000, 2000),
    "multi2": (500, 1500, 3000),
    "sprite": (100, 400, 1000),
    "cpp": (35, 100, 300),
    "web07": (250, 1000, 4000),
}


def bytes_an_entry() -> float:
    """Growth of a process by each of a million entries, key included."""
    code = "from benchmarks.bench_cache import track_bytes_an_entry as track; print(track())"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def page_faults() -> float:
    """Page faults of one take, fill and give of 1 MB in steady state."""
    pool, data, count = hotloop.BufferPool(), bytes(1 << 20), 500

    def use() -> None:
        with pool.take(len(data)) as buffer:
            buffer.write(data)

    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        use()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / count


def hit_ratio(get: Callable[[str], Any], put: Callable[[str, Any], Any], keys: Iterable[str]) -> float:
    """The share of hits where each miss is filled."""
    hits = asked = 0
    for key in keys:
        asked += 1
        if get(key) is not None:
            hits += 1
        else:
            put(key, True)
    return hits / asked


def of_hotloop(capacity: int, keys: Iterable[str]) -> float:
    """Our hit ratio."""
    cache = hotloop.HotCache(capacity)
    return hit_ratio(cache.get, cache.put, keys)


def of_peers(capacity: int, keys: list[str]) -> dict[str, float]:
    """The hit ratios of others."""
    ratios = {}
    for policy in ("LRU", "LFU", "FIFO"):
        boxed: Any = getattr(cachebox, f"{policy}Cache")(capacity)
        ratios[f"cachebox {policy}"] = hit_ratio(boxed.get, boxed.insert, keys)
    moka: Any = moka_py.Moka(capacity)
    ratios["moka"] = hit_ratio(moka.get, moka.set, keys)
    window: Any = theine.Cache(capacity)
    ratios["theine"] = hit_ratio(lambda key: window.get(key)[0], window.set, keys)
    return ratios


def traces(folder: Path) -> float:
    """The mean hit ratio over real traces, one key a line in `NAME.txt.gz`, at their capacities."""
    ratios = []
    for name, capacities in TRACES.items():
        keys = gzip.decompress((folder / f"{name}.txt.gz").read_bytes()).decode().split()
        ratios += [of_hotloop(capacity, keys) for capacity in capacities]
    return statistics.mean(ratios)


def behind_the_best_peer(capacity: int = 5000, count: int = 400_000) -> tuple[float, list[str]]:
    """How many points the worst of the patterns that break policies is behind the best peer on it."""
    patterns = {
        "agent sessions": agent_sessions(count, capacity),
        "loop over 1.5 capacities": loop(count, capacity * 3 // 2),
        "loop over 0.9 capacities": loop(count, capacity * 9 // 10),
        "shifting hot set": shifting(count, capacity),
    }
    worst, lines = -100.0, []
    for name, requests in patterns.items():
        keys = [f"{n:064x}" for n in requests]
        ours, peers = 100 * of_hotloop(capacity, keys), of_peers(capacity, keys)
        best = max(peers, key=lambda peer: peers[peer])
        worst = max(worst, 100 * peers[best] - ours)
        lines.append(
            f"{name}: hotloop {ours:.1f} %, " + ", ".join(f"{peer} {100 * r:.1f}" for peer, r in peers.items())
        )
    return worst, lines
