"""The forms that providers' batch APIs have: what is sent there, and what comes back."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from ...errors import ModelError, ModelResponseError, ModelStatusError
from ..text import brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .anthropic import AnthropicProvider
    from .openai import HostedByOpenAI

__all__ = ["AnthropicDesk", "Desk", "Form", "OpenAIDesk", "Progress"]

_OURS = {"made_by": "hotloop"}
"""Marks the batches whose input was uploaded for them alone, and may go with them."""


class Form(NamedTuple):
    """One HTTP request."""

    method: str
    url: str
    body: bytes = b""
    kind: str = "application/json"


class Progress(NamedTuple):
    """How far a batch is.

    Attributes:
        done: whether it has ended.
        results: the requests that give its results, where it has.
        after: the requests that clear up, once its results are taken.
        why: what is to be said of requests without a result.
    """

    done: bool
    results: tuple[Form, ...] = ()
    why: str = ""
    after: tuple[Form, ...] = ()


class Desk(Protocol):
    """A batch API; it encodes and decodes, and does nothing else.

    Attributes:
        most: requests in one batch at most.
        size: bytes of them at most.
    """

    most: int
    size: int

    def upload(self, lines: Sequence[bytes]) -> Form | None:
        """Return the request that stores the input of a batch; None where a batch brings it itself."""

    def create(self, lines: Sequence[bytes], uploaded: Any) -> Form:
        """Return the request that starts a batch; `uploaded` is what the upload said."""

    def line(self, identity: str, body: dict[str, Any]) -> bytes:
        """Return one request of a batch."""

    def ask(self, batch: str) -> Form:
        """Return the request that asks how far a batch is."""

    def progress(self, batch: str, said: Any) -> Progress:
        """Return how far it is."""

    def results(self, raw: bytes) -> Iterator[tuple[str, bytes | ModelError]]:
        """Yield for each result the identity of its request, and its body or the error that it ended with."""


class OpenAIDesk:
    """OpenAI's: an uploaded file of requests, a batch, and files of results and of errors."""

    most = 50_000
    size = 190 << 20

    def __init__(self, provider: HostedByOpenAI) -> None:
        from .openai import endpoint

        self._secrets = provider.secrets
        self._path = f"/v1/{provider.path}"
        self._files = endpoint(provider.base, "files")
        self._batches = endpoint(provider.base, "batches")

    def line(self, identity: str, body: dict[str, Any]) -> bytes:
        """Return one line of the file."""
        return orjson.dumps({"custom_id": identity, "method": "POST", "url": self._path, "body": body})

    def upload(self, lines: Sequence[bytes]) -> Form:
        """Return the upload of the file, as a form with two fields."""
        mark = token_hex(16)
        field = f'--{mark}\r\ncontent-disposition: form-data; name="'
        head = (
            f'{field}purpose"\r\n\r\nbatch\r\n{field}file"; filename="batch.jsonl"\r\ncontent-type: application/jsonl'
        )
        body = b"".join((f"{head}\r\n\r\n".encode(), b"\n".join(lines), f"\n\r\n--{mark}--\r\n".encode()))
        return Form("POST", self._files, body, f"multipart/form-data; boundary={mark}")

    def create(self, lines: Sequence[bytes], uploaded: Any) -> Form:  # noqa: ARG002
        """Return the start of the batch."""
        batch = {"input_file_id": _identity(uploaded), "endpoint": self._path, "completion_window": "24h"}
        return Form("POST", self._batches, orjson.dumps({**batch, "metadata": _OURS}))

    def ask(self, batch: str) -> Form:
        """Return the question how far it is."""
        return Form("GET", _below(self._batches, batch))

    def progress(self, batch: str, said: Any) -> Progress:
        """Return how far it is."""
        status = said.get("status")
        if status not in ("completed", "failed", "expired", "cancelled"):
            return Progress(done=False)
        files = [said[name] for name in ("output_file_id", "error_file_id") if said.get(name)]
        errors = (said.get("errors") or {}).get("data") or ()
        detail = "; ".join(str(error.get("message")) for error in errors[:3])
        why = f"the batch {batch} ended without an answer to this request ({status}{': ' if detail else ''}"
        results = tuple(Form("GET", _below(self._files, f"{file}/content")) for file in files)
        ours = said.get("metadata") == _OURS and isinstance(said.get("input_file_id"), str)
        after = (Form("DELETE", _below(self._files, said["input_file_id"])),) if ours else ()
        return Progress(True, results, f"{why}{brief(detail, self._secrets)})", after)

    def results(self, raw: bytes) -> Iterator[tuple[str, bytes | ModelError]]:
        """Yield what the lines of a file of results say."""
        for result in _lines(raw):
            response, error = result.get("response") or {}, result.get("error")
            status = response.get("status_code")
            if error is not None and not response:
                text = (
                    f"the batch has no answer: {brief(str(error.get('message') or error.get('code')), self._secrets)}"
                )
                yield result["custom_id"], ModelResponseError(text)
            elif status != 200:
                said = (response.get("body") or {}).get("error") or error or {}
                text = f"the server refused a request of the batch ({status}): "
                text += brief(str(said.get("message") or said), self._secrets)
                yield result["custom_id"], ModelStatusError(text, int(status or 500))
            else:
                yield result["custom_id"], orjson.dumps(response["body"])


