"""Asking one model: a request walks the keyed-call path, and becomes HTTP only where nothing nearer has its answer."""

from __future__ import annotations

import hmac
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import request_key
from ..calls import Breaking, Call, CallPath, Demand, Limits, Policy, Retry, StreamCall
from ..calls.acting import acts
from ..errors import CacheError, ModelError
from .attempt import Attempt, Read
from .messages import Messages, Reply, ToolLike, as_list, schemas, unanswered
from .prices import Prices
from .stream import Done, StreamEvent
from .structured import Structure, structure_of
from .usage import Meter
from .wire import open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    import httpx2

    from ..cache.base import Cache
    from ..config import Config
    from ..observe.events import Observer
    from .providers import Provider, Question

__all__ = ["Asker", "Options", "Wanted"]


_CHARACTERS_A_TOKEN = 4  # of English text, roughly; what answers really took corrects it
_NOISE = frozenset({"accept", "accept-encoding", "connection", "host", "user-agent"})
_SECRET = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
_CREDENTIALS = ("authorization", "api-key", "x-api-key", "cookie")


class Options(NamedTuple):
    """What a client is made with, beside its model; as in `LLMClient`."""

    cache: Cache | None
    limits: Limits | None
    retry: Retry | None
    config: Config
    observer: Observer | None


class Wanted(NamedTuple):
    """What a call asks for, as in `LLMClient.chat`."""

    messages: Messages
    tools: Sequence[ToolLike | Mapping[str, Any]] | None
    params: Mapping[str, Any]
    output_type: Any = None
    policy: Policy | None = None
    timeout: float | None = None
    call_id: str | None = None


