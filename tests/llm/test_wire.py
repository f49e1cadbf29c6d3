"""What both wires do below the client: encryption, threads, connections; and what is said where one is missing."""

import asyncio
import http.server
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest

from hotloop import Config, LLMClient
from hotloop.calls import Retry
from hotloop.errors import MissingExtraError, ModelConnectionError, ModelError, ModelStatusError
from support.bodies import answer
from support.faults import Faulty, whole
from support.http2 import Http2
from support.origin import Origin
from support.proxy import Proxy

ASK = [{"role": "user", "content": "Hi"}]
WIRES = ("httpx2", "pyreqwest")


def client(url, wire, **settings):
    config = Config().replace(llm_client={"wire": wire, **settings}, response_cache={"enabled": False})
    return LLMClient("openai:m", base_url=url, config=config, retry=Retry(attempts=1))


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with a certificate that nobody has signed but itself; gives its URL and the certificate's file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:model.test"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *subject]
    subprocess.run([*make, "-addext", "basicConstraints=critical,CA:FALSE"], check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"choices": [{"message": {"content": "Hello"}}]}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # clients that refuse the certificate
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://localhost:{server.server_port}/v1", certificate
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_certificate_must_be_known(secure, wire, monkeypatch):
    url, certificate = secure
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with client(url, wire) as llm:
        with pytest.raises(ModelConnectionError, match="could not be reached") as caught:
            await llm.chat(ASK)
        assert not caught.value.acted
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with client(url, wire) as llm:
        assert (await llm.chat(ASK)).text == "Hello"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", [b"x-ratelimit-limit-requests", b"retry-after", b"content-type"])
async def test_a_header_that_is_no_text_is_not_there(wire, name):
    (good,) = whole(answer("chat"))
    odd = good.replace(b"\r\n", b"\r\n" + name + b": \xe9\xff\r\n", 1)
    with Faulty([odd]) as server:
        async with client(server.url, wire) as llm:
            assert (await llm.chat(ASK)).text == "hello"
            server.script([odd.replace(b"200 OK", b"429 Too Many Requests")])
            with pytest.raises(ModelStatusError):
                await llm.chat(ASK)


@pytest.mark.parametrize("wire", WIRES)
async def test_http_2_is_spoken_where_it_is_asked_for(secure, wire, monkeypatch):
    _, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    body = b'{"choices": [{"message": {"content": "Hello"}}]}'
    with Http2(certificate, certificate.with_name("key.pem"), body) as server:
        async with client(server.url, wire, http2=True) as llm:
            found = await asyncio.gather(*(llm.chat([{"role": "user", "content": f"{n}"}]) for n in range(8)))
            assert [reply.text for reply in found] == ["Hello"] * 8
        assert server.paths == ["/v1/chat/completions"] * 8
        before = server.connections
        async with client(server.url, wire) as llm:
            with pytest.raises(ModelError):  # the server speaks nothing else
                await llm.chat(ASK)
        assert server.connections == before


@pytest.mark.parametrize("wire", WIRES)
async def test_an_encrypted_request_goes_through_a_tunnel(secure, wire, monkeypatch):
    url, certificate = secure
    parts = urlsplit(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Proxy((parts.hostname, parts.port)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy.netloc}")
        async with client("https://model.test/v1", wire) as llm:
            assert (await llm.chat(ASK)).text == "Hello"
    assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"CONNECT model.test:443 HTTP/1.1"]


@pytest.mark.parametrize("wire", WIRES)
def test_a_client_works_in_several_threads_at_once(wire):
    with Faulty(whole(answer("chat", "Hello"))) as origin:
        llm, texts = client(origin.url, wire), []

        async def ask():
            found = await asyncio.gather(*(llm.chat(ASK) for _ in range(8)))
            texts.extend(reply.text for reply in found)
            await llm.aclose()

        threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["Hello"] * 32


@pytest.mark.parametrize("wire", WIRES)
async def test_calls_with_patience_of_their_own(wire):
    with Origin() as origin:
        async with client(origin.url, wire) as llm:
            for n in range(20):
                assert (await llm.chat(ASK, timeout=10.0 + n)).text == "Hello"


@pytest.mark.parametrize("wire", WIRES)
def test_a_client_that_was_closed_works_on_in_that_loop_and_in_others(wire):
    with Origin() as origin:
        llm = client(origin.url, wire)

        async def ask():
            for _ in range(2):
                assert (await llm.chat(ASK)).text == "Hello"
                await llm.aclose()

        for _ in range(2):
            asyncio.run(ask())


def test_a_wire_that_is_not_installed_is_said_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyreqwest.client", None)
    monkeypatch.delitem(sys.modules, "hotloop.llm.wire.fast", raising=False)
    with pytest.raises(MissingExtraError, match=r"hotloop\[fast\]"):
        client("http://h", "pyreqwest")
