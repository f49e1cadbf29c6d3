"""What the transports share, whichever their library: requests become calls, and outcomes become responses."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import copy
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .._core import request_key
from ..cache import MemoryCache, open_cache
from ..calls import Breaking, CallPath, Limits, Opened, Policy, Retry, StreamCall, StreamOutcome
from ..config import Config
from ..errors import CanonicalError, HotloopError
from .answers import replayed, whole
from .asks import PREFIX, Ask, Wish, ask_of, wish_of

if TYPE_CHECKING:
    from types import ModuleType

    from ..cache.base import Cache

__all__ = ["Core", "Plan", "RefusedError", "UnreachedError"]

_LARGEST = 16 << 20  # bytes of an answer that is stored at most
_CREDENTIALS = frozenset(
    {
        b"authorization",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"proxy-authorization",
        b"x-amz-security-token",
    }
)
_COOKIE = frozenset({b"cookie"})
_NO_WISH = Wish()
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

Open = Callable[[Any, bool], AbstractAsyncContextManager[Opened]]


class RefusedError(HotloopError):
    """The server answered with an error that may pass; holds its answer, which the caller gets when no retry helps."""

    retryable = True

    def __init__(self, response: Any, body: bytes) -> None:
        super().__init__(response, body)
        self.response = response
        self.body = body
        self.retry_after = retry_after(response.headers)
        self.ill = response.status_code >= 500
        self.acted = self.ill and response.status_code not in (503, 529)

    def __str__(self) -> str:
        return f"HTTP {self.response.status_code}"


class UnreachedError(HotloopError):
    """No connection to the server could be made; its cause is what the inner transport raised."""

    retryable = True
    acted = False
    ill = True


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
            errors that may pass are to be raised as `RefusedError` and `UnreachedError`.
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
        try:
            body = request.content
        except self.library.RequestNotRead:  # a body that comes piece by piece
            return Plan(request)
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
        asked = headers.get(b"cache-control", b"").lower()
        if b"only-if-cached" in asked:
            mode = "only"
        elif b"no-store" in asked and mode != "only":
            mode = "bypass"
        elif b"no-cache" in asked and mode == "use":
            mode = "refresh"
        key = None
        sampled = self._sampled if wish.sampled is None else wish.sampled
        if self._keyed and mode != "bypass" and (ask.deterministic or sampled) and ask.pure:
            key = self._key(request, body, namespace)
        retrying = b"x-stainless-retry-count" not in headers  # else the SDK above retries, or was told not to
        streamed = ask.fields.get("stream") is True
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        return StreamCall(
            "llm",
            str(ask.fields.get("model", "")),
            key,
            lambda: self._open(request, retrying),
            lambda payload, meta: (
                len(payload) <= _LARGEST and whole(ask.endpoint, streamed, payload, meta, self._decoded)
            ),
            Policy(
                mode=mode,
                ttl=self._ttl if wish.ttl is None else wish.ttl,
                namespace=namespace,
                stale=wish.stale,
                retry=retrying,
            ),
            fits=lambda meta: meta.get("content-encoding", "identity") in ("identity", *_tokens(accepted)),
            prompt=True,
            repeatable=ask.pure,  # it computes an answer, which costs money and changes nothing
            share=(retrying, accepted, *request.extensions.get("timeout", {}).values()),
        )

    def _key(self, request: Any, body: bytes, namespace: str) -> bytes | None:
        headers = request.headers.raw
        tenant = tenant_of(headers) if self._tenant is None else self._tenant
        try:
            return request_key(body, url=str(request.url), headers=headers, tenant=tenant, namespace=namespace)
        except CanonicalError:  # JSON that has no canonical form, such as an integer beyond 2**53
            return None

    def _decoded(self, payload: bytes, encoding: str) -> bytes:
        try:
            response = self.library.Response(200, headers={"content-encoding": encoding}, content=payload)
        except self.library.DecodingError as error:
            raise ValueError(str(error)) from error
        content: bytes = response.content
        return content

    # -- an outcome becomes a response -----------------------------------------------------------------------------

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

    def refused(self, call: StreamCall, refused: RefusedError) -> Any:
        """Return the error response that was left when no retry helped."""
        head = refused.response
        return self.library.Response(
            head.status_code,
            headers=head.headers,
            stream=self.library.ByteStream(refused.body),
            extensions={**head.extensions, "hotloop": report(call, "bypass" if call.key is None else "miss")},
        )

    def absent(self, call: StreamCall) -> Any:
        """Return the response of the mode "only" where nothing is stored (RFC 9111, section 5.2.1.7)."""
        error = {
            "message": 'hotloop: nothing is stored for this request, and its mode is "only"',
            "type": "not_stored",
            "code": "not_stored",
        }
        body = orjson.dumps({"type": "error", "error": error})
        return self.library.Response(
            504,
            headers={
                "content-type": "application/json",
                "content-length": str(len(body)),
                "x-should-retry": "false",  # what the SDKs heed; asking again would not help
            },
            stream=self.library.ByteStream(body),
            extensions={"hotloop": report(call, "miss")},
        )


def report(call: StreamCall, cache: str, tier: str | None = None, age: float = 0.0) -> dict[str, Any]:
    """Return what a response tells about its way here."""
    return {"cache": cache, "tier": tier, "key": None if call.key is None else call.key.hex(), "age": age}


def tenant_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return what keeps the answers of one credential apart from those of others.

    It must be the same in every process that shares a tier, so it is keyed by a fixed word. It separates; it shows
    nobody a credential, because no tier holds it: it enters a key, which is a hash in its turn.
    """
    headers = [(name.lower(), value) for name, value in headers]
    found = [pair for pair in headers if pair[0] in _CREDENTIALS]
    if not found:  # beside a credential, a cookie is the load balancer's, and new every hour
        found = [pair for pair in headers if pair[0] in _COOKIE]
    return _hmac(b"".join(b"%d:%s%d:%s" % (len(n), n, len(v), v) for n, v in found)) if found else b""


@lru_cache(64)
def _hmac(credential: bytes) -> bytes:
    return hmac.digest(b"hotloop tenant 1", credential, "sha256")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asked to wait, or None."""
    try:
        if (millis := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(millis) / 1000)
        if (text := headers.get("retry-after")) is None:
            return None
        if text.strip().isdigit():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None


def _tokens(accepted: str) -> list[str]:
    return [token.partition(";")[0].strip().lower() for token in accepted.split(",")]


def _is_ours(name: bytes) -> bool:
    return name.startswith(PREFIX)
