"""What was said so far: append-only, each message serialised once."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import orjson

from .._core import KeyChain, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Conversation"]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


class Conversation:
    """Messages in the shape of OpenAI's chat completions.

    Append-only: a message is copied and serialised when it is added, so that later changes to the caller's objects
    change nothing here. A fork costs the same however long the conversation is; forks share what they have in common.

    Args:
        messages: the messages to begin with.
    """

    def __init__(self, messages: Iterable[Mapping[str, Any]] = ()) -> None:
        # The two lists may be longer than this conversation, and are then shared with a fork that has gone on.
        self._messages: list[dict[str, Any]] = []
        self._json: list[bytes] = []
        self._length = 0
        self._chain = KeyChain({})
        for message in messages:
            self.append(message)

    def __len__(self) -> int:
        return self._length

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, as a copy that the caller may change."""
        copy: list[dict[str, Any]] = orjson.loads(self.body())["messages"]
        return copy

    def append(self, message: Mapping[str, Any]) -> None:
        """Add a message at the end.

        Args:
            message: a mapping with a "role" (system, developer, user, assistant or tool) and what belongs to it.

        Raises:
            ValueError: it has no role, or one that is not known.
            CanonicalError: it holds something that JSON cannot hold.
        """
        role = message.get("role")
        if role not in _ROLES:
            raise ValueError(f"a message's role is {role!r}; it must be one of {', '.join(sorted(_ROLES))}")
        text = canonical_json(message)  # equal messages are equal bytes, which also helps the provider's prompt cache
        self._chain.append(message)
        if len(self._json) > self._length:  # a fork has gone on: from here the ways part
            self._messages = self._messages[: self._length]
            self._json = self._json[: self._length]
        self._messages.append(orjson.loads(text))
        self._json.append(b"," + text if self._length else text)  # ready for a body, which is then one copy
        self._length += 1

    def fork(self) -> Conversation:
        """Return a conversation that begins like this one; what is added to either is not in the other."""
        other = copy(self)
        other._chain = self._chain.fork()  # noqa: SLF001 - of the same class
        return other

    def key(self) -> bytes:
        """Return a 32-byte digest of all messages; equal conversations have equal keys."""
        return self._chain.digest()

    def body(self, **head: Any) -> bytes:
        """Return the JSON body of a chat request.

        No message is serialised again: the bytes of each are kept, and are copied once.

        Args:
            head: the other fields of the body, such as `model` and `temperature`.
        """
        start = orjson.dumps(head)[:-1]
        return b"".join((start, b"," if head else b"", b'"messages":[', *self._json[: self._length], b"]}"))

    def view(self) -> list[dict[str, Any]]:
        """Return the messages without copying them; the caller must not change them."""
        return self._messages[: self._length]