class AnthropicDesk:
    """Anthropic's: a batch that brings its requests, and its results."""

    most = 100_000
    size = 240 << 20

    def __init__(self, provider: AnthropicProvider) -> None:
        self._secrets = provider.secrets
        self._batches = _below(provider.identity, "batches")

    def line(self, identity: str, body: dict[str, Any]) -> bytes:
        """Return one request."""
        return orjson.dumps({"custom_id": identity, "params": body})

    def upload(self, lines: Sequence[bytes]) -> None:
        """Nothing is uploaded."""

    def create(self, lines: Sequence[bytes], uploaded: Any) -> Form:  # noqa: ARG002
        """Return the start of the batch."""
        return Form("POST", self._batches, b'{"requests":[%b]}' % b",".join(lines))

    def ask(self, batch: str) -> Form:
        """Return the question how far it is."""
        return Form("GET", _below(self._batches, batch))

    def progress(self, batch: str, said: Any) -> Progress:
        """Return how far it is; the URL of its results is made here, because the key must go nowhere else."""
        if said.get("processing_status") != "ended":
            return Progress(done=False)
        results = (Form("GET", _below(self._batches, f"{batch}/results")),)
        return Progress(True, results, f"the batch {batch} ended without an answer to this request")

    def results(self, raw: bytes) -> Iterator[tuple[str, bytes | ModelError]]:
        """Yield what the lines of the results say."""
        from .anthropic import reported

        for line in _lines(raw):
            result = line["result"]
            kind = result["type"]
            if kind == "succeeded":
                yield line["custom_id"], orjson.dumps(result["message"])
            elif kind == "errored":
                error = result.get("error") or {}
                yield line["custom_id"], reported(error.get("error") or error, self._secrets)
            else:
                yield (
                    line["custom_id"],
                    ModelResponseError(f"the batch ended before this request was answered ({kind})"),
                )


def _lines(raw: bytes) -> Iterator[Any]:
    for line in raw.splitlines():
        if line.strip():
            yield orjson.loads(line)


def _identity(said: Any) -> str:
    identity = said.get("id") if isinstance(said, dict) else None
    if not isinstance(identity, str):
        raise ModelResponseError(f"the server's answer holds no identifier: {brief(orjson.dumps(said))!r}")
    return identity


def _below(url: str, path: str) -> str:
    """Return the URL of `path` below another, whose query is kept."""
    address, mark, query = url.partition("?")
    return f"{address}/{path}{mark}{query}"
