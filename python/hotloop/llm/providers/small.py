"""How a very small model is asked: plain messages, a short list of functions, and a grammar for its call.

The model has 135 million parameters. It copies well and invents badly, so a call's text arguments are taken from the
words of the task, its numbers from the numbers there, and only required parameters are asked for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RENDERING", "Prompt", "read_call", "render"]

RENDERING = 1
"""Changes with every change of this file that changes what the model reads; it is part of the requests' keys."""

_MOST_PHRASES = 200
_LONGEST_PHRASE = 3  # words
_EDGES = ".,;:?!'\"`()[]{}<>\u201c\u201d\u2018\u2019"
_COMMON = frozenset(
    """
    a about all an and any are as at be by can could did do does for from had has have how i in into is it its me my no
    not of on one or our please so some tell than that the their them then there these they this those to us use used
    was we were what when where which who whose why will with would you your
    """.split()  # noqa: SIM905  (words read best as text)
)
_FREE = r'string ::= "\"" [^"\\\x00-\x1f]{1,60} "\""'
_JSON = r"""value ::= object | array | text | number | "true" | "false" | "null"
object ::= "{" (text ": " value (", " text ": " value){0,7})? "}"
array ::= "[" (value (", " value){0,15})? "]"
text ::= "\"" [^"\\\x00-\x1f]{0,60} "\""
number ::= "-"? [0-9]{1,15} ("." [0-9]{1,6})?"""
_PIECE = re.compile(r"[A-Za-z]{1,4}|\s+|[^A-Za-z\s]")


class Prompt(NamedTuple):
    """What the server is sent; `grammar` is None where the model is to answer."""

    messages: list[dict[str, str]]
    grammar: str | None


