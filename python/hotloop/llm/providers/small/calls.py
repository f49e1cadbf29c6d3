"""Which calls a task gives reason for, each with the rule that its arguments follow."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from .task import ANY, COMMON, Task, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Made", "calls"]

_MOST = 200
_LONGEST_PHRASE = 3  # words
_HINT = re.compile(r"did you mean (\S+?)\?")
_ABSENT = re.compile(r"not exist|not found|no such|is a folder|is a file", re.IGNORECASE)


class Made(NamedTuple):
    """A call that was made for the task already."""

    name: str
    arguments: str
    result: str


class _Value(NamedTuple):
    rule: str
    weight: int
    """How much in the task speaks for it."""


def calls(functions: list[Any], task: Task, failed: Sequence[Made] = ()) -> list[tuple[Any, str]]:
    """Return the functions that most in the task speaks for, each with its rule.

    The model prefers what comes first, so those that take more from the task stand there. Where the task has nothing
    for any, all may be called with any arguments; but after a call that found nothing, only what the task names.

    Args:
        functions: what may be called, as function schemas.
        task: what the arguments are taken from.
        failed: the calls that found nothing; they are not made again.
    """
    search = _Search(functions, task, failed)
    found = [(f, call) for f in functions if (call := search.call(f)) is not None]
    if found:
        best = max(call.weight for _, call in found)
        found = [(f, call) for f, call in found if call.weight == best]
    elif not failed:
        search.free = True
        found = [(f, call) for f in functions if (call := search.call(f)) is not None]
    found.sort(key=lambda pair: -len(_required(pair[0])))
    return [(f, call.rule) for f, call in found]


class _Search:
    def __init__(self, functions: list[Any], task: Task, failed: Sequence[Made]) -> None:
        self.free = False
        self._task = task
        self._numbers = re.findall(r"-?\d+(?:\.\d+)?", task.text)
        described = " ".join(f"{f['name'].replace('_', ' ')} {_first_line(f)}" for f in functions).lower()
        said = set(re.findall(r"\w+", described))
        self._empty = COMMON | said | {word + "s" for word in said} | {word.removesuffix("s") for word in said}
        self._files, self._folders = list(task.files), list(task.folders)
        self._made = {(made.name, made.arguments) for made in failed}
        self._misses: Counter[str] = Counter()
        for made in failed:
            hint = _HINT.search(made.result)
            wrong = [p for p in (*self._files, *self._folders) if json.dumps(p) in made.arguments]
            if wrong and _ABSENT.search(made.result):
                for paths in (self._files, self._folders):
                    paths[:] = [p if p not in wrong else hint[1] if hint else "" for p in paths]
                    paths[:] = [p for p in paths if p]
            else:
                self._misses[made.name] += 1

    def call(self, function: Any) -> _Value | None:
        """Return the rule of a call of `function`, or None where the task holds nothing for one of its parameters."""
        name = function["name"]
        properties = function.get("parameters", {}).get("properties", {})
        required = _required(function)
        rules = [_literal(f"{name}(")]
        weight = 0
        for parameter in (*required, *(p for p in properties if p not in required and _is_path(p))):
            optional = parameter not in required
            value = self._value(name, parameter, properties.get(parameter, {}), optional=optional)
            if value is None:
                if optional:
                    continue
                return None
            rules += (_literal(f"{', ' if len(rules) > 1 else ''}{parameter}="), f"({value.rule})")
            weight = (weight if required else value.weight) if optional else min(weight or value.weight, value.weight)
        if len(rules) == 1:
            if (name, "{}") in self._made or self._misses[name]:
                return None
            said = set(re.findall(r"[a-z]+", f"{name.replace('_', ' ')} {_first_line(function)}".lower()))
            about = self._task.about | {f"{word}s" for word in self._task.about}
            weight = int(not about.isdisjoint(said & {"list", "files", "folder", "folders"}))
        return _Value(" ".join((*rules, '")"')), weight)

    def _value(self, function: str, name: str, schema: Any, *, optional: bool) -> _Value | None:
        kind = schema.get("type")
        if "enum" in schema:
            return _Value(" | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in schema["enum"]), 0)
        if kind == "boolean":
            return _Value('"true" | "false"', 0)
        if kind in ("integer", "number"):
            fitting = [number for number in self._numbers if kind == "number" or "." not in number]
            return self._one_of(map(str, fitting), 4, "number", quote=False)
        if _is_path(name) and kind in ("string", None):
            return self._one_of(self._fitting(function, schema, optional=optional), 4, None if optional else "string")
        if kind == "string":
            regex = re.search(r"pattern|regex", name) and "egular expression" in str(schema.get("description"))
            tiers = _patterns(self._task) if regex else []
            tiers = tiers or self._texts()
            place = self._misses[function]
            if place >= len(tiers):
                return self._one_of((), 0, "string")
            texts, weight = tiers[place]
            return self._one_of(texts, weight, "string")
        return _Value("value", 0)

    def _one_of(self, texts: Any, weight: int, free: str | None, *, quote: bool = True) -> _Value | None:
        literals = [_literal(json.dumps(text, ensure_ascii=False) if quote else text) for text in texts][:_MOST]
        if literals:
            return _Value(" | ".join(dict.fromkeys(literals)), weight)
        return _Value(free, 0) if self.free and free else None

    def _fitting(self, function: str, schema: Any, *, optional: bool) -> list[str]:
        """Return the paths of the task that a parameter takes: files, folders or both."""
        said = f"{schema.get('description', '')} {function}".lower()
        folder = re.search(r"folder|director", said) is not None
        file = "file" in said
        files = self._files if file or not folder else []
        return [*files, *(self._folders if folder or not (file or optional) else [])]

    def _texts(self) -> list[tuple[list[str], int]]:
        """Return what a text argument may be, in the order of promise: names, then the task's words and phrases."""
        task = self._task
        named = [text for text in (*task.quoted, *task.names) if text]
        phrases: dict[str, None] = {}
        for length in range(1, _LONGEST_PHRASE + 1):
            for place in range(len(task.words) - length + 1):
                phrase = task.words[place : place + length]
                low = [word.lower() for word in phrase]
                if self._empty.isdisjoint((low[0], low[-1])) and not COMMON & {*low}:
                    phrases[" ".join(phrase)] = None
        tiers = [(named, 4 if task.quoted else 3), (list(phrases), 2)]
        return [tier for tier in tiers if tier[0]]