class Asker:
    """Asks one model. Arguments and errors are those of `LLMClient`."""

    def __init__(
        self,
        model: str,
        provider: Provider,
        options: Options,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.model = model
        self.provider = provider
        config = options.config
        settings = config.response_cache
        self._sampled = bool(settings.cache_sampled)
        self._use = Policy(namespace=settings.namespace)
        self._pass = Policy(cache=False, join=False, namespace=settings.namespace)
        self._joins = settings.single_flight
        self.path = CallPath(
            cache=options.cache,
            limits=options.limits or Limits.of(config),
            retry=options.retry or Retry(attempts=1 + config.llm_client.max_retries),
            breaking=Breaking(config.llm_client.breaker_failures),
            observer=options.observer,
            single_flight=settings.single_flight,
        )
        self.wire = open_wire(config, http)
        credential, self._shaping = _of_wire(http)
        provider.secrets += _secrets(http)
        credential = self.provider.credential or credential
        self.tenant = hmac.digest(credential.encode(), b"hotloop tenant 1", "sha256") if credential else b""
        self.meter = Meter(Prices(config.llm_client.prices), self.provider.name, self.provider.model)
        self._origin = self.provider.identity
        self._server = self._origin.partition("?")[0]  # the query may hold a credential, and this is told and shared
        self.scope = f"{self._server} {self.model} {self.tenant.hex()[:16]}"

    async def chat(self, wanted: Wanted, failures: tuple[ModelError, ...] = ()) -> Reply:
        """Return the model's answer; `failures` are those of the models that were asked before."""
        question, structure = self.question(wanted)
        policy, key = self.key(question, wanted.policy)
        demand = self.demand(question)
        call = Call(
            "llm",
            self.model,
            key,
            self._attempt(question, key, policy, wanted.timeout, demand).run,
            lambda answer: self._encode(answer, structure),
            lambda raw: self._decode(raw, question),
            policy,
            wanted.call_id,
            repeatable=True,
            demand=demand,
        )
        meter = self.meter
        meter.calls += 1
        start = perf_counter()
        try:
            outcome = await self.path.run(call)
            raw, document, usage = outcome.value
            if outcome.cache == "joined":  # the leader's caller has the decoded answer and may change it
                document = self.provider.read(raw, question)
            reply = Reply(document, outcome.cache, outcome.tier, outcome.age, self.model, failures, structure, usage)
            if structure is not None:
                reply.output  # noqa: B018 - it is read here, so that what is wrong with it is this call's error
        except BaseException:
            meter.errors += 1
            raise
        finally:
            meter.seconds += perf_counter() - start
        meter.answered(reply)
        return reply

    @asynccontextmanager
    async def stream(
        self, wanted: Wanted, failures: tuple[ModelError, ...] = ()
    ) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Give the model's answer as events, while it comes in."""
        question, structure = self.question(wanted, stream=True)
        policy, key = self.key(question, wanted.policy)
        demand = self.demand(question)
        attempt = self._attempt(question, key, policy, wanted.timeout, demand)
        call = StreamCall(
            "llm",
            self.model,
            key,
            attempt.open,
            lambda raw, _: self._whole(raw, question, structure),
            policy,
            wanted.call_id,
            repeatable=True,
            demand=demand,
        )
        meter, origin = self.meter, None
        meter.calls += 1
        start = perf_counter()
        try:
            async with self.path.stream(call) as outcome:
                state: Any = outcome.cache
                origin = Reply({}, state, outcome.tier, outcome.age, self.model, failures, structure)
                events = self._events(outcome.chunks, question, origin, demand)
                try:
                    yield events
                finally:
                    await events.aclose()
        finally:
            meter.seconds += perf_counter() - start
            meter.errors += not (origin and origin.raw)  # what its reader makes of a whole answer is no error here

    async def _events(
        self, chunks: AsyncIterator[bytes], question: Question, origin: Reply, demand: Demand
    ) -> AsyncGenerator[StreamEvent]:
        decoder = self.provider.stream(question)
        async for chunk in chunks:
            for event in decoder.events(chunk):
                if type(event) is Done:
                    self._done(event.reply, origin, demand)
                yield event
        for event in decoder.finish():
            if type(event) is Done:
                self._done(event.reply, origin, demand)
            yield event

    def _done(self, reply: Reply, origin: Reply, demand: Demand) -> None:
        reply.take(origin)
        origin.raw = reply.raw
        self.meter.answered(reply)
        if (usage := reply.usage).output_tokens and demand.counts_tokens:
            demand.settle(usage.input_tokens, usage.output_tokens, usage.cached_tokens)

    # -- the parts of a call ---------------------------------------------------------------------------------------

    def question(self, wanted: Wanted, *, stream: bool = False) -> tuple[Question, Structure | None]:
        """Return the request, and the type that its answer is to have."""
        params = wanted.params
        structure = None
        if wanted.output_type is not None and wanted.output_type is not str:
            if "response_format" in params:
                raise TypeError("output_type and response_format both say what the answer is to be; give one of them")
            structure = structure_of(wanted.output_type)
            params = {**params, "response_format": structure.response_format}
        question = self.provider.ask(as_list(wanted.messages), schemas(wanted.tools), params, stream=stream)
        return question, structure

    def key(self, question: Question, policy: Policy | None) -> tuple[Policy, bytes | None]:
        """Return the policy of a call, and its key where the policy needs one."""
        if policy is None:
            head = question.head
            fixed = head.get("temperature") == 0 or head.get("seed") is not None or self._sampled
            policy = self._use if fixed and not acts(head) else self._pass
        elif not policy.namespace and self._use.namespace:
            policy = replace(policy, namespace=self._use.namespace)
        stores = policy.cache and self.path.cache is not None
        if not (stores or (policy.join and self._joins) or policy.mode == "only"):
            return policy, None
        return policy, self.digest(question.body, policy.namespace)

    def digest(self, body: dict[str, Any] | bytes, namespace: str) -> bytes:
        """Return the key of a request to this model."""
        return self.body_key(body, self._origin, namespace)

    def body_key(self, body: dict[str, Any] | bytes, url: str, namespace: str) -> bytes:
        """Return the key of a request to `url`."""
        return request_key(body, url=url, headers=self._shaping, tenant=self.tenant, namespace=namespace)

    def demand(self, question: Question) -> Demand:
        """Return what a request asks of its server."""
        head = question.head
        answer = head.get("max_completion_tokens") or head.get("max_tokens") or head.get("max_output_tokens")
        return Demand(
            self.scope,
            origin=self._server,
            input_tokens=lambda: sum(map(_length, question.messages)) // _CHARACTERS_A_TOKEN,
            output_tokens=answer if isinstance(answer, int) and answer > 0 else None,
        )

    def _attempt(
        self, question: Question, key: bytes | None, policy: Policy, timeout: float | None, demand: Demand
    ) -> Attempt:
        unchanged = None if key is None else lambda body: self.digest(body, policy.namespace) == key
        return Attempt(self.provider, self.wire, self.meter, question, unchanged, timeout, demand)

    def _encode(self, answer: Read, structure: Structure | None) -> bytes | None:
        choices = answer.document["choices"]
        good = self.provider.storable(answer.document) and all(unanswered(choice) is None for choice in choices)
        return answer.raw if good and _fits(Reply(answer.document), structure) else None

    def _decode(self, raw: bytes, question: Question) -> Read:
        try:
            return Read(raw, self.provider.read(raw, question))
        except ModelError as error:
            raise ValueError(str(error)) from error

    def _whole(self, raw: bytes, question: Question, structure: Structure | None) -> bool:
        """Whether the bytes of a stream hold a whole answer that may be stored."""
        decoder = self.provider.stream(question)
        try:
            events = list(decoder.events(raw))
        except ModelError:
            return False
        last = events[-1] if events else None
        if not decoder.storable or type(last) is not Done:
            return False
        return last.reply.unanswered is None and _fits(last.reply, structure)

    # -- what a batch needs ----------------------------------------------------------------------------------------

    async def stored(self, question: Question, structure: Structure | None, policy: Policy, key: bytes) -> Reply | None:
        """Return the answer that the tiers have for a request, or None."""
        if not policy.cache or policy.mode not in ("use", "only"):
            return None
        found = replace(policy, mode="only")
        try:
            outcome = await self.path.run(self._given(question, structure, found, key, None))
        except CacheError:
            return None
        return Reply(outcome.value.document, "hit", outcome.tier, outcome.age, self.model, (), structure)

    async def keep(
        self, raw: bytes, question: Question, structure: Structure | None, policy: Policy, key: bytes | None
    ) -> Reply:
        """Return the reply that `raw` is, and store it where it may be.

        Raises:
            ModelError: it is none, or does not fit the type that was asked for.
        """
        read = Read(raw, self.provider.read(raw, question))
        reply = Reply(read.document, "bypass" if key is None else "miss", model=self.model, structure=structure)
        if structure is not None:
            reply.output  # noqa: B018 - as in chat
        if key is not None:
            await self.path.run(
                self._given(question, structure, replace(policy, mode="refresh", join=False), key, read)
            )
        return reply

    def _given(
        self, question: Question, structure: Structure | None, policy: Policy, key: bytes, read: Read | None
    ) -> Call[Read]:
        async def run() -> Read:
            if read is None:
                raise ModelError("nothing was asked")
            return read

        return Call(
            "llm",
            self.model,
            key,
            run,
            lambda answer: self._encode(answer, structure),
            lambda raw: self._decode(raw, question),
            policy,
        )

    async def aclose(self) -> None:
        """Close connections and the embedded model's server."""
        await self.wire.aclose()
        await self.provider.aclose()


def _fits(reply: Reply, structure: Structure | None) -> bool:
    if structure is None:
        return True
    try:
        structure.read(reply)
    except ModelError:
        return False
    return True


def _of_wire(http: httpx2.AsyncClient | None) -> tuple[str, dict[str, str]]:
    """Return the credential that a caller's own wire sends, and its headers that may shape an answer."""
    if http is None:
        return "", {}
    headers = {name.lower(): value for name, value in http.headers.items()}
    credential = "\n".join(headers[name] for name in _CREDENTIALS if name in headers)
    return credential, {k: v for k, v in headers.items() if k not in _NOISE and k not in _CREDENTIALS}


def _secrets(http: httpx2.AsyncClient | None) -> tuple[str, ...]:
    """Return what a caller's own wire sends and no error may repeat."""
    if http is None:
        return ()
    values = [value for name, value in http.headers.items() if _SECRET.search(name)]
    values += [*http.cookies.values(), *(value for name, value in http.params.items() if _SECRET.search(name))]
    bare = [value.partition(" ")[2] for value in values]  # without its scheme, as in "Bearer …"
    return tuple(value for value in (*values, *bare) if value)


def _length(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    return len(content) if isinstance(content, str) else len(str(content or ""))
