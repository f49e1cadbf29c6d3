"""What the model is shown of a tool's result: what bears on the task, little enough for it to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .task import ANY, Task
from .text import cut, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["found_nothing", "shown"]

_MOST_HITS = 8
_LONGEST_HIT = 160  # characters
_MOST_PASSAGES = 4
_HIT = re.compile(r"([^\s:][^:\n]*):(\d+): ?(.*)")
_NOTHING = re.compile(
    r"\[?(no (line|match|result|file|hit)|nothing|none\b|error\b|\w*Error\b|[\w ]*failed)", re.IGNORECASE
)
_ASIDE = re.compile(
    r"(^|/)(tests?|docs?|examples?|bench\w*)(/|$)|(^|/)test_|_test\.|\.(md|rst|txt|lock|toml)$|(^|/)[A-Z][A-Za-z]+$"
)


class _Hit(NamedTuple):
    path: str
    line: str
    text: str


def found_nothing(result: str, task: Task) -> bool:
    """Whether a result is empty, an error, or only repeats the task."""
    text = result.strip()
    if not text or (len(text) < 400 and (_NOTHING.match(text) or "does not exist" in text)):
        return True
    hits, rest = _hits(text)
    return bool(hits) and not rest and all(task.copied(hit.text) for hit in hits)


def shown(result: str, task: Task, most: int) -> str:
    """Return `result` as the model reads it, in about `most` tokens; a mark says what was left out.

    Lines of a search are put in the order of what bears on the task: definitions first where it asks for one, sources
    before tests and documents, and never a line that repeats the task. Of other long texts the passages stay that the
    task has words in.
    """
    hits, rest = _hits(result)
    if hits and len(rest) * 4 <= len(hits):
        return _ranked(hits, task, most)
    lines = result.splitlines()
    count = f"\n[{len(lines)} lines]" if task.counts else ""
    return (result if tokens(result) <= most else _passages(result, lines, task, most)) + count


def _hits(result: str) -> tuple[list[_Hit], list[str]]:
    hits, rest = [], []
    for line in result.splitlines():
        if match := _HIT.fullmatch(line):
            hits.append(_Hit(*match.groups()))
        elif not line.startswith("["):
            rest.append(line)
    return hits, rest


def _ranked(hits: list[_Hit], task: Task, most: int) -> str:
    lines = len(hits)
    hits = [hit for hit in hits if not task.copied(hit.text)] or hits
    if task.files and (inside := [hit for hit in hits if hit.path.endswith(tuple(task.files))]):
        hits = inside
    aside = (
        {hit for hit in hits if _ASIDE.search(hit.path)} if not task.about & {"test", "documentation", "doc"} else set()
    )
    if task.defines and len(aside) < len(hits):
        hits = [hit for hit in hits if hit not in aside]
    names = "|".join(map(re.escape, task.names)) or r"\w+"
    begins = re.compile(rf"^\W*(\w+(\(\w+\))? )*({ANY}) ({names})\b")

    def promise(hit: _Hit) -> tuple[bool, int, int]:
        said = f"{hit.path} {hit.text}".lower()
        words = sum(word in said for word in task.stems)
        inward = len(hit.text) - len(hit.text.lstrip()) if task.defines else 0  # a method comes after a function
        return hit in aside, -words - 3 * bool(task.defines and begins.search(hit.text)), inward

    hits.sort(key=promise)
    best = hits[: max(1, min(_MOST_HITS, most // 64))]
    files = len({hit.path for hit in hits})
    mark = f"[{len(best)} of {lines} lines]" if len(best) < lines else ""
    if task.counts:
        mark = f"[{len(hits)} lines in {files} file{'' if files == 1 else 's'}]"
    shown: list[str] = []
    for place, hit in enumerate(best):
        if not place or best[place - 1].path != hit.path:
            shown.append(f"File {hit.path}:")
        text = hit.text.strip()
        shown.append(f"  line {hit.line}: {text if len(text) <= _LONGEST_HIT else text[:_LONGEST_HIT] + '…'}")
    return "\n".join([*shown, *([mark] if mark else [])])


def _passages(result: str, lines: list[str], task: Task, most: int) -> str:
    """Return the lines that the task has most words in, each with those around it, as they stand."""
    weights = [-sum(word in line.lower() for word in task.stems) + 2 * task.copied(line) for line in lines]
    best = sorted((n for n, weight in enumerate(weights) if weight < 0), key=weights.__getitem__)[:_MOST_PASSAGES]
    taken: set[int] = set()
    room = most - 24
    for place in best:
        around = [n for n in (place, place + 1, place - 1) if 0 <= n < len(lines) and n not in taken]
        room -= sum(tokens(lines[n]) + 1 for n in around)
        if room < 0:
            break
        taken.update(around)
    if not taken:
        return cut(result, most)
    kept = sum(len(lines[n]) for n in taken)
    return "\n".join([*_joined(lines, sorted(taken)), f"… [cut: {kept} of {len(result)} characters]"])


def _joined(lines: list[str], places: list[int]) -> Iterable[str]:
    last = -1
    for place in places:
        if place != last + 1:
            yield "…"
        yield lines[place]
        last = place
