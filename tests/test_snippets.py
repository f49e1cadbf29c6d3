"""What the README shows, and the documentation for the SDKs, works when it is pasted."""

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
OWN = {  # a name in the README's other snippets, and what they print
    "LLMClient(": r"miss (.+)\nhit \1\n",
    "ToolPipeline(": r"4\n9\nError: .*number.*\n",
    "Agent(": r".+\n",
    "HotCache(": r"21 degrees and sunny\n",
}


def test_both_sdks_are_shown():
    for page in ("README.md", "docs/transport.md"):
        text = (ROOT / page).read_text("utf-8")
        assert "AsyncOpenAI(http_client=hotloop.http_client(" in text
        assert "AsyncAnthropic(http_client=hotloop.http_client(" in text


def pasted(snippet: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a snippet and return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HOTLOOP_", "OPENAI_"))}
    env |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", snippet],
        cwd=folder, env=env, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_works_when_it_is_pasted(snippet, tmp_path):
    def say(seen: Seen):
        (endpoint,) = (one for one, path in PATHS.items() if path == seen.path)
        return whole(answer(endpoint, f"Paris, said request {len(server.requests)}."))

    with Faulty(say) as server:
        openai = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.url}
        anthropic = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": server.root}
        printed = pasted(snippet, tmp_path, openai | anthropic)
    if "asyncio.run" in snippet:  # the others only make the client
        said = printed.splitlines()
        assert len(server.requests) == 1
        assert (len(said), len(set(said))) == (2, 1)
        assert "request 1" in said[0] or "hello" in said[0]


def test_all_snippets_of_the_readme_are_run():
    others = [block for block in _BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if "http_client=" not in block]
    assert [sum(name in block for name in OWN) for block in others] == [1] * len(OWN)


@pytest.mark.parametrize("name", OWN)
def test_a_snippet_of_our_own_works_when_it_is_pasted(name, tmp_path):
    (snippet,) = (block for block in _BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if name in block)
    assert re.fullmatch(OWN[name], pasted(snippet, tmp_path, {}))
