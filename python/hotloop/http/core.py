"""What the transports share, whichever their library: requests become calls, and outcomes become responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import copy
from functools import lru_cache
from math import ceil
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .._core import request_key
from ..cache import MemoryCache, open_cache
from ..calls import Breaking, CallPath, Demand, Limits, Mode, Opened, Policy, Retry, StreamCall, StreamOutcome
from ..calls.headers import QUOTA_HEADERS, retry_after
from ..config import Config
from ..errors import CacheError, CanonicalError, CircuitOpenError, HotloopError
from .answers import kept, replayed, whole
from .asks import PREFIX, Ask, Wish, ask_of, wish_of
from .tenants import tenant_of, varied

if TYPE_CHECKING:
    from types import ModuleType

    from ..cache.base import Cache

__all__ = ["FAILURES", "Core", "Plan", "RefusedError", "UnreachedError"]

_NO_WISH = Wish()
_LONGEST = ("max_completion_tokens", "max_output_tokens", "max_tokens")  # that an answer may be, by its endpoint
_BYTES_A_TOKEN = 4  # of English text, roughly; what answers really took corrects it
_REFUSED = re.compile(r"q\s*=\s*0(\.0*)?")
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

Open = Callable[[Any, bool, Demand], AbstractAsyncContextManager[Opened]]


class RefusedError(HotloopError):
    """The server answered with an error that may pass; holds its answer, which the caller gets when no retry helps."""

    retryable = True

    def __init__(self, response: Any, body: bytes) -> None:
        super().__init__(response, body)
        self.response = response
        self.body = body
        self.retry_after = retry_after(response.headers, time())
        self.ill = response.status_code >= 500
        self.acted = self.ill and response.status_code not in (503, 529)

    def __str__(self) -> str:
        return f"HTTP {self.response.status_code}"


class UnreachedError(HotloopError):
    """No connection to the server could be made; its cause is what the inner transport raised.

    Args:
        ill: whether that was the server's doing.
    """

    retryable = True
    acted = False

    def __init__(self, ill: bool) -> None:
        super().__init__("no connection could be made")
        self.ill = ill


FAILURES = (RefusedError, UnreachedError, CircuitOpenError, CacheError)
"""What the path raises for which a transport gives a response, or raises an error of the library's."""


class Plan(NamedTuple):
    """What is to be done for one request.

    Attributes:
        request: the request to send, without what is for us.
        call: its call; None for one that passes through untouched.
    """

    request: Any
    call: StreamCall | None = None


