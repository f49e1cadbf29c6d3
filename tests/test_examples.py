"""The examples run as they are, and show what they say."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_tools(tmp_path):
    lines = run("tools.py", tmp_path).splitlines()
    results = [line for line in lines if not line.startswith("  ")]
    assert [line.partition(" -> ")[2] for line in results[:8]] == [
        "7",  # before the edit
        "changed prices.txt at line 2",
        "8",  # after it
        "paid 8",
        "Error: pay was not run: a person refused it: too dear",
        "5",
        "4",
        "4",
    ]
    assert "lies outside the workspace" in results[8]
    assert "did you mean read_file?" in results[9]
    assert "  the store was asked 1 time for 3 fruits" in lines
    assert sum("asked about pay" in line for line in lines) == 2
