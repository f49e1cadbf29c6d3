"""Millions of doubles in canonical JSON, each against Node's JSON.stringify: `make doubles`.

python bench/doubles.py [--count N] [--seed N]
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from hotloop import canonical_json, canonicalize

REFERENCE = Path(__file__).parents[1] / "tests" / "keys" / "reference.mjs"
BATCH = 200_000


def doubles(rng: random.Random, count: int) -> list[float]:
    """Finite doubles: any bits, short decimals, and integers about the limits of notation."""
    found: list[float] = []
    while len(found) < count:
        (any_bits,) = struct.unpack(">d", rng.randbytes(8))
        short = rng.randrange(10**6) * 10.0 ** rng.randrange(-30, 30)
        whole = float(rng.getrandbits(rng.randrange(1, 80)))
        found += [number for number in (any_bits, short, whole) if math.isfinite(number)]
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=8785)
    options = parser.parse_args()
    node = shutil.which("node") or sys.exit("node is not installed: it is what the doubles are compared with")
    rng = random.Random(options.seed)
    done = 0
    while done < options.count:
        batch = doubles(rng, min(BATCH, options.count - done))
        text = "\n".join(struct.pack(">d", number).hex() for number in batch).encode()
        answers = subprocess.run([node, REFERENCE, "doubles"], input=text, capture_output=True, check=True).stdout
        for number, want in zip(batch, answers.split(), strict=True):
            if canonical_json(number) != want or canonicalize(want) != want:
                sys.exit(f"{number!r}: {canonical_json(number)!r}, but Node prints {want!r}")
        done += len(batch)
    print(f"{done:,} doubles agree with Node's JSON.stringify (seed {options.seed})")


if __name__ == "__main__":
    main()
