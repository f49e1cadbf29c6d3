"""The client: a model, and those that stand in for it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..errors import CircuitOpenError, ModelError, ModelResponseError, ModelStatusError
from .asking import Asker, Options, Wanted
from .providers import provider_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    import httpx2

    from .._core import PoolStats
    from ..cache.base import Cache
    from ..calls import Limits, Policy, Retry
    from ..config import Config
    from ..observe.events import Observer
    from .batch import Batches
    from .embeddings import Embedder, Embeddings
    from .messages import Messages, Reply, ToolLike
    from .providers import Provider
    from .stream import StreamEvent
    from .usage import ClientMetrics

__all__ = ["LLMClient"]

T = TypeVar("T")


class LLMClient:
    """Asks a model.

    May be used from several event loops, one after another or at once in several threads. Answers come from the cache
    where one is given and the request is deterministic by its own word: temperature 0, or a seed. `policy` changes
    that for one call. Identical deterministic requests in flight share one execution.

    Args:
        model: provider and model: "openai:gpt-5-mini" for chat completions, "openai-responses:gpt-5-mini",
            "anthropic:claude-sonnet-5", or "local:smollm2" for the embedded model.
        base_url: where the server is; None for the provider's environment variable (``OPENAI_BASE_URL``,
            ``ANTHROPIC_BASE_URL``), or its own.
        api_key: the credential; None for the provider's environment variable (``OPENAI_API_KEY``,
            ``ANTHROPIC_API_KEY``).
        cache: the tiers; it is not closed with the client. None for those that `config` asks for, which are; without
            a configuration there are none.
        limits: how many calls are in flight; None for the configuration's.
        retry: which failed calls are made again; None for the configuration's.
        config: settings; the defaults when None.
        http: the wire: a client of httpx2, used as it is and not closed; None for the configuration's wire.
        observer: hears the events of the calls.
        fallback: models that are asked, one after another, when this one gives no answer: it cannot be reached, is
            silent, unwell, overloaded or unknown at its server, or answers with what its protocol does not promise;
            not when it refuses the request or the key. A stream falls back only before its first byte. Clients are
            used as they are and not closed; names are models with this client's cache and settings, at their own
            servers, with the environment's keys.

    Raises:
        UnknownModelError: no provider serves `model`.
        MissingKeyError: a hosted model without a key.
        MissingExtraError: the embedded model, or the configuration's wire, without its extra.
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
        fallback: Sequence[str | LLMClient] = (),
    ) -> None:
        if isinstance(fallback, str):
            raise TypeError(f'fallback is a list of models, as in ["{fallback}"]')
        opens = config is not None and cache is None and config.response_cache.enabled
        if config is None:
            from ..config import Config

            config = Config()
        self.model = model
        self.config = config
        providers = [provider_of(model, base_url, api_key, config)]
        providers += [provider_of(name, None, None, config) for name in fallback if not isinstance(name, LLMClient)]
        self._owned: Cache | None = None
        if opens:  # not before it is sure that there is somebody to ask
            from ..cache import open_cache

            cache = self._owned = open_cache(config)
        options = Options(cache, limits, retry, config, observer)
        self._asker = Asker(model, providers.pop(0), options, http)
        self._open = [self._asker]  # those to close
        self._askers = [self._asker]
        for other in fallback:
            if isinstance(other, LLMClient):
                self._askers.append(other._asker)  # noqa: SLF001 - another of this class
            else:
                self._askers.append(asker := Asker(other, providers.pop(0), options))
                self._open.append(asker)
        self._embedder: Embedder | None = None
        self._batches: Batches | None = None

    # -- asking ----------------------------------------------------------------------------------------------------

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        output_type: None = None,
        policy: Policy | None = None,
        timeout: float | None = None,
        call_id: str | None = None,
        **params: Any,
    ) -> Reply[str]: ...

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        output_type: type[T],
        policy: Policy | None = None,
        timeout: float | None = None,
        call_id: str | None = None,
        **params: Any,
    ) -> Reply[T]: ...

    @overload  # what is no class, as `int | None` or an `Annotated`: the answer's type is not known then
    async def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        output_type: object,
        policy: Policy | None = None,
        timeout: float | None = None,
        call_id: str | None = None,
        **params: Any,
    ) -> Reply: ...

    async def chat(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        output_type: Any = None,
        policy: Policy | None = None,
        timeout: float | None = None,
        call_id: str | None = None,
        **params: Any,
    ) -> Reply:
        """Return the model's answer.

        Args:
            messages: the conversation in the shape of OpenAI's chat completions, or an object whose `view()` gives it.
            tools: what the model may call: tools, or function schemas in OpenAI's shape.
            output_type: what `reply.output` is to be: any type that pydantic can validate from JSON, whose schema goes
                into the request; None for the text.
            policy: how this call uses the cache, whatever its parameters; None to go by them.
            timeout: seconds that the server may be silent; None for the configuration's.
            call_id: the caller's name for this call, handed on to the observer.
            params: the request's other fields, such as `temperature`, `max_tokens`, `seed`, named as in OpenAI's chat
                completions; those that are None are left out, and those that only the provider knows are passed on.

        Raises:
            ModelRequestError: the provider has no form for a message or a parameter.
            ModelConnectionError: the server could not be reached, or went away.
            ModelTimeoutError: it did not answer in time.
            ModelStatusError: it answered with an HTTP error.
            ModelResponseError: it answered with something else than its protocol promises, or not with `output_type`.
            CanonicalError: the request holds something that JSON cannot hold.
            CacheError: the policy's mode is "only" and nothing is stored.
        """
        wanted = Wanted(messages, tools, params, output_type, policy, timeout, call_id)
        if len(self._askers) == 1:
            return await self._asker.chat(wanted)
        failures: tuple[ModelError, ...] = ()
        for asker in self._askers:
            try:
                return await asker.chat(wanted, failures)
            except ModelError as error:
                failures = self._next(asker, error, failures)
        raise AssertionError  # the last failure was raised

    @asynccontextmanager
    async def stream(
        self,
        messages: Messages,
        *,
        tools: Sequence[ToolLike | Mapping[str, Any]] | None = None,
        output_type: Any = None,
        policy: Policy | None = None,
        timeout: float | None = None,
        call_id: str | None = None,
        **params: Any,
    ) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Give the model's answer as events, while it comes in.

        Arguments and errors are those of `chat`; errors may come while reading, too. A stream from the cache gives
        the events of the first time, its usage included.
        """
        wanted = Wanted(messages, tools, params, output_type, policy, timeout, call_id)
        failures: tuple[ModelError, ...] = ()
        async with AsyncExitStack() as stack:
            for asker in self._askers:
                try:
                    events = await stack.enter_async_context(asker.stream(wanted, failures))
                except ModelError as error:
                    failures = self._next(asker, error, failures)
                else:
                    break
            yield events

    def _next(self, asker: Asker, error: ModelError, failures: tuple[ModelError, ...]) -> tuple[ModelError, ...]:
        """Return the failures so far where another model is to be asked; else raise the first, which tells the others.

        An error that no other model can help with is raised itself where it is the first.
        """
        last = asker is self._askers[-1]
        if not last and (failures or _passes_on(error)):
            asker.meter.fell_back += 1
            return (*failures, error)
        if not failures:
            raise error
        for model, failure in zip(self._askers[1:], (*failures[1:], error), strict=False):
            note = f"then {model.model}: {failure}"
            if note not in getattr(failures[0], "__notes__", ()):  # an error may be shared with callers that joined
                failures[0].add_note(note)
        raise failures[0]

    # -- embeddings and batches ------------------------------------------------------------------------------------

    async def embed(self, texts: str | Sequence[str], *, timeout: float | None = None, **params: Any) -> Embeddings:
        """Return the vectors of texts, in their order.

        Calls at about the same time share requests (`llm_client.embedding_window` and `embedding_batch`); each text is
        stored and looked up by itself, and one that comes twice is asked once. A request that is refused is made again
        for each caller, so that only the one with the text at fault gets the error.

        Args:
            texts: one text, or several; none may be empty.
            timeout: seconds that the server may be silent; None for the configuration's.
            params: the request's other fields, such as `dimensions`.

        Raises:
            ModelRequestError: the provider has no embeddings, or a text is empty.
            ModelError: as in `chat`.
        """
        if self._embedder is None:
            from .embeddings import Embedder

            self._embedder = Embedder(self._asker, self.config)
        return await self._embedder.embed(texts, params, timeout)

    async def batch(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        resume: Sequence[str] = (),
        submitted: Callable[[str], None] | None = None,
        poll: float = 30.0,
    ) -> list[Reply | ModelError]:
        """Return the answers to many requests that may wait, through the provider's batch API, at its lower price.

        Requests that the cache can answer are not sent, and identical deterministic ones are sent once; answers are
        stored. Nothing falls back. What was submitted is remembered in the cache: the same requests, asked again after
        a crash, wait for the batch that is under way. Without a cache, `resume` says which it is.

        Args:
            requests: the arguments of `chat`, each as a mapping with `messages` and, where they are needed, `tools`,
                `output_type` and parameters.
            resume: the identifiers of batches that were submitted for these requests before.
            submitted: called with the identifier of each batch that is submitted.
            poll: seconds between two questions whether it is done.

        Returns:
            For each request, in order, its answer, or the error that it ended with.

        Raises:
            ModelRequestError: the provider has no batch API, or no form for a request.
            ModelError: the batch could not be submitted, asked for, or has failed as a whole.
        """
        if self._batches is None:
            from .batch import Batches

            self._batches = Batches(self._asker)
        return await self._batches.run(requests, resume, submitted, poll)

    # -- what the client tells, and its end ------------------------------------------------------------------------

    def metrics(self) -> ClientMetrics:
        """Return the counters since the client was made; those of models that stand in are their own (`fallbacks`)."""
        return self._asker.meter.read()

    def fallbacks(self) -> dict[str, ClientMetrics]:
        """Return the counters of the models that stand in for this one, by their names."""
        return {asker.model: asker.meter.read() for asker in self._askers[1:]}

    def pool_stats(self) -> PoolStats:
        """Return the counters of the buffers that large responses are read into (`memory_pool`)."""
        return self._asker.wire.pool()

    @property
    def provider(self) -> Provider:
        """What encodes the client's requests and decodes its answers."""
        return self._asker.provider

    @property
    def cache(self) -> Cache | None:
        """The tiers that the client uses."""
        return self._asker.path.cache

    async def aclose(self) -> None:
        """Close connections, the embedded model's server, and the tiers that belong to the client."""
        for asker in self._open:
            await asker.aclose()
        if self._owned is not None:
            await self._owned.aclose()

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _passes_on(error: ModelError) -> bool:
    """Whether another model may have an answer where one failed so."""
    return (
        error.retryable
        or isinstance(error, CircuitOpenError | ModelResponseError)
        or (isinstance(error, ModelStatusError) and (error.status == 404 or error.status >= 500))
    )
