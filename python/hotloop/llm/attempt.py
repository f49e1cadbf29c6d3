"""One request on the wire, made anew for each attempt."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .._core import canonical_json
from ..calls import Opened
from ..errors import CanonicalError, ModelError, ModelResponseError
from .failures import status_error
from .usage import Usage

if TYPE_CHECKING:
    from ..calls import Demand
    from .providers import Provider, Question
    from .usage import Meter
    from .wire import Answer, Wire

__all__ = ["HEADERS", "Attempt", "Read"]

HEADERS = {"content-type": "application/json", "user-agent": "hotloop"}


class Read(NamedTuple):
    """An answer as it came (empty for a call without a key, which nobody stores or joins), and decoded."""

    raw: bytes
    document: dict[str, Any]
    usage: Usage | None = None


class Attempt:
    """Asks the server.

    Args:
        provider: encodes and decodes.
        wire: sends.
        meter: counts the attempts after the first.
        question: what to ask.
        unchanged: whether a body is the one that the call's key was made of; None where it has no key.
        timeout: seconds that the server may be silent; None for the wire's own.
        demand: hears what the server says of its quotas, and what the answer took.
    """

    __slots__ = ("_demand", "_meter", "_provider", "_question", "_timeout", "_tries", "_unchanged", "_wire")

    def __init__(
        self,
        provider: Provider,
        wire: Wire,
        meter: Meter,
        question: Question,
        unchanged: Callable[[bytes], bool] | None,
        timeout: float | None,
        demand: Demand,
    ) -> None:
        self._demand = demand
        self._provider = provider
        self._wire = wire
        self._meter = meter
        self._question = question
        self._unchanged = unchanged
        self._timeout = timeout
        self._tries = 0

    async def run(self) -> Read:
        """Return the whole answer."""
        body = self._body()
        provider = self._provider
        url = await provider.address()

        def use(answer: Answer) -> Read:
            self._demand.observe(answer.headers, answer.status)
            if not 200 <= answer.status < 300:
                raise status_error(answer, provider, url)
            document = provider.read(answer.body, self._question)
            usage = Usage.of(document.get("usage"))
            if usage.input_tokens and self._demand.counts_tokens:
                self._demand.settle(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
            return Read(bytes(answer.body) if self._unchanged is not None else b"", document, usage)

        return await self._wire.send(url, HEADERS | provider.headers(), body, self._timeout, use)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opened]:
        """Give the chunks of a streamed answer."""
        body = self._body()
        provider = self._provider
        url = await provider.address()
        headers = {**HEADERS, "accept": "text/event-stream", **provider.headers()}
        async with self._wire.stream(url, headers, body, self._timeout) as (answer, chunks):
            self._demand.observe(answer.headers, answer.status)
            kind = (answer.headers.get("content-type") or "").partition(";")[0].strip().lower()
            if 200 <= answer.status < 300 and kind not in ("application/json", "text/html"):
                yield Opened(chunks)
                return
            answer = answer._replace(body=b"".join([chunk async for chunk in chunks]))
            if not 200 <= answer.status < 300:
                raise status_error(answer, provider, url)
            provider.read(answer.body, self._question)  # raises what the body reports
            raise ModelResponseError("the server was asked for a stream and answered with a whole; use chat()")

    def _body(self) -> bytes:
        self._tries += 1
        self._meter.retries += self._tries > 1
        try:
            body = orjson.dumps(self._question.body, default=_plain)
        except TypeError as error:
            canonical_json(self._question.body)  # says where, for all that JSON cannot hold
            raise CanonicalError(str(error)) from error
        if self._unchanged is not None and not self._unchanged(body):
            raise ModelError("the messages were changed while their call was under way; give each call its own list")
        return body


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
