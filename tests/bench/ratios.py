"""Prints the table of docs/benchmarks.md: `make bench` runs it.

python tests/bench/ratios.py [--rounds N] [--only REGEX] [--traces FOLDER]
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from figures import behind_the_best_peer, bytes_an_entry, page_faults, traces
from measure import ratio
from races import RACES

if TYPE_CHECKING:
    from collections.abc import Iterator

# What each row must reach, and aims at, in the order of RACES.
GOALS = [
    (1.0, 0.75),
    (1.0, 0.75),
    (0.10, 0.05),
    (1 / 150, 1 / 250),
    (1 / 10, 1 / 25),
    (0.65, 0.5),
    (0.35, 0.2),
    (1.0, 0.7),
    (1.1, 1.05),
]


def shown(value: float) -> str:
    """A figure with three digits; a small ratio as a fraction."""
    return f"1/{1 / value:.0f}" if 0 < value < 0.02 else f"{value:.3g}"


def nanoseconds(value: float) -> str:
    """A time in its unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def rows(rounds: int, only: str, folder: Path) -> Iterator[tuple[str, str, str, float, bool]]:
    """Measures: work, must, aim, figure, whether it reaches what it must."""
    for (name, race), (must, aim) in zip(RACES.items(), GOALS, strict=True):
        if re.search(only, name):
            candidates = race()
            slow = candidates[1].operations == 1
            value, times = ratio(candidates, 3 if slow else rounds)
            print(f"# {name}: " + ", ".join(f"{one} {nanoseconds(time)}" for one, time in times.items()), flush=True)
            yield name, f"≤ {shown(must)}", shown(aim), value, value <= must
    if re.search(only, "bytes an entry"):
        value = bytes_an_entry()
        yield "bytes an entry at 1,000,000, key included", "≤ 110", "64", value, value <= 110
    if re.search(only, "hit ratio"):
        if folder.is_dir():
            value = traces(folder)
            yield "mean hit ratio over the traces at their capacities", "≥ .600", ".615", value, value >= 0.6
        else:
            print(f"# no traces in {folder}: name their folder with --traces")
    if re.search(only, "patterns"):
        value, lines = behind_the_best_peer()
        print("\n".join(f"# {line}" for line in lines))
        yield "agent sessions, loops, shifting patterns: points below the best peer", "≤ 4", "2", value, value <= 4
    if re.search(only, "page faults"):
        value = page_faults()
        yield "pooled 1 MB buffer, page faults an operation", "0", "0", value, value == 0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="hotloop against its peers, as ratios.")
    parser.add_argument("--rounds", type=int, default=31, help="rounds a row (31); the slowest rows take 3")
    parser.add_argument("--only", default="", help="only the rows whose name matches this regular expression")
    parser.add_argument("--traces", type=Path, default=Path("../shared/data/traces"), help="folder of NAME.txt.gz")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    table = list(rows(options.rounds, options.only, options.traces))
    print("\n| work | must reach | aim | measured | |\n|---|---|---|---|---|")
    for name, must, aim, value, reached in table:
        print(f"| {name} | {must} | {aim} | {shown(value)} | {'reached' if reached else 'missed'} |")


if __name__ == "__main__":
    main()
