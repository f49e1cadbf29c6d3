"""What servers say of their quotas in the head of an answer."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import Protocol

from .quota import Report

__all__ = ["COME_LATER", "QUOTA_HEADERS", "Headers", "read_report", "retry_after"]


class Headers(Protocol):
    """The headers of an answer; `get` finds names in lower case, and raises for none."""

    def get(self, name: str, /) -> str | None:
        """Return the value of `name`, or None."""


_OPENAI = tuple(
    tuple(f"x-ratelimit-{what}-{kind}" if kind else "" for kind in ("requests", "tokens", "", ""))
    for what in ("limit", "remaining")
)
# Anthropic's "tokens" repeats whichever of its other quotas is nearest to its end: it is no quota of its own.
_ANTHROPIC = tuple(
    tuple(
        f"anthropic-ratelimit-{kind}-{what}" if kind else ""
        for kind in ("requests", "", "input-tokens", "output-tokens")
    )
    for what in ("limit", "remaining")
)
_DIALECTS = (  # each with names of which it says at least one
    (_OPENAI, (_OPENAI[1][0], _OPENAI[0][0], _OPENAI[1][1])),
    (_ANTHROPIC, (_ANTHROPIC[1][0], _ANTHROPIC[0][0], _ANTHROPIC[1][2])),
)
COME_LATER = frozenset({429, 503, 529})
QUOTA_HEADERS = frozenset(
    name.encode()
    for name in ("retry-after", "retry-after-ms", *(name for names, _ in _DIALECTS for row in names for name in row))
    if name
)
"""All names that are read here."""
_UNSAID = Report()


def read_report(headers: Headers, status: int, epoch: float) -> Report | None:
    """Return what the head of an answer says of quotas, or None when it says nothing.

    Args:
        headers: finds names in lower case.
        status: the HTTP status; 429 turns a call away for its quota, 503 and Anthropic's 529 for the server's load.
        epoch: the time in seconds since the epoch, for a Retry-After that is a date.
    """
    found = None
    for names, marks in _DIALECTS:
        first, second, third = marks  # written out: each answer is asked for them
        # `get` and not `in`: some maps of headers are no dictionaries, and raise and catch for `in`
        if headers.get(first) is not None or headers.get(second) is not None or headers.get(third) is not None:
            found = [tuple([_number(headers.get(name)) if name else None for name in row]) for row in names]
            break
    if found is None and status not in COME_LATER:
        return None
    limits, remaining = found or (_UNSAID.limits, _UNSAID.remaining)
    # A limit of 0 would hold calls back for ever; some servers say it for "none".
    limits = tuple(limit or None for limit in limits)
    return Report(limits, remaining, retry_after(headers, epoch) if status in COME_LATER else None, status == 429)


def retry_after(headers: Headers, epoch: float) -> float | None:
    """Return the seconds after which a server wants to be asked again (``retry-after-ms``, Retry-After), or None."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    said = headers.get("retry-after")
    if said is None:
        return None
    seconds = _number(said)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - epoch)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """Return a finite number that is not negative, or None."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
