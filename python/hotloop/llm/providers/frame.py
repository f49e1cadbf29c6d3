"""What the events of a stream have in common: most differ in nothing but a piece of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Frame"]

_PROBE = "\ue000 probe"
_CREDIT = 2


class Frame:
    """The bytes before and after the text of a stream's events, learned from one of them.

    Where an event begins and ends with these bytes, and between them stands one JSON string, the whole event means what
    the learned one meant, but for its text: the string alone need be decoded. Some servers put something new into each
    event; after a few that did not fit, nothing is learned any more.

    Args:
        text_of: gives the text of a decoded event that is nothing but a piece of text; None for any other.
    """

    __slots__ = ("_credit", "_head", "_tail", "_text_of")

    def __init__(self, text_of: Callable[[Any], str | None]) -> None:
        self._text_of = text_of
        self._head = self._tail = b""
        self._credit = _CREDIT

    def read(self, data: bytes) -> str | None:
        """Return the text of an event that fits; None for one that must be decoded."""
        head, tail = self._head, self._tail
        if not (head and data.startswith(head) and data.endswith(tail)):
            return None
        token = data[len(head) : -len(tail)]
        if token[:1] != b'"' or token[-1:] != b'"':
            return None
        try:
            text: str = orjson.loads(token)
        except orjson.JSONDecodeError:  # such as two strings
            return None
        self._credit = _CREDIT
        return text

    def learn(self, data: bytes, text: str) -> None:
        """Take an event whose text is `text` as what others may look like."""
        if not self._credit:
            return
        self._credit -= 1
        head, _, tail = data.partition(orjson.dumps(text))
        try:  # the bytes may stand elsewhere, too: "," ends one string and begins the next
            probe = orjson.loads(b"%b%b%b" % (head, orjson.dumps(_PROBE), tail))
        except orjson.JSONDecodeError:
            return
        if tail and self._text_of(probe) == _PROBE:
            self._head, self._tail = head, tail
