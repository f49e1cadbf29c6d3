"""The types that users of the package see."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGES = [*(HERE / "typed").glob("*.py"), *(HERE.parent / "examples").glob("*.py")]


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in sorted(PAGES)])
def test_what_people_write_is_typed(page):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", str(page)],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
