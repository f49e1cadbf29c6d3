"""What a provider is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..._core import SSEReader
from ...errors import CanonicalError
from ..stream import TextDelta

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..stream import StreamEvent
    from .desks import Desk

__all__ = ["Provider", "Question", "StreamDecoder", "refuse_ours"]

_OURS = ("model", "messages", "stream")
_THEIRS = ("extra_body", "extra_headers", "extra_query")


class Question(NamedTuple):
    """A request as its server will read it: `head` and, under the name `field`, `messages` together are the body."""

    head: dict[str, Any]
    messages: list[Any]
    field: str = "messages"

    @property
    def body(self) -> dict[str, Any]:
        """The whole body."""
        return {**self.head, self.field: self.messages}


class StreamDecoder(ABC):
    """Turns the bytes of one streamed answer into events."""

    def __init__(self) -> None:
        self._reader = SSEReader()

    def events(self, chunk: bytes) -> Iterator[StreamEvent]:
        """Yield what a piece of the stream says, wherever it is cut.

        Raises:
            ModelError: it reports an error, or is not what the protocol promises.
        """
        for event in self._reader.feed(chunk):
            if type(event) is str:
                yield from self.text(event)
            else:
                yield from self.feed(*event)

    @abstractmethod
    def feed(self, name: bytes, data: bytes) -> Sequence[StreamEvent]:
        """Return what one server-sent event says; errors are those of `events`."""

    def text(self, text: str) -> Sequence[StreamEvent]:
        """Return what one that is nothing but a piece of text says (see `Frame`)."""
        return (TextDelta(text),)

    @abstractmethod
    def finish(self) -> Sequence[StreamEvent]:
        """Return what is still to be said where the server's bytes have ended.

        Raises:
            ModelResponseError: the answer was cut off.
        """

    @property
    @abstractmethod
    def storable(self) -> bool:
        """Whether the answer is whole and may be stored."""


class Provider(Protocol):
    """A kind of server, and one model of it.

    Attributes:
        name: the provider's name, as in OpenTelemetry's conventions.
        model: the model's name, as the server knows it.
        identity: the URL that stands in the key of a request; it names what gives the answer, also where the address
            of the server changes with each start.
        credential: what separates tenants in the keys; empty for none. Never stored, never shown.
        secrets: what no error may repeat: the credential, and those of a caller's own wire.
        key_variable: the environment variable that holds the credential; None where there is none.
    """

    name: str
    model: str
    identity: str
    credential: str
    secrets: tuple[str, ...]
    key_variable: str | None

    @property
    def embeddings(self) -> str | None:
        """The URL that embeddings are asked at; None where there are none."""

    def desk(self) -> Desk | None:
        """Return the form that the provider's batch API has; None where there is none."""

    def ask(self, messages: list[Any], tools: list[Any], params: Mapping[str, Any], *, stream: bool) -> Question:
        """Return the request; `tools` are in OpenAI's shape."""

    def headers(self) -> dict[str, str]:
        """Return the headers that identify the caller."""

    async def address(self) -> str:
        """Return the URL that requests go to, after starting what must run for it.

        Raises:
            ModelError: it cannot be started.
        """

    async def aclose(self) -> None:
        """End what `address` started."""

    def read(self, raw: bytes | memoryview, question: Question) -> dict[str, Any]:
        """Return an answer in the shape of OpenAI's chat completions.

        Raises:
            ModelError: the bytes report an error, or are not what the protocol promises.
        """

    def storable(self, answer: dict[str, Any]) -> bool:
        """Whether a whole answer may be stored."""

    def stream(self, question: Question) -> StreamDecoder:
        """Return a decoder for one streamed answer."""


def refuse_ours(params: Mapping[str, Any]) -> None:
    """Refuse parameters that the client decides, that only SDKs know, and numbers that JSON cannot hold.

    Raises:
        TypeError, CanonicalError: there is one.
    """
    for name, value in params.items():
        if name in _OURS:
            raise TypeError(f"{name!r} is not a parameter of a call; the model is the client's, a stream is stream()")
        if name in _THEIRS:
            raise TypeError(f"{name!r} is a parameter of SDKs; here, give fields of the body themselves, as in top_k=5")
        if type(value) is float and not isfinite(value):
            raise CanonicalError(f"{value} is not a JSON number", f"$.{name}")
