"""What the README and the documentation show for the SDKs works when it is pasted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.bodies import PATHS, answer
from support.faults import Faulty, Seen, whole

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SNIPPETS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in (ROOT / "README.md", ROOT / "docs" / "transport.md")
    for number, block in enumerate(_BLOCK.findall(page.read_text("utf-8")))
    if "http_client=" in block
]


def test_both_sdks_are_shown():
    for page in ("README.md", "docs/transport.md"):
        text = (ROOT / page).read_text("utf-8")
        assert "AsyncOpenAI(http_client=hotloop.http_client(" in text
        assert "AsyncAnthropic(http_client=hotloop.http_client(" in text


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_works_when_it_is_pasted(snippet, tmp_path):
    def say(seen: Seen):
        (endpoint,) = (one for one, path in PATHS.items() if path == seen.path)
        return whole(answer(endpoint, f"Paris, said request {len(server.requests)}."))

    with Faulty(say) as server:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HOTLOOP_", "OPENAI_"))}
        env |= {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.url}
        env |= {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": server.root}
        env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", snippet],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if "asyncio.run" in snippet:  # the others only make the client
        said = done.stdout.splitlines()
        assert len(server.requests) == 1
        assert (len(said), len(set(said))) == (2, 1)
        assert "request 1" in said[0] or "hello" in said[0]