class Core:
    """Reads requests and writes responses for one transport.

    Args:
        library: httpx2 or httpx.
        open: enters the work: sends a request and gives the chunks of its answer; its second argument says whether
            errors that may pass are to be raised as `RefusedError` and `UnreachedError`, its third hears what the
            server says of its quotas and what the answer took.
        cache: the tiers; None for those that `config` asks for, or a memory of its own where there is none either.
        limits: what may be in flight; None for the configuration's.
        retry: which failed requests are made again, where the caller does not do it; None for the configuration's.
        config: settings; None for the defaults.
        tenant: who shares answers; None for those with the same credential.
    """

    def __init__(
        self,
        library: ModuleType,
        open: Open,  # noqa: A002 - the word for it, here as in StreamCall
        *,
        cache: Cache | None,
        limits: Limits | None,
        retry: Retry | None,
        config: Config | None,
        tenant: str | None,
    ) -> None:
        self.library = library
        self.silent = (library.NetworkError, library.TimeoutException, library.RemoteProtocolError)
        self.owned: Cache | None = None
        if cache is None:
            cache = self.owned = MemoryCache() if config is None else open_cache(config)
        config = config or Config()
        settings = config.response_cache
        self._open = open
        self._sampled = settings.cache_sampled
        self._ttl = settings.ttl
        self._namespace = settings.namespace
        self._tenant = None if tenant is None else tenant.encode()
        self._keyed = cache is not None or settings.single_flight
        self.path = CallPath(
            cache=cache,
            limits=limits or Limits.of(config),
            retry=retry or Retry(attempts=1 + config.llm_client.max_retries),
            breaking=Breaking(config.llm_client.breaker_failures),
            single_flight=settings.single_flight,
        )

    def with_open(self, open: Open) -> Core:  # noqa: A002 - the word for it, here as in StreamCall
        """Return a core with the same path whose work is entered in another way; the tiers stay this one's."""
        twin = copy(self)
        twin._open, twin.owned = open, None  # noqa: SLF001 - its own class
        return twin

    # -- a request becomes a call ----------------------------------------------------------------------------------

    def plan(self, request: Any) -> Plan:
        """Say what is to be done for `request`.

        Raises:
            LocalProtocolError: of the library; what it asks of hotloop cannot be had.
        """
        headers = {name.lower(): value for name, value in request.headers.raw}
        ours = PREFIX in b"\n".join(headers)
        try:
            wish = wish_of(request.extensions, request.headers) if ours or "hotloop" in request.extensions else _NO_WISH
        except ValueError as error:
            raise self.library.LocalProtocolError(f"hotloop: {error}", request=request) from error
        if ours:
            request = self._without_ours(request)
        if request.method != "POST" or b"content-encoding" in headers:
            return Plan(request)
        if not isinstance(request.stream, self.library.ByteStream):  # a body that comes piece by piece
            return Plan(request)
        body = request.read()  # at hand, also where the library has not looked, as after a redirect
        ask = ask_of(request.url.path, body)
        return Plan(request) if ask is None else Plan(request, self._call(request, headers, body, ask, wish))

    def _without_ours(self, request: Any) -> Any:
        headers = [(name, value) for name, value in request.headers.raw if not _is_ours(name.lower())]
        clean = self.library.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        if isinstance(request.stream, self.library.ByteStream):
            clean.read()
        return clean

    def _call(self, request: Any, headers: dict[bytes, bytes], body: bytes, ask: Ask, wish: Wish) -> StreamCall:
        mode, namespace = wish.mode, self._namespace if wish.namespace is None else wish.namespace
        pure = ask.pure
        asked = headers.get(b"cache-control", b"").lower()
        if b"only-if-cached" in asked:
            mode = "only"
        elif b"no-store" in asked and mode != "only":
            mode = "bypass"
        elif b"no-cache" in asked and mode == "use":
            mode = "refresh"
        raw = request.headers.raw
        tenant = tenant_of(raw) if self._tenant is None else self._tenant
        key = None
        sampled = self._sampled if wish.sampled is None else wish.sampled
        if self._keyed and mode != "bypass" and (ask.deterministic or sampled) and pure:
            key = self._key(request, raw, body, tenant, namespace)
        demand = self._demand(request, body, ask, tenant)
        retrying = b"x-stainless-retry-count" not in headers  # else the SDK above retries, or was told not to
        lasting = ask.fields.get("stream") is True
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        return StreamCall(
            "llm",
            str(ask.fields.get("model", "")),
            key,
            lambda: self._open(request, retrying, demand),
            lambda payload, meta: whole(ask.endpoint, lasting, payload, meta, self.decoded),
            _policy(mode, self._ttl if wish.ttl is None else wish.ttl, namespace, wish.stale, retrying),
            fits=lambda meta: self._fits(meta, request, accepted),
            prompt=True,
            repeatable=pure,  # it computes an answer, which costs money and changes nothing
            share=(retrying, accepted, *request.extensions.get("timeout", {}).values()),
            demand=demand,
            lasting=lasting,
        )

    @staticmethod
    def _key(request: Any, raw: list[tuple[bytes, bytes]], body: bytes, tenant: bytes, namespace: str) -> bytes | None:
        try:
            return request_key(body, url=str(request.url), headers=raw, tenant=tenant, namespace=namespace)
        except CanonicalError:  # JSON that has no canonical form, such as an integer beyond 2**53
            return None

    @staticmethod
    def _demand(request: Any, body: bytes, ask: Ask, tenant: bytes) -> Demand:
        url, fields = request.url, ask.fields
        origin, scope = _scope(url.scheme, url.netloc, str(fields.get("model", "")), tenant)
        answer = None
        for name in _LONGEST:
            if isinstance(found := fields.get(name), int):
                answer = found
                break
        return Demand(
            scope,
            origin=origin,
            input_tokens=len(body) // _BYTES_A_TOKEN,
            output_tokens=0 if ask.endpoint == "embeddings" else answer,
        )

    def meta(self, request: Any, response: Any) -> dict[str, str]:
        """Return what is stored beside the bytes of the answer to `request`."""
        meta = kept(response.status_code, response.headers.raw)
        if "vary" in meta:
            meta["varied"] = varied(meta["vary"], request.headers)
        return meta

    @staticmethod
    def brief(meta: Mapping[str, str]) -> bool:
        """Whether an answer with this meta comes in one piece, most likely with its head."""
        length = meta.get("length", "")
        return length.isdecimal() and len(length) < 6 and meta.get("content-type", "").startswith("application/json")

    @staticmethod
    def _fits(meta: Mapping[str, str], request: Any, accepted: str) -> bool:
        """Whether a stored answer is one that the server could have given to `request`."""
        if meta.get("content-encoding", "identity").strip().lower() not in ("identity", *_tokens(accepted)):
            return False
        if "vary" in meta and meta.get("varied") != varied(meta["vary"], request.headers):
            return False
        return "status" in meta

    def decoded(self, payload: bytes, encoding: str) -> bytes:
        """Undo a content encoding.

        Raises:
            ValueError: the bytes are damaged.
        """
        try:
            response = self.library.Response(200, headers={"content-encoding": encoding}, content=payload)
        except self.library.DecodingError as error:
            raise ValueError(str(error)) from error
        content: bytes = response.content
        return content

    # -- an outcome becomes a response -----------------------------------------------------------------------------

    @staticmethod
    def observe(demand: Demand, response: Any) -> None:
        """Hand on what the head of an answer says of quotas."""
        said = {
            low.decode(): value.decode("latin-1")
            for name, value in response.headers.raw
            if (low := name.lower()) in QUOTA_HEADERS
        }
        demand.observe(said, response.status_code)

    def unanswered(self, error: Exception, retrying: bool, demand: Demand) -> None:
        """Take that the inner transport raised `error`; where it may be tried again, raise that.

        Raises:
            UnreachedError: no connection could be made, so that the server cannot have acted.
        """
        library = self.library
        ours = isinstance(error, library.PoolTimeout)  # the wait was for a connection of our own
        if not ours:
            demand.fail()
        if retrying and (ours or isinstance(error, library.ConnectError | library.ConnectTimeout)):
            raise UnreachedError(ill=not ours) from error

    @staticmethod
    def may_pass(response: Any) -> bool:
        """Whether an error response is worth another attempt."""
        return response.status_code in _TRANSIENT and response.headers.get("x-should-retry") != "false"

    def stored(self, call: StreamCall, outcome: StreamOutcome) -> Any:
        """Return the response that a stored answer stands for."""
        payload = outcome.payload or b""
        return self.library.Response(
            int(outcome.meta["status"]),
            headers=replayed(outcome.meta, payload, outcome.age),
            stream=self.library.ByteStream(payload),
            extensions={"hotloop": report(call, outcome.cache, outcome.tier, outcome.age)},
        )

    def live(self, call: StreamCall, outcome: StreamOutcome, stream: Any) -> Any:
        """Return the response whose answer comes in through `stream`."""
        head = outcome.head
        extensions = {**head.extensions, "hotloop": report(call, outcome.cache)}
        if outcome.cache == "joined":
            extensions.pop("network_stream", None)  # the connection is another's
        return self.library.Response(head.status_code, headers=head.headers, stream=stream, extensions=extensions)

    def failed(self, call: StreamCall, error: HotloopError) -> Any:
        """Return the response that stands for what the path raised (one of `FAILURES`).

        Raises:
            TransportError: of the library; what the transport below raised.
        """
        match error:
            case RefusedError():
                return self._refused(call, error)
            case CircuitOpenError():
                return self._left_alone(call, error)
            case CacheError():
                return self._absent(call)
        raise error.__cause__ or error

    def _refused(self, call: StreamCall, refused: RefusedError) -> Any:
        """Return the error response that was left when no retry helped."""
        head = refused.response
        return self.library.Response(
            head.status_code,
            headers=head.headers,
            stream=self.library.ByteStream(refused.body),
            extensions={**head.extensions, "hotloop": report(call, "bypass" if call.key is None else "miss")},
        )

    def _absent(self, call: StreamCall) -> Any:
        """Return the response of the mode "only" where nothing is stored (RFC 9111, section 5.2.1.7)."""
        # the SDKs heed the header; asking again would not help
        said = 'nothing is stored for this request, and its mode is "only"'
        return self._own(call, 504, "not_stored", said, {"x-should-retry": "false"})

    def _left_alone(self, call: StreamCall, error: CircuitOpenError) -> Any:
        """Return the response that stands for those of a server that is left alone; SDKs wait as long as it says."""
        return self._own(
            call, 503, "circuit_open", str(error), {"retry-after": str(max(1, ceil(error.retry_after or 0)))}
        )

    def _own(self, call: StreamCall, status: int, code: str, message: str, headers: dict[str, str]) -> Any:
        error = {"message": f"hotloop: {message}", "type": code, "code": code}
        body = orjson.dumps({"type": "error", "error": error})
        return self.library.Response(
            status,
            headers={"content-type": "application/json", "content-length": str(len(body)), **headers},
            stream=self.library.ByteStream(body),
            extensions={
                "hotloop": report(call, "bypass" if call.key is None and call.policy.mode != "only" else "miss")
            },
        )


@lru_cache(64)
def _scope(scheme: str, netloc: bytes, model: str, tenant: bytes) -> tuple[str, str]:
    """Return the server that is asked, and what its quotas are counted for."""
    origin = f"{scheme}://{netloc.decode('ascii')}"
    return origin, f"{origin} {model} {tenant.hex()[:16]}"


@lru_cache(64)
def _policy(mode: Mode, ttl: float | None, namespace: str, stale: float | None, retry: bool) -> Policy:
    return Policy(mode=mode, ttl=ttl, namespace=namespace, stale=stale, retry=retry)


def report(call: StreamCall, cache: str, tier: str | None = None, age: float = 0.0) -> dict[str, Any]:
    """Return what a response tells about its way here."""
    return {"cache": cache, "tier": tier, "key": None if call.key is None else call.key.hex(), "age": age}


def _tokens(accepted: str) -> list[str]:
    """Return the content encodings that an ``accept-encoding`` takes; what it weighs with 0 it refuses."""
    pairs = [token.lower().partition(";") for token in accepted.split(",")]
    return [name.strip() for name, _, weight in pairs if not _REFUSED.fullmatch(weight.strip())]


def _is_ours(name: bytes) -> bool:
    return name.startswith(PREFIX)
