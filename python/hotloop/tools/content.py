"""What a model reads of the value that a tool gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePath
from typing import Any

import orjson
import pydantic_core

from ..errors import ToolError

__all__ = ["content_of", "unicode_of", "words_of"]


_BYTES = (bytes, bytearray, memoryview)


def content_of(value: Any) -> str:
    """Return `value` as text for a model.

    Text stays as it is (what is not Unicode in it becomes "?"), bytes are read as UTF-8, and everything else becomes
    compact JSON: None is `null`, sets are sorted, models and dataclasses are objects.

    Raises:
        ToolError: the value has neither a text nor a JSON form.
    """
    if isinstance(value, str):
        return value if value.isascii() else unicode_of(value)
    if isinstance(value, _BYTES):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError as error:
            raise ToolError(f"the tool returned {len(bytes(value))} bytes that are not UTF-8 text") from error
    if isinstance(value, asyncio.Future):
        raise _unfit(value, "it was not awaited")
    if isinstance(value, Iterator | AsyncIterator):  # which may have no end
        raise _unfit(value, "it can be read only once; return a list")
    try:
        return orjson.dumps(value, default=_plain).decode()
    except (TypeError, ValueError):  # among them what orjson alone refuses: integers above 64 bits, keys of other types
        try:
            return pydantic_core.to_json(value).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise _unfit(value, str(error).partition("\n")[0]) from error


def unicode_of(text: str) -> str:
    """Return `text` with "?" for what is not Unicode in it, which nothing that is sent on may hold."""
    return text.encode("utf-8", "replace").decode()


def words_of(error: BaseException) -> str:
    """Return the kind of an error and what it says, whatever its own `__str__` does."""
    kind = type(error).__name__
    try:
        text = unicode_of(str(error))
    except Exception:  # noqa: BLE001 - it is the tool's code, and there is nobody to tell
        return kind
    return f"{kind}: {text}" if text else kind


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # the order of a set changes from one process to the next
    if isinstance(value, PurePath):
        return str(value)
    return pydantic_core.to_jsonable_python(value)


def _unfit(value: Any, reason: str) -> ToolError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return ToolError(f"the tool returned {kind}, which cannot be written as JSON: {reason}")
