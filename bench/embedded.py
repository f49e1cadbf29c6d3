"""How often the embedded model answers a question about files rightly, through the whole loop.

    make bench-embedded
    python bench/embedded.py [--show] [--set seen|unseen]

The `seen` questions were used while `llm/providers/small` was written; the `unseen` ones were fixed before, and asked
only afterwards. An answer is right where it names what the pattern says; nobody reads the rest of it. This folder is
left out of the workspace, as it holds the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import tarfile
import tempfile
import time
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from hotloop import Agent, Config
from hotloop.agent import ToolFinished
from hotloop.cli.run import INSTRUCTIONS
from hotloop.tools.workspace import workspace_tools

ROOT = Path(__file__).resolve().parent.parent


class Question(NamedTuple):
    """A question about a workspace: "." for this repository, else an installed package."""

    workspace: str
    text: str
    right: str


SEEN = (
    Question(".", "Which file defines the tool decorator?", r"tools/tool\.py"),
    Question(".", "Which file defines the class HotCache?", r"_core\.pyi|rust/py/src/\S*cache\S*\.rs"),
    Question(".", "Where is the function find_weights defined?", r"weights\.py"),
    Question(".", "Where is the class SqliteCache?", r"cache/sqlite\S*\.py"),
    Question(".", "What does README say about licence?", r"\bMIT\b"),
    Question(".", "How many files are in docs/decisions?", r"\b(4|four|5|five)\b"),
    Question(".", "Which Python version does pyproject.toml require?", r"3\.11"),
    Question(".", "How many classes are in python/hotloop/agent/state.py?", r"\b(2|two)\b"),
    Question("json", "Which file defines JSONDecodeError?", r"decoder\.py"),
    Question("json", "Where is the function py_scanstring defined?", r"decoder\.py"),
    Question("json", "Which file defines the class JSONEncoder?", r"encoder\.py"),
    Question("json", "In which file is the constant ESCAPE_ASCII defined?", r"encoder\.py"),
    Question("json", "How many functions are defined in __init__.py?", r"\b(5|five)\b"),
    Question("httpx2", "Where is the class AsyncHTTPTransport defined?", r"_transports/default\.py"),
    Question("httpx2", "Which file defines the exception ReadTimeout?", r"_exceptions\.py"),
    Question("httpx2", "Which file defines the function create_ssl_context?", r"_config\.py"),
)

UNSEEN = (
    Question(".", "Which file defines the class LLMClient?", r"llm/client\.py"),
    Question(".", "Where is the function canonical_json implemented?", r"rust/\S+\.rs|_core\.pyi"),
    Question(".", "In which file is the struct KeyChain?", r"rust/\S+\.rs"),
    Question(".", "Which module contains MaxTurnsError?", r"errors(\.py)?"),
    Question(".", "What licence does the file LICENSE hold?", r"\bMIT\b"),
    Question(".", "How many files are in the folder python/hotloop/cli?", r"\b(12|twelve)\b"),
    Question("logging", "Which file defines the class RotatingFileHandler?", r"handlers\.py"),
    Question("logging", "Where is the function dictConfig defined?", r"config\.py"),
    Question("logging", "Where is basicConfig?", r"__init__\.py"),
    Question("email", "Which file defines the function parsedate_to_datetime?", r"utils\.py"),
    Question("email", "Where is class HeaderRegistry defined?", r"headerregistry\.py"),
    Question("email", "What file has the MessageError exception?", r"errors\.py"),
    Question("email", "How many classes are in generator.py?", r"\b(3|three)\b"),
    Question("asyncio", "Where does the TaskGroup class live?", r"taskgroups\.py"),
    Question("asyncio", "Which file implements wait_for?", r"tasks\.py"),
    Question("asyncio", "Which file raises the error 'This event loop is already running'?", r"base_events\.py"),
)


async def main() -> None:
    """Ask every question and print how many answers were right."""
    options = argparse.ArgumentParser()
    options.add_argument("--set", choices=("seen", "unseen"))
    options.add_argument("--show", action="store_true", help="print calls and answers")
    chosen = options.parse_args()
    sets = [(name, asked) for name, asked in (("seen", SEEN), ("unseen", UNSEEN)) if chosen.set in (None, name)]
    with tempfile.TemporaryDirectory() as folder:
        extract(Path(folder))
        for name, questions in sets:
            start = time.perf_counter()
            right = [await ask(question, Path(folder), show=chosen.show) for question in questions]
            took = (time.perf_counter() - start) / len(right)
            print(f"{name}: {sum(right)} of {len(right)} right, {took:.1f} s each", flush=True)


def extract(folder: Path) -> None:
    """Write the last commit's files, less this folder, to `folder`."""
    tree = subprocess.run(("git", "archive", "HEAD"), cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(tree)) as archive:
        members = [member for member in archive if not member.name.startswith("bench/")]
        archive.extractall(folder, members, filter="data")


async def ask(question: Question, repository: Path, *, show: bool) -> bool:
    """Return whether the answer is right."""
    folder = repository
    if question.workspace != ".":
        spec = find_spec(question.workspace)
        folder = Path(spec.origin).parent if spec and spec.origin else repository
    config = Config().replace(response_cache={"enabled": False})
    async with Agent("local:smollm2", workspace_tools(folder), instructions=INSTRUCTIONS, config=config) as agent:
        result = await agent.run(question.text)
    right = re.search(question.right, result.output) is not None
    if show:
        print("+" if right else "-", question.text)
        for event in result.events:
            if isinstance(event, ToolFinished):
                print("   ", event.result.call.name, event.result.call.args)
        print("    ", result.output.replace("\n", "\n     "), flush=True)
    return right


if __name__ == "__main__":
    asyncio.run(main())
