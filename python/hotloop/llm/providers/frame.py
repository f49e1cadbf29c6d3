"""What the events of a stream have in common: most differ in nothing but a piece of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._core import SSEReader

__all__ = ["Frame"]

_PROBE = "\ue000 probe"
_CREDIT = 2


class Frame:
    """The bytes before and after the text of a stream's events, learned from one of them.

    Where an event begins and ends with these bytes, and between them stands one JSON string, the whole event means what
    the learned one meant, but for its text: the reader decodes the string and hands it out alone. Some servers put
    something new into each event; after a few that did not fit, nothing is learned any more.

    Args:
        reader: is told.
        text_of: gives the text of a decoded event that is nothing but a piece of text; None for any other.
    """

    __slots__ = ("_credit", "_reader", "_seen", "_text_of")

    def __init__(self, reader: SSEReader, text_of: Callable[[Any], str | None]) -> None:
        self._reader = reader
        self._text_of = text_of
        self._seen = 0  # events that did fit, when one that did not was learned last
        self._credit = _CREDIT

    def learn(self, data: bytes, text: str) -> None:
        """Take an event without a name whose text is `text` as what others may look like."""
        if self._reader.texts != self._seen:
            self._seen, self._credit = self._reader.texts, _CREDIT
        if not self._credit:
            return
        self._credit -= 1
        head, _, tail = data.partition(orjson.dumps(text))
        try:  # the bytes may stand elsewhere, too: "," ends one string and begins the next
            probe = orjson.loads(b"%b%b%b" % (head, orjson.dumps(_PROBE), tail))
        except orjson.JSONDecodeError:
            return
        if head and tail and self._text_of(probe) == _PROBE:
            self._reader.expect(head, tail)