def _patterns(task: Task) -> list[tuple[list[str], int]]:
    """Return the regular expressions that may find what the task asks for, in the order of promise."""
    tiers: list[tuple[list[str], int]] = []
    names = [_escape(name) for name in task.names]
    if task.counts and task.kind and not names:
        words = r"def test\w*|fn test\w*" if "test" in task.about else task.kind
        return [([rf"^ *(pub |export |async )*{_either(words)}\b"], 6)]
    if task.defines or (task.kind is not None and names):
        begins = task.kind or ANY
        if names:
            tiers.append(([rf"\b{_either(begins)} {name}\b" for name in names] if begins else [], 6))
            tiers.append(([rf"\b({ANY}) {name}\b|^ *([\w*&<>]+ )*{name} *[(:=]" for name in names], 6))
        runs = [r"[ _]?".join(rf"{stem(word)}\w*" for word in run) for run in task.content]
        tiers.append(([rf"(?i)\b({ANY}) \w*{run}" for run in runs], 5))
    tiers.append(([_escape(text) for text in task.quoted], 5))
    tiers.append(([rf"\b{name}\b" for name in names], 5))
    tiers.append(
        (
            [
                r"(?i)\b" + r"[ _-]?".join(rf"{_escape(stem(word))}\w*" for word in run)
                for run in task.content
                if len(run) > 1
            ],
            3,
        )
    )
    tiers.append(([rf"(?i)\b{_escape(stem(word))}" for run in task.content for word in run], 2))
    return [tier for tier in tiers if tier[0]]


def _either(words: str) -> str:
    return f"({words})" if "|" in words else words


def _escape(text: str) -> str:
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)


def _is_path(name: str) -> bool:
    return re.search(r"path|file|url|uri|folder|director", name, re.IGNORECASE) is not None


def _required(function: Any) -> list[str]:
    return list(function.get("parameters", {}).get("required") or ())


def _first_line(function: Any) -> str:
    return str(function.get("description") or "").strip().partition("\n")[0]


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