def render(messages: list[Any], tools: list[Any], choice: Any, *, context: int, answer: int) -> Prompt:
    """Return the prompt for a conversation.

    Args:
        messages: the conversation, in OpenAI's shape.
        tools: function schemas in OpenAI's shape.
        choice: OpenAI's `tool_choice`.
        context: tokens that the prompt and the answer have together.
        answer: tokens of the answer.
    """
    functions = [tool["function"] for tool in tools]
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    asked = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    task = _text(messages[asked]) if asked >= 0 else ""
    answered = any(message["role"] == "tool" for message in messages[asked + 1 :])
    calling = bool(functions) and choice != "none" and (not answered or named is not None or choice == "required")
    system = "\n\n".join(_text(m) for m in messages if m["role"] in ("system", "developer"))
    talk = list(_talk(messages, context // 4))
    grammar = None
    if calling:
        calls = _calls([f for f in functions if named in (None, f["name"])] or functions, task)
        grammar = "\n".join((f"root ::= {' | '.join(rule for _, rule in calls)}", _FREE, _JSON))
        listed = "\n".join(f"- {_signature(f)}: {_first_line(f)}" for f, _ in calls)
        talk[-1]["content"] += f"\n\nFunctions:\n{listed}\n\nWrite the function call that finds the answer."
    elif answered:
        talk[-1]["content"] += f"\n\nAnswer the question in one sentence: {task}"
    talk.insert(0, {"role": "system", "content": system or "You are a helpful assistant."})
    _fit(talk, context - answer - 64)
    return Prompt(talk, grammar)


def read_call(written: str) -> tuple[str, str]:
    """Return the name and the arguments, as JSON text, of a call as the grammar has it written.

    Raises:
        ValueError: the call is not whole.
    """
    name, _, rest = written.strip().partition("(")
    arguments: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    place = 0
    while rest[place : place + 1] != ")":
        equals = rest.index("=", place)
        key = rest[place:equals].lstrip(", ")
        arguments[key], place = decoder.raw_decode(rest, equals + 1)
    return name, json.dumps(arguments, ensure_ascii=False)


# -- messages ------------------------------------------------------------------------------------------------------


def _text(message: Any) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _talk(messages: list[Any], longest: int) -> Iterator[dict[str, str]]:
    """Yield user and assistant messages that say the same; results of one turn become one message."""
    results: list[str] = []
    for message in messages:
        role = message["role"]
        if role == "tool":
            results.append(cut(_text(message), longest))
            continue
        if results:
            yield {"role": "user", "content": "Result:\n" + "\n\n".join(results)}
            results = []
        if role == "user":
            yield {"role": "user", "content": _text(message)}
        elif role == "assistant":
            calls = [_written(call["function"]) for call in message.get("tool_calls") or ()]
            yield {"role": "assistant", "content": "\n".join(filter(None, [_text(message), *calls]))}
    if results:
        yield {"role": "user", "content": "Result:\n" + "\n\n".join(results)}


def _written(function: Any) -> str:
    try:
        arguments = json.loads(function.get("arguments") or "{}")
        inner = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    except (ValueError, AttributeError, TypeError):
        inner = str(function.get("arguments"))
    return f"{function['name']}({inner})"


def tokens(text: str) -> int:
    """Return about how many tokens `text` has, rather too many than too few."""
    return sum(1 if piece.isascii() else len(piece.encode()) for piece in _PIECE.findall(text))


def cut(text: str, most: int) -> str:
    """Return `text` cut to about `most` tokens, with a mark that says so."""
    count = 0
    for piece in _PIECE.finditer(text):
        count += 1 if piece[0].isascii() else len(piece[0].encode())
        if count > most:
            return f"{text[: piece.start()]}\n… [cut: {piece.start()} of {len(text)} characters]"
    return text


def _fit(talk: list[dict[str, str]], most: int) -> None:
    """Leave out the oldest messages, then the middle of the longest, until `talk` has at most `most` tokens."""
    sizes = [tokens(message["content"]) + 8 for message in talk]
    asked = max((place for place, m in enumerate(talk[:-2]) if m["role"] == "user"), default=1)
    while sum(sizes) > most and asked > 1:
        del talk[1], sizes[1]
        asked -= 1
    while (over := sum(sizes) - most) > 0:
        place = sizes.index(max(sizes))
        if sizes[place] <= 64:
            return  # what is left is many short messages; the server will say so
        content = talk[place]["content"]
        keep = max(16, sizes[place] - over - 48)
        talk[place]["content"] = _without_middle(content, keep)
        sizes[place] = min(tokens(talk[place]["content"]) + 8, sizes[place] - 1)


def _without_middle(text: str, most: int) -> str:
    """Return the beginning and the end of `text`; what stands last is what is asked."""
    head = cut(text, most // 2).partition("\n… [cut")[0]
    tail = cut(text[::-1], most // 2).partition("\n… [cut")[0][::-1]
    return f"{head}\n… [cut: {len(head) + len(tail)} of {len(text)} characters]\n{tail}"


# -- functions -----------------------------------------------------------------------------------------------------


def _required(function: Any) -> list[str]:
    return list(function.get("parameters", {}).get("required") or ())


def _signature(function: Any) -> str:
    return f"{function['name']}({', '.join(_required(function))})"


def _first_line(function: Any) -> str:
    return str(function.get("description") or "").strip().partition("\n")[0]


def _calls(functions: list[Any], task: str) -> list[tuple[Any, str]]:
    """Return the functions that the task has arguments for, each with its rule; all where it has none for any.

    The model prefers what comes first, so those that take more from the task stand there.
    """
    phrases, numbers = _phrases(task, functions), re.findall(r"-?\d+(?:\.\d+)?", task)
    calls = [(f, _call(f, phrases, numbers)) for f in functions]
    grounded = [(f, rule) for f, rule in calls if rule is not None]
    if not grounded:
        grounded = [(f, rule) for f in functions if (rule := _call(f, [], [], free=True)) is not None]
    return sorted(grounded, key=lambda call: -len(_required(call[0])))


def _call(function: Any, phrases: list[str], numbers: list[str], *, free: bool = False) -> str | None:
    """Return the rule of a call of `function`, or None where the task holds nothing for one of its parameters."""
    properties = function.get("parameters", {}).get("properties", {})
    parts = [_literal(f"{function['name']}(")]
    for place, name in enumerate(_required(function)):
        value = _value(name, properties.get(name, {}), phrases, numbers, free=free)
        if value is None:
            return None
        parts += (_literal(f"{', ' if place else ''}{name}="), f"({value})")
    return " ".join((*parts, '")"'))


def _value(name: str, schema: Any, phrases: list[str], numbers: list[str], *, free: bool) -> str | None:
    kind = schema.get("type")
    if "enum" in schema:
        return " | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in schema["enum"])
    if kind == "boolean":
        return '"true" | "false"'
    if kind in ("integer", "number"):
        fitting = [number for number in numbers if kind == "number" or "." not in number]
        return " | ".join(map(_literal, fitting)) or ("number" if free else None)
    if kind == "string":
        if re.search(r"path|file|url|uri", name, re.IGNORECASE):
            phrases = [phrase for phrase in phrases if re.search(r"\w[./]\w|/", phrase) and " " not in phrase]
        literals = (_literal(json.dumps(phrase, ensure_ascii=False)) for phrase in phrases)
        return " | ".join(literals) or ("string" if free else None)
    return "value"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _phrases(task: str, functions: list[Any]) -> list[str]:
    """Return what a text argument may be: the task's words and short phrases, less those that say nothing."""
    described = " ".join(f"{f['name'].replace('_', ' ')} {_first_line(f)}" for f in functions).lower()
    said = set(re.findall(r"\w+", described))
    empty = _COMMON | said | {word + "s" for word in said} | {word.removesuffix("s") for word in said}
    words = [word for word in (word.strip(_EDGES) for word in task.split()) if word]
    found: dict[str, None] = {}
    for length in range(1, _LONGEST_PHRASE + 1):
        for place in range(len(words) - length + 1):
            phrase = words[place : place + length]
            if phrase[0].lower() not in empty and phrase[-1].lower() not in empty:
                found[" ".join(phrase)] = None
    return list(found)[:_MOST_PHRASES]
