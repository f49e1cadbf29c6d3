"""Many requests that may wait, through a provider's batch API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .._core import cache_key
from ..cache.base import Record
from ..calls import Call, Demand, Policy
from ..calls.forgiven import Forgiven
from ..errors import ModelError, ModelRequestError, ModelResponseError, ModelStatusError
from .asking import Wanted
from .attempt import HEADERS
from .failures import status_error
from .text import brief

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .asking import Asker
    from .messages import Reply
    from .providers import Question
    from .providers.desks import Form, Progress
    from .structured import Structure
    from .wire import Answer

__all__ = ["Batches"]

_log = logging.getLogger(__name__)

_FAILED = "a cache tier failed, so a batch under way is not remembered"
_KEPT = 28 * 86_400.0  # seconds that a batch is remembered; its results are gone after some 29 days
_ARGUMENTS = ("messages", "tools", "output_type", "policy")


class _Item(NamedTuple):
    """One request of a batch, and the places of those who asked it."""

    question: Question
    structure: Structure | None
    policy: Policy
    key: bytes | None
    places: list[int]


class Batches:
    """Sends batches of requests to one model.

    Args:
        asker: the model.
        sleep: waits for seconds; replaced in tests.

    Raises:
        ModelRequestError: its provider has no batch API.
    """

    def __init__(self, asker: Asker, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        desk = asker.provider.desk()
        if desk is None:
            raise ModelRequestError(f"{asker.model} has no batch API; ask with chat() instead")
        self._asker = asker
        self._desk = desk
        self._sleep = sleep
        self._forgiven = Forgiven()

    async def run(
        self,
        requests: Sequence[Mapping[str, Any]],
        resume: Sequence[str],
        submitted: Callable[[str], None] | None,
        poll: float,
    ) -> list[Reply | ModelError]:
        """Return the answers; see `LLMClient.batch`."""
        if isinstance(resume, str):
            raise TypeError(f'resume is a list of batches, as in ["{resume}"]')
        answers: list[Reply | ModelError | None] = [None] * len(requests)
        items = await self._items(requests, answers)
        known = {name: batch for name in items if (batch := await self._remembered(name)) is not None}
        batches = list(dict.fromkeys([*resume, *known.values()]))
        endings = dict(zip(batches, await self._all(batches, items, answers, poll), strict=True))
        left = [
            name
            for name, item in items.items()
            if answers[item.places[0]] is None and endings.get(known.get(name, "")) is None
        ]
        for batch, names in (await self._submit(left, items, submitted)).items():
            known |= dict.fromkeys(names, batch)
            (endings[batch],) = await self._all([batch], items, answers, poll)
        for name, item in items.items():
            for place in item.places:
                if answers[place] is None:
                    why = endings[known[name]] or f"the server no longer knows the batch {known[name]}"
                    answers[place] = ModelResponseError(why)
            await self._forget(name)
        self._asker.meter.errors += sum(isinstance(answer, ModelError) for answer in answers)
        return [answer for answer in answers if answer is not None]

    # -- what is to be sent ----------------------------------------------------------------------------------------

    async def _items(
        self, requests: Sequence[Mapping[str, Any]], answers: list[Reply | ModelError | None]
    ) -> dict[str, _Item]:
        """Return the requests that no tier answers, by their identity; the others get their answers."""
        asker = self._asker
        prepared = [self._prepared(place, request) for place, request in enumerate(requests)]  # all, or nothing is sent
        asker.meter.calls += len(prepared)
        items: dict[str, _Item] = {}
        twins: Counter[bytes] = Counter()
        for place, (question, structure, policy, key) in enumerate(prepared):
            digest = key or asker.digest(question.body, policy.namespace)
            name = f"{digest.hex()[:48]}-{twins[digest]}"
            if key is None:
                twins[digest] += 1  # samples are independent of each other
            elif name in items:
                items[name].places.append(place)
                continue
            elif (reply := await asker.stored(question, structure, policy, key)) is not None:
                asker.meter.answered(reply)
                answers[place] = reply
                continue
            items[name] = _Item(question, structure, policy, key, [place])
        return items

    def _prepared(
        self, place: int, request: Mapping[str, Any]
    ) -> tuple[Question, Structure | None, Policy, bytes | None]:
        if not isinstance(request, Mapping) or "messages" not in request:
            raise TypeError(f"requests[{place}] is no mapping with messages; it holds the arguments of chat()")
        params = {name: value for name, value in request.items() if name not in _ARGUMENTS}
        policy = request.get("policy")
        wanted = Wanted(request["messages"], request.get("tools"), params, request.get("output_type"), policy)
        try:
            question, structure = self._asker.question(wanted)
            return question, structure, *self._asker.key(question, policy)
        except ModelRequestError as error:
            raise ModelRequestError(f"requests[{place}]: {error}") from error

    async def _submit(
        self, names: list[str], items: dict[str, _Item], submitted: Callable[[str], None] | None
    ) -> dict[str, list[str]]:
        """Submit requests, in as many batches as they need, and return the batches with what is in them."""
        desk = self._desk
        parts: list[tuple[list[str], list[bytes]]] = []
        size = 0
        for name in names:
            line = desk.line(name, items[name].question.body)
            if not parts or len(parts[-1][0]) >= desk.most or size + len(line) > desk.size:
                parts.append(([], []))
                size = 0
            parts[-1][0].append(name)
            parts[-1][1].append(line)
            size += len(line) + 1
        batches = {}
        for part, lines in parts:
            form = desk.upload(lines)
            uploaded = None if form is None else self._said(await self._send(form))
            said = self._said(await self._send(desk.create(lines, uploaded)))
            if not isinstance(said, dict) or not isinstance(said.get("id"), str):
                raise ModelResponseError("the server took a batch and did not say its identifier")
            batch = said["id"]
            batches[batch] = part
            if submitted is not None:
                submitted(batch)
            await self._remember(batch, part)
        return batches

    # -- what comes back -------------------------------------------------------------------------------------------

    async def _all(
        self, batches: Iterable[str], items: dict[str, _Item], answers: list[Reply | ModelError | None], poll: float
    ) -> list[str | None]:
        return await asyncio.gather(*(self._collect(batch, items, answers, poll) for batch in batches))

    async def _collect(
        self, batch: str, items: dict[str, _Item], answers: list[Reply | ModelError | None], poll: float
    ) -> str | None:
        """Wait for a batch and take its answers; say why requests have none, or None where nobody knows the batch."""
        desk = self._desk
        try:
            while not (progress := self._progress(batch, await self._send(desk.ask(batch)))).done:
                await self._sleep(poll)
        except ModelStatusError as error:
            if error.status == 404:
                return None
            raise
        for form in progress.results:
            raw = await self._send(form)
            try:
                results = list(desk.results(raw))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ModelResponseError(
                    f"the results of the batch {batch} are of another form than promised"
                ) from error
            for name, result in results:
                if name in items:
                    await self._take(items[name], result, answers)
        for form in progress.after:
            try:
                await self._send(form)
            except ModelError as error:  # what was paid for is here
                _log.warning("what the batch %s has left at the server could not be deleted: %s", batch, error)
        return progress.why

    async def _take(self, item: _Item, result: bytes | ModelError, answers: list[Reply | ModelError | None]) -> None:
        asker = self._asker
        for nth, place in enumerate(item.places):
            try:
                if isinstance(result, ModelError):
                    raise result
                reply = await asker.keep(result, item.question, item.structure, item.policy, None if nth else item.key)
            except ModelError as error:
                answers[place] = error
                continue
            if nth:
                reply.cache = "joined"
            asker.meter.answered(reply, batch=True)
            answers[place] = reply

    def _progress(self, batch: str, raw: bytes) -> Progress:
        try:
            return self._desk.progress(batch, self._said(raw))
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelResponseError(
                f"the server's answer is no batch but {brief(raw, self._asker.provider.secrets)!r}"
            ) from error

    # -- the wire, and what is remembered --------------------------------------------------------------------------

    def _said(self, raw: bytes) -> Any:
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ModelResponseError(
                f"the server's answer is not JSON but {brief(raw, self._asker.provider.secrets)!r}"
            ) from None

    async def _send(self, form: Form) -> bytes:
        """Send one request along the path; what starts something is made again only if it cannot have been heard."""
        asker = self._asker
        headers = {**HEADERS, **asker.provider.headers(), "content-type": form.kind}
        demand = Demand(f"{asker.scope} batches", origin=form.url.partition("?")[0])

        def use(answer: Answer) -> bytes:
            demand.observe(answer.headers, answer.status)
            if not 200 <= answer.status < 300:
                raise status_error(answer, asker.provider, form.url)
            return bytes(answer.body)

        async def run() -> bytes:
            return await asker.wire.send(form.url, headers, form.body, None, use, form.method)

        policy = Policy(cache=False, join=False)
        repeatable = form.method != "POST"
        call = Call("llm", asker.model, None, run, lambda _: None, bytes, policy, repeatable=repeatable, demand=demand)
        return (await asker.path.run(call)).value

    def _place(self, name: str) -> bytes:
        asker = self._asker
        return cache_key({"batch": name, "scope": asker.scope}, namespace="hotloop batch 1")

    async def _remembered(self, name: str) -> str | None:
        cache = self._asker.path.cache
        try:
            hit = None if cache is None else await cache.get(self._place(name))
            return None if hit is None else hit.record.payload.decode()
        except Exception as error:  # noqa: BLE001 - whatever a tier of a user's own may raise
            self._forgiven(_FAILED, error)
            return None

    async def _remember(self, batch: str, names: list[str]) -> None:
        cache = self._asker.path.cache
        if cache is None:
            return
        try:
            for name in names:
                await cache.put(self._place(name), Record(batch.encode(), time.time()), _KEPT)
        except Exception as error:  # noqa: BLE001 - as above; a batch that was submitted is waited for all the same
            self._forgiven(_FAILED, error)

    async def _forget(self, name: str) -> None:
        cache = self._asker.path.cache
        try:
            if cache is not None:
                await cache.delete(self._place(name))
        except Exception as error:  # noqa: BLE001 - as above
            self._forgiven(_FAILED, error)
