"""An HTTP error of a model's server, as one clear line."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import orjson

from ..calls.headers import retry_after
from ..errors import ModelStatusError
from .text import Secrets, brief

if TYPE_CHECKING:
    from .providers import Provider
    from .wire import Answer

__all__ = ["status_error"]


def status_error(answer: Answer, provider: Provider, url: str) -> ModelStatusError:
    """Return the exception for a response that is no success."""
    status = answer.status
    where = url.partition("?")[0]
    said = _detail(answer, provider.secrets)
    detail = f": {said}" if said else ""
    wait = None
    if status in (401, 403):
        refused = "refused the key" if provider.credential else "wants a key"
        variable = provider.key_variable
        text = f"{where} {refused} ({status}){detail}" + (f"; check {variable}, or api_key" if variable else "")
    elif status == 404:
        text = (
            f"{where} knows no model {provider.model!r}, or is no such server (404){detail}; check model and base URL"
        )
    elif status == 429:
        wait = retry_after(answer.headers, time())
        asked = f" and asks to wait {wait:g} s" if wait is not None else ""
        text = f"{where} has had too many requests (429){asked}{detail}"
    elif 300 <= status < 400:
        there = brief(answer.headers.get("location") or "nowhere", provider.secrets)
        text = f"{where} points elsewhere ({status}), to {there}; correct the base URL"
    elif status >= 500:
        wait = retry_after(answer.headers, time())
        text = f"{where} failed ({status}){detail}"
    else:
        text = f"{where} refused the request ({status}){detail}"
    return ModelStatusError(text, status, wait)


def _detail(answer: Answer, secrets: Secrets) -> str:
    """Return what the server says of its error."""
    try:
        said: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        if bytes(answer.body[:200]).lstrip()[:1] == b"<":
            return "an HTML page"
        return brief(answer.body, secrets)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    return brief(said if isinstance(said, str) else orjson.dumps(said), secrets)
