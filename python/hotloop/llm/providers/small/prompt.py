"""How a very small model is asked: plain messages, a short list of functions, and a grammar for its call.

The model has 135 million parameters. It copies well and invents badly, so a call's text arguments are taken from the
words of the task, its numbers from the numbers there, and only required parameters are asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from .calls import Made, calls
from .examples import examples, question
from .results import found_nothing, shown
from .task import Task
from .text import cut, tokens, without_middle

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ONE_LINE", "Prompt", "read_call", "render"]

_ANSWER_TOKENS = 96
_CALL_TOKENS = 384
"""The grammar ends a call; this is room for the longest patterns and quotations."""
_MOST_CALLS = 5
"""How often a task may search before it is answered: a call that found nothing is followed by another."""
ONE_LINE = r"root ::= [^ \n] [^\n]*"
"""The grammar of an answer, unlike those of calls. Left to itself the model goes on until its tokens are used up."""
_FREE = r'string ::= "\"" [^"\\\x00-\x1f]{1,60} "\""'
_JSON = r"""value ::= object | array | text | number | "true" | "false" | "null"
object ::= "{" (text ": " value (", " text ": " value){0,7})? "}"
array ::= "[" (value (", " value){0,15})? "]"
text ::= "\"" [^"\\\x00-\x1f]{0,60} "\""
number ::= "-"? [0-9]{1,15} ("." [0-9]{1,6})?"""


class Prompt(NamedTuple):
    """What the server is sent.

    Attributes:
        messages: the conversation as the model is told it.
        grammar: that of a call, `ONE_LINE`, or None for any text.
        answer: tokens of the answer at most.
    """

    messages: list[dict[str, str]]
    grammar: str | None
    answer: int


def render(
    messages: list[Any], tools: list[Any], choice: Any, *, context: int, answer: int | None = None, free: bool = False
) -> Prompt:
    """Return the prompt for a conversation.

    Args:
        messages: the conversation, in OpenAI's shape.
        tools: function schemas in OpenAI's shape.
        choice: OpenAI's `tool_choice`.
        context: tokens that the prompt and the answer have together.
        answer: tokens of the answer; None for what a call or an answer usually needs.
        free: whether an answer about results may have any form; else it is one line.
    """
    functions = [tool["function"] for tool in tools]
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    asked = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    task = Task(_text(messages[asked]) if asked >= 0 else "")
    tried = _tried(messages[asked + 1 :])
    failed = [made for made in tried if found_nothing(made.result, task)]
    options: list[tuple[Any, str]] = []
    if functions and choice != "none":
        asking = named is not None or choice == "required"
        if not tried or asking or len(failed) == len(tried) < _MOST_CALLS:
            allowed = [f for f in functions if named in (None, f["name"])] or functions
            options = calls(allowed, task, failed) or (calls(allowed, task) if asking else [])
    system = "\n\n".join(_text(m) for m in messages if m["role"] in ("system", "developer"))
    longest = context // 8
    if answer is None:
        answer = _CALL_TOKENS if options else _ANSWER_TOKENS
    grammar = None
    if options:
        talk = list(_talk(messages[: asked + 1] if len(failed) == len(tried) else messages, longest))
        grammar = "\n".join((f"root ::= {' | '.join(rule for _, rule in options)}", _FREE, _JSON))
        listed = "\n".join(f"- {_signature(f)}: {_first_line(f)}" for f, _ in options)
        talk[-1]["content"] += f"\n\nFunctions:\n{listed}\n\nWrite the function call that finds the answer."
    elif tried:  # the model does best when one message has it all
        told = [made for made in tried if made not in failed] or tried[-1:]
        room = max(64, longest // len(told))
        results = "\n\n".join(f"Result of {made.name}:\n{shown(made.result, task, room)}" for made in told)
        talk = [*([] if free else examples(task)), *_talk(messages[:asked], longest)]
        content = f"{results}\n\nQuestion: {task.text}" if free else question(results, task.text)
        talk.append({"role": "user", "content": content})
        grammar = None if free else ONE_LINE
    else:
        talk = list(_talk(messages, longest))
    talk.insert(0, {"role": "system", "content": system or "You are a helpful assistant."})
    _fit(talk, context - answer - 64)
    return Prompt(talk, grammar, answer)


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
    """Yield user and assistant messages that say the same; the results of one turn become one message."""
    start = 0
    for place, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] == "tool":
            continue
        if place and messages[place - 1]["role"] == "tool":
            yield {"role": "user", "content": _results(messages[start:place], longest)}
        start = place
        if message["role"] == "user":
            yield {"role": "user", "content": _text(message)}
        elif message["role"] == "assistant":
            yield {
                "role": "assistant",
                "content": "\n".join(filter(None, [_text(message), *_written(message).values()])),
            }


def _results(messages: list[Any], longest: int) -> str:
    """Return what the calls among `messages` gave."""
    called: dict[Any, str] = {}
    parts = []
    for message in messages:
        if message["role"] == "assistant":
            called |= _written(message)
        elif message["role"] == "tool":
            call = called.get(message.get("tool_call_id"), "the tool")
            parts.append(f"Result of {call}:\n{cut(_text(message), longest)}")
    return "\n\n".join(parts)


def _tried(messages: list[Any]) -> list[Made]:
    """Return the calls among `messages` that have a result."""
    called: dict[Any, Any] = {}
    tried = []
    for message in messages:
        if message["role"] == "assistant":
            called |= {call.get("id"): call["function"] for call in message.get("tool_calls") or ()}
        elif message["role"] == "tool":
            function = called.get(message.get("tool_call_id"))
            name, arguments = (function["name"], str(function.get("arguments"))) if function else ("the tool", "")
            tried.append(Made(name, arguments, _text(message)))
    return tried


def _written(message: Any) -> dict[Any, str]:
    """Return the calls of an assistant's message as the grammar has them written, by their identifiers."""
    return {call.get("id"): _call_text(call["function"]) for call in message.get("tool_calls") or ()}


def _call_text(function: Any) -> str:
    try:
        arguments = json.loads(function.get("arguments") or "{}")
        inner = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    except (ValueError, AttributeError, TypeError):
        inner = str(function.get("arguments"))
    return f"{function['name']}({inner})"


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
        talk[place]["content"] = without_middle(content, keep)
        sizes[place] = min(tokens(talk[place]["content"]) + 8, sizes[place] - 1)


def _signature(function: Any) -> str:
    return f"{function['name']}({', '.join(function.get('parameters', {}).get('required') or ())})"


def _first_line(function: Any) -> str:
    return str(function.get("description") or "").strip().partition("\n")[0]
