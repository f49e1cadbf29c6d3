"""The client: a request walks the keyed-call path, and becomes HTTP only where nothing nearer has its answer."""

from __future__ import annotations

import hmac
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .._core import request_key
from ..calls import Breaking, Call, CallPath, Demand, Limits, Policy, Retry, StreamCall
from ..calls.acting import acts
from ..errors import ModelError
from .attempt import Attempt, Read
from .messages import Messages, Reply, ToolLike, as_list, schemas, unanswered
from .providers import Provider, Question, provider_of
from .sse import SSEReader
from .stream import Done, StreamEvent
from .usage import ClientMetrics, Meter
from .wire import open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    import httpx2

    from .._core import PoolStats
    from ..cache.base import Cache
    from ..config import Config
    from ..observe.events import Observer

__all__ = ["LLMClient"]


_CHARACTERS_A_TOKEN = 4  # of English text, roughly; what answers really took corrects it
_NOISE = frozenset({"accept", "accept-encoding", "connection", "host", "user-agent"})
_SECRET = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
_CREDENTIALS = ("authorization", "api-key", "x-api-key", "cookie")


class LLMClient:
    """Asks a model.

    May be used from several event loops, one after another or at once in several threads. Answers come from the cache
    where one is given and the request is deterministic by its own word: temperature 0, or a seed. `policy` changes
    that for one call. Identical deterministic requests in flight share one execution.

    Args:
        model: provider and model: "openai:gpt-5-mini", or "local:smollm2" for the embedded model.
        base_url: where the server is; None for the provider's environment variable (``OPENAI_BASE_URL``), or its own.
        api_key: the credential; None for the provider's environment variable (``OPENAI_API_KEY``).
        cache: the tiers; it is not closed with the client. None for those that `config` asks for, which are; without
            a configuration there are none.
        limits: how many calls are in flight; None for the configuration's.
        retry: which failed calls are made again; None for the configuration's.
        config: settings; the defaults when None.
        http: the wire: a client of httpx2, used as it is and not closed.
        observer: hears the events of the calls.

    Raises:
        UnknownModelError: no provider serves `model`.
        MissingKeyError: a hosted model without a key.
        MissingExtraError: the embedded model without its extra.
        CacheError: the disk tier that `config` asks for cannot be used.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        cache: Cache | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        config: Config | None = None,
        http: httpx2.AsyncClient | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.model = model
        self._owned: Cache | None = None
        if config is None:
            from ..config import Config

            config, opens = Config(), False
        else:
            opens = cache is None and config.response_cache.enabled
        self.config = config
        self.provider: Provider = provider_of(model, base_url, api_key, config)
        if opens:
            from ..cache import open_cache

            cache = self._owned = open_cache(config)
        settings = config.response_cache
        self._sampled = bool(settings.cache_sampled)
        self._use = Policy(namespace=settings.namespace)
        self._pass = Policy(cache=False, join=False, namespace=settings.namespace)
        self._joins = settings.single_flight
        self._path = CallPath(
            cache=cache,
            limits=limits or Limits.of(config),
            retry=retry or Retry(attempts=1 + config.llm_client.max_retries),
            breaking=Breaking(config.llm_client.breaker_failures),
            observer=observer,
            single_flight=settings.single_flight,
        )
        self._wire = open_wire(config, http)
        credential, self._shaping = _of_wire(http)
        self.provider.secrets += _secrets(http)
        credential = self.provider.credential or credential
        self._tenant = hmac.digest(credential.encode(), b"hotloop tenant 1", "sha256") if credential else b""
        self._meter = Meter()
        self._origin = self.provider.identity
        self._scope = f"{self._origin} {self.model} {self._tenant.hex()[:16]}"

    # -- asking ----------------------------------------------------------------------------------------------------

    async def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        policy: Policy | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (of the wire, not of the call)
        call_id: str | None = None,
        **params: Any,
    ) -> Reply:
        """Return the model's answer.

        Args:
            messages: the conversation in the shape of OpenAI's chat completions, or an object whose `view()` gives it.
            tools: what the model may call: tools, or function schemas in OpenAI's shape.
            policy: how this call uses the cache, whatever its parameters; None to go by them.
            timeout: seconds that the server may be silent; None for the configuration's.
            call_id: the caller's name for this call, handed on to the observer.
            params: the request's other fields, such as `temperature`, `max_tokens`, `seed`; those that are None are
                left out.

        Raises:
            ModelConnectionError: the server could not be reached, or went away.
            ModelTimeoutError: it did not answer in time.
            ModelStatusError: it answered with an HTTP error.
            ModelResponseError: it answered with something else than a chat completion.
            CanonicalError: the request holds something that JSON cannot hold.
            CacheError: the policy's mode is "only" and nothing is stored.
        """
        question = self.provider.ask(as_list(messages), schemas(tools), params, stream=False)
        policy, key = self._key(question, policy)
        call = Call(
            "llm",
            self.model,
            key,
            self._attempt(question, key, policy, timeout, demand := self._demand(question)).run,
            self._encode,
            lambda raw: self._decode(raw, question),
            policy,
            call_id,
            repeatable=True,
            demand=demand,
        )
        meter = self._meter
        meter.calls += 1
        start = perf_counter()
        try:
            outcome = await self._path.run(call)
        except BaseException:
            meter.errors += 1
            raise
        finally:
            meter.seconds += perf_counter() - start
        raw, document = outcome.value
        if outcome.cache == "joined":  # the leader's caller has the decoded answer and may change it
            document = self.provider.read(raw, question)
        reply = Reply(document, outcome.cache, outcome.tier, outcome.age)
        meter.answered(outcome.cache, reply.usage)
        return reply

    @asynccontextmanager
    async def stream(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        policy: Policy | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (of the wire, not of the call)
        call_id: str | None = None,
        **params: Any,
    ) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Give the model's answer as events, while it comes in.

        Arguments and errors are those of `chat`; errors may come while reading, too. A stream from the cache gives
        the events of the first time, its usage included.
        """
        question = self.provider.ask(as_list(messages), schemas(tools), params, stream=True)
        policy, key = self._key(question, policy)
        demand = self._demand(question)
        attempt = self._attempt(question, key, policy, timeout, demand)
        call = StreamCall(
            "llm",
            self.model,
            key,
            attempt.open,
            lambda raw, _: self._whole(raw, question),
            policy,
            call_id,
            repeatable=True,
            demand=demand,
        )
        meter = self._meter
        meter.calls += 1
        start = perf_counter()
        try:
            async with self._path.stream(call) as outcome:
                state: Any = outcome.cache
                origin = Reply({}, state, outcome.tier, outcome.age)
                events = self._events(outcome.chunks, question, origin, demand)
                try:
                    yield events
                finally:
                    await events.aclose()
        except BaseException:
            meter.errors += 1
            raise
        finally:
            meter.seconds += perf_counter() - start

    async def _events(
        self, chunks: AsyncIterator[bytes], question: Question, origin: Reply, demand: Demand
    ) -> AsyncGenerator[StreamEvent]:
        reader, decoder = SSEReader(), self.provider.stream(question)
        async for chunk in chunks:
            for name, data in reader.feed(chunk):
                for event in decoder.feed(name, data):
                    if type(event) is Done:
                        reply = event.reply
                        reply.cache, reply.tier, reply.age = origin.cache, origin.tier, origin.age
                        self._meter.answered(origin.cache, reply.usage)
                        if (usage := reply.usage).output_tokens:
                            demand.settle(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
                    yield event
        decoder.finish()

    # -- the parts of a call ---------------------------------------------------------------------------------------

    def _key(self, question: Question, policy: Policy | None) -> tuple[Policy, bytes | None]:
        """Return the policy of a call, and its key where the policy needs one."""
        if policy is None:
            head = question.head
            fixed = head.get("temperature") == 0 or head.get("seed") is not None or self._sampled
            policy = self._use if fixed and not acts(head) else self._pass
        elif not policy.namespace and self._use.namespace:
            policy = replace(policy, namespace=self._use.namespace)
        stores = policy.cache and self._path.cache is not None
        if not (stores or (policy.join and self._joins) or policy.mode == "only"):
            return policy, None
        return policy, self._digest(question.body, policy.namespace)

    def _digest(self, body: dict[str, Any] | bytes, namespace: str) -> bytes:
        return request_key(
            body, url=self.provider.identity, headers=self._shaping, tenant=self._tenant, namespace=namespace
        )

    def _demand(self, question: Question) -> Demand:
        head = question.head
        answer = head.get("max_completion_tokens") or head.get("max_tokens") or head.get("max_output_tokens")
        return Demand(
            self._scope,
            origin=self._origin,
            input_tokens=lambda: sum(map(_length, question.messages)) // _CHARACTERS_A_TOKEN,
            output_tokens=answer if isinstance(answer, int) and answer > 0 else None,
        )

    def _attempt(
        self, question: Question, key: bytes | None, policy: Policy, timeout: float | None, demand: Demand
    ) -> Attempt:
        unchanged = None if key is None else lambda body: self._digest(body, policy.namespace) == key
        return Attempt(self.provider, self._wire, self._meter, question, unchanged, timeout, demand)

    def _encode(self, answer: Read) -> bytes | None:
        choices = answer.document["choices"]
        good = self.provider.storable(answer.document) and all(unanswered(choice) is None for choice in choices)
        return answer.raw if good else None

    def _decode(self, raw: bytes, question: Question) -> Read:
        try:
            return Read(raw, self.provider.read(raw, question))
        except ModelError as error:
            raise ValueError(str(error)) from error

    def _whole(self, raw: bytes, question: Question) -> bool:
        """Whether the bytes of a stream hold a whole answer that may be stored."""
        reader, decoder = SSEReader(), self.provider.stream(question)
        try:
            events = [event for name, data in reader.feed(raw) for event in decoder.feed(name, data)]
        except ModelError:
            return False
        return decoder.storable and any(type(event) is Done and event.reply.unanswered is None for event in events)

    # -- what the client tells, and its end ------------------------------------------------------------------------

    def metrics(self) -> ClientMetrics:
        """Return the counters since the client was made."""
        return self._meter.read()

    def pool_stats(self) -> PoolStats:
        """Return the counters of the buffers that large responses are read into (`memory_pool`)."""
        return self._wire.pool()

    @property
    def cache(self) -> Cache | None:
        """The tiers that the client uses."""
        return self._path.cache

    async def aclose(self) -> None:
        """Close connections, the embedded model's server, and the tiers that belong to the client."""
        await self._wire.aclose()
        await self.provider.aclose()
        if self._owned is not None:
            await self._owned.aclose()

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


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
