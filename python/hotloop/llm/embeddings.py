"""Embeddings: calls at about the same time share requests, and each text is stored by itself."""

from __future__ import annotations

import asyncio
import base64
import math
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .._core import cache_key
from ..calls import Call, CallPath, Demand, Policy
from ..errors import ModelRequestError, ModelResponseError, ModelStatusError
from .attempt import HEADERS
from .failures import status_error
from .text import brief
from .usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Config
    from .asking import Asker
    from .text import Secrets
    from .wire import Answer

__all__ = ["Embedder", "Embeddings"]

_MOST_CHARACTERS = 400_000  # of one request; OpenAI takes 300,000 tokens
_REFUSED = (400, 413, 422)


class Embeddings(NamedTuple):
    """Vectors, in the order of the texts; `hits` of them came from a cache tier."""

    vectors: list[list[float]]
    hits: int


class _Group:
    """Texts that go into one request."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.places: list[asyncio.Future[list[float]]] = []
        self.callers: list[object] = []
        self.characters = 0
        self.timer: asyncio.TimerHandle | None = None


class Embedder:
    """Asks one model for embeddings.

    Args:
        asker: the model.
        config: `llm_client.embedding_window` and `embedding_batch` are used.

    Raises:
        ModelRequestError: its provider has no embeddings.
    """

    def __init__(self, asker: Asker, config: Config) -> None:
        url = asker.provider.embeddings
        if url is None:
            raise ModelRequestError(f"{asker.model} has no embeddings; ask a model of openai: for them")
        self._url = url
        self._asker = asker
        self._window = config.llm_client.embedding_window
        self._most = config.llm_client.embedding_batch
        # Texts are stored and joined one by one; what limits, retries and is counted are the requests.
        self._path = CallPath(cache=asker.path.cache, single_flight=config.response_cache.single_flight)
        self._policy = Policy(namespace=config.response_cache.namespace, retry=False)
        self._groups: dict[tuple[asyncio.AbstractEventLoop, bytes, float | None], _Group] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def embed(self, texts: str | Sequence[str], params: Mapping[str, Any], timeout: float | None) -> Embeddings:  # noqa: ASYNC109
        """Return the vectors of texts; see `LLMClient.embed`."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        for place, text in enumerate(listed):
            if not isinstance(text, str) or not text:
                what = "empty" if text == "" else f"a {type(text).__name__}"
                raise ModelRequestError(f"texts[{place}] is {what}; each must be a text with at least one letter")
        for name in ("model", "input"):
            if name in params:
                raise TypeError(f"{name!r} is not a parameter of a call; the model is the client's")
        head = {"model": self._asker.provider.model, **{k: v for k, v in params.items() if v is not None}}
        kind, caller = cache_key(head), object()
        keys = [self._asker.body_key({**head, "input": text}, self._url, self._policy.namespace) for text in listed]
        calls = {
            key: self._path.run(
                Call(
                    "llm",
                    self._asker.model,
                    key,
                    lambda text=text: self._place(text, head, kind, caller, timeout),  # type: ignore[misc]
                    orjson.dumps,
                    orjson.loads,
                    self._policy,
                )
            )
            for key, text in dict(zip(keys, listed, strict=True)).items()
        }
        self._asker.meter.texts += len(listed)
        outcomes = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
        found = []
        for key in keys:
            outcome = outcomes[key]
            if isinstance(outcome, BaseException):
                raise outcome  # what did succeed is stored: asking again costs only the rest
            found.append(outcome)
        return Embeddings([[*one.value] for one in found], sum(one.cache == "hit" for one in found))

    # -- sharing requests ------------------------------------------------------------------------------------------

    async def _place(
        self, text: str, head: dict[str, Any], kind: bytes, caller: object, patience: float | None
    ) -> list[float]:
        """Put a text into the next request, and return its vector."""
        loop = asyncio.get_running_loop()
        which = (loop, kind, patience)
        group = self._groups.get(which)
        if group is not None and group.characters + len(text) > _MOST_CHARACTERS:
            self._send(which, head)
            group = None
        if group is None:
            group = self._groups[which] = _Group()
            group.timer = loop.call_later(self._window, self._send, which, head)
        place: asyncio.Future[list[float]] = loop.create_future()
        group.texts.append(text)
        group.places.append(place)
        group.callers.append(caller)
        group.characters += len(text)
        if len(group.texts) >= self._most:
            self._send(which, head)
        return await place

    def _send(self, which: tuple[asyncio.AbstractEventLoop, bytes, float | None], head: dict[str, Any]) -> None:
        group = self._groups.pop(which)
        if group.timer is not None:
            group.timer.cancel()
        waiting = [n for n, place in enumerate(group.places) if not place.done()]  # the others were given up
        if waiting:
            task = which[0].create_task(self._answer(group, waiting, head, which[2]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            for n in waiting:
                group.places[n].add_done_callback(lambda _: self._abandon(group, waiting, task))

    @staticmethod
    def _abandon(group: _Group, waiting: list[int], task: asyncio.Task[None]) -> None:
        """End a request that nobody waits for any more."""
        if all(group.places[n].cancelled() for n in waiting):
            task.cancel()

    async def _answer(self, group: _Group, numbers: list[int], head: dict[str, Any], patience: float | None) -> None:
        try:
            vectors = await self._request([group.texts[n] for n in numbers], head, patience)
        except Exception as error:  # noqa: BLE001 - those who wait raise it
            callers = {id(group.callers[n]): group.callers[n] for n in numbers}.values()
            if len(callers) > 1 and isinstance(error, ModelStatusError) and error.status in _REFUSED:
                shares = ([n for n in numbers if group.callers[n] is caller] for caller in callers)
                await asyncio.gather(*(self._answer(group, share, head, patience) for share in shares))
                return
            for n in numbers:
                if not group.places[n].done():
                    group.places[n].set_exception(error)
            return
        for n, vector in zip(numbers, vectors, strict=True):
            if not group.places[n].done():
                group.places[n].set_result(vector)

    async def _request(self, texts: list[str], head: dict[str, Any], patience: float | None) -> list[list[float]]:
        asker = self._asker
        body = orjson.dumps({**head, "input": texts})
        headers = {**HEADERS, **asker.provider.headers()}
        demand = Demand(
            f"{asker.scope} embeddings", origin=self._url, input_tokens=sum(map(len, texts)) // 4, output_tokens=0
        )

        def use(answer: Answer) -> list[list[float]]:
            demand.observe(answer.headers, answer.status)
            if not 200 <= answer.status < 300:
                raise status_error(answer, asker.provider, self._url)
            vectors, usage = read(answer.body, len(texts), asker.provider.secrets)
            demand.settle(usage.input_tokens, 0)
            asker.meter.worked(usage)
            return vectors

        async def run() -> list[list[float]]:
            asker.meter.requests += 1
            return await asker.wire.send(self._url, headers, body, patience, use)

        policy = Policy(cache=False, join=False)
        call = Call("llm", asker.model, None, run, lambda _: None, orjson.loads, policy, repeatable=True, demand=demand)
        outcome = await asker.path.run(call)
        vectors: list[list[float]] = outcome.value
        return vectors


def read(raw: bytes | memoryview, count: int, secrets: Secrets) -> tuple[list[list[float]], Usage]:
    """Return the vectors of an answer, by their index, and what they took.

    Raises:
        ModelResponseError: it does not hold one vector for each text.
    """
    try:
        said = orjson.loads(raw)
        vectors: list[list[float] | None] = [None] * count
        for item in said["data"]:
            place = range(count).index(item["index"])  # which takes no negative one, as a list would
            vectors[place] = _vector(item["embedding"])
        whole = [vector for vector in vectors if vector is not None]
        if len(whole) == count == len(said["data"]):
            return whole, Usage.of(said.get("usage"))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        pass  # said below, with what came
    raise ModelResponseError(f"the server's answer is not {count} embeddings but {brief(raw, secrets)!r}")


def _vector(value: Any) -> list[float]:
    if isinstance(value, str):  # encoding_format="base64": 32-bit floats, little-endian
        numbers = array("f", base64.b64decode(value, validate=True))
        if not all(map(math.isfinite, numbers)):
            raise ValueError
        return numbers.tolist()
    if not isinstance(value, list) or not all(isinstance(number, float | int) for number in value):
        raise TypeError
    return value
