"""Through the proxies that the environment names, on both wires."""

import base64
import sys
from urllib.parse import urlsplit

import pytest

from hotloop import LLMClient
from hotloop.calls import Retry
from hotloop.errors import ConfigError, ModelError
from support.origin import END, Origin, completion, delta, streamed
from support.proxy import Proxy

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def target(origin):
    parts = urlsplit(origin.root)
    return parts.hostname, parts.port


def client(url):
    return LLMClient("openai:m", base_url=url, api_key="sk-secret", retry=Retry(attempts=1))


async def test_plain_requests_and_streams_go_through_the_proxy(monkeypatch):
    with (
        Origin(completion(), streamed(delta(content="Hi"), delta("stop"), END)) as origin,
        Proxy(target(origin)) as proxy,
    ):
        monkeypatch.setenv("http_proxy", f"http://user:pass-word@{proxy.netloc}")
        async with client("http://model.test/v1") as llm:
            assert (await llm.chat(ASK)).text == "Hello"
            async with llm.stream(ASK) as events:
                assert [event async for event in events][-1].reply.text == "Hi"
    first = proxy.heads[0].decode().lower()
    assert first.startswith("post http://model.test/v1/chat/completions http/1.1")
    assert f"proxy-authorization: basic {base64.b64encode(b'user:pass-word').decode()}".lower() in first
    assert [request.headers["authorization"] for request in origin.requests] == ["Bearer sk-secret"] * 2


async def test_hosts_that_no_proxy_names_are_asked_directly(monkeypatch):
    with Origin() as origin, Proxy(target(origin)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.netloc}")
        monkeypatch.setenv("no_proxy", "model.test")
        async with client("http://model.test:1/v1") as llm:
            with pytest.raises(ModelError, match=r"model\.test"):
                await llm.chat(ASK)
    assert not proxy.heads


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_is_told_without_its_password(monkeypatch, scheme):
    with Proxy(("127.0.0.1", 1), REFUSED) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:pass-word@{proxy.netloc}")
        async with client(f"{scheme}://model.test/v1") as llm:
            with pytest.raises(ModelError) as caught:
                await llm.chat(ASK)
    assert len(proxy.heads) == 1
    seen, error = [], caught.value
    while error is not None:
        seen.append(f"{error} {error!r}")
        error = error.__cause__ or error.__context__
    assert "pass-word" not in " ".join(seen)
    assert "sk-secret" not in " ".join(seen)


async def test_a_proxy_that_is_not_there_is_a_connection_that_was_not_made(monkeypatch):
    with Proxy(("127.0.0.1", 1)) as proxy:
        gone = proxy.netloc
    monkeypatch.setenv("http_proxy", f"http://user:pass-word@{gone}")
    async with client("http://model.test/v1") as llm:
        with pytest.raises(ModelError, match="could not be reached") as caught:
            await llm.chat(ASK)
    assert not caught.value.acted
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("wire", ["httpx2"], indirect=True)
async def test_a_proxy_that_needs_another_package_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    async with client("http://model.test/v1") as llm:
        with pytest.raises(ConfigError, match=r"proxy .*httpx2\[socks\]"):
            await llm.chat(ASK)


@pytest.mark.parametrize("wire", ["httpx2"], indirect=True)
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_used_are_told(monkeypatch, tmp_path, content):
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with client("https://model.test/v1") as llm:
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            await llm.chat(ASK)
