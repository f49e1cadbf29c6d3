"""Which requests are questions, and what they say of chance."""

import json

import pytest

from hotloop.http.asks import Wish, ask_of, wish_of
from support.bodies import PATHS, ask


@pytest.mark.parametrize("endpoint", PATHS)
@pytest.mark.parametrize("base", ["", "/openai", "/a/b/c", "/openai/deployments/gpt"])
@pytest.mark.parametrize("end", ["", "/"])
def test_endpoints_are_known_at_any_base_url(endpoint, base, end):
    found = ask_of(base + PATHS[endpoint] + end, json.dumps(ask(endpoint)).encode())
    assert (found.endpoint, found.deterministic, found.pure) == (endpoint, True, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", ask("chat")),
        ("/v1/completions", ask("chat")),
        ("/v1/responses/r1/cancel", ask("responses")),
        ("/v1/messages/batches", ask("messages")),
        ("/v1/messages/count_tokens", ask("messages")),
        ("/v1/threads/t/messages", {"role": "user", "content": "x"}),
        ("/v1/chat/completions", ask("embeddings")),
        ("/v1/chat/completions", []),
        ("/v1/chat/completions", "messages"),
        ("/v1/chat/completions", None),
    ],
)
def test_everything_else_is_none(path, body):
    assert ask_of(path, json.dumps(body).encode()) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"messages": NaN}', b"[" * 10_000])
def test_what_is_no_json_is_none(body):
    assert ask_of("/v1/chat/completions", body) is None


@pytest.mark.parametrize(
    ("fields", "deterministic"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": -0.0}, True),
        ({"seed": 0}, True),
        ({"seed": 7, "temperature": 1}, True),
        ({}, False),
        ({"seed": None}, False),
        ({"temperature": None}, False),
        ({"temperature": False}, False),
        ({"temperature": "0"}, False),
        ({"temperature": 1e-9}, False),
        ({"top_p": 0}, False),
    ],
)
def test_what_says_that_it_is_no_matter_of_chance(fields, deterministic):
    body = {"messages": [], **fields}
    assert ask_of("/chat/completions", json.dumps(body).encode()).deterministic is deterministic


@pytest.mark.parametrize(
    ("fields", "pure"),
    [
        ({"tools": []}, True),
        ({"tools": None}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, True),
        ({"tools": [{"name": "f", "input_schema": {}}]}, True),
        ({"tools": [{"type": "custom", "name": "f"}, {"type": "bash_20250124", "name": "bash"}]}, True),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, False),
        ({"tools": [{"type": "code_execution_20250522", "name": "c"}]}, False),
        ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, False),
        ({"mcp_servers": [{"url": "https://x"}]}, False),
        ({"background": True}, False),
        ({"background": False}, True),
        ({"conversation": "c1"}, False),
        ({"web_search_options": {"search_context_size": "low"}}, False),
        ({"web_search_options": {}}, False),
        ({"prompt": {"id": "p"}}, False),
        ({"previous_response_id": "resp_1"}, False),
        ({"store": True}, False),
        ({"store": False}, True),
        ({"plugins": [{"id": "web"}]}, False),
        ({"search_parameters": {"mode": "auto"}}, False),
        ({"tools": [{"google_search": {}}]}, False),
        ({"tools": [{"function": {"name": "f"}}]}, True),
        ({"tools": [7]}, False),
        ({"model": "openai/gpt-4o:online"}, False),
        ({"model": "gpt-4o-search-preview"}, False),
        ({"model": "gpt-4o"}, True),
    ],
)
def test_what_lets_the_provider_act(fields, pure):
    body = {"input": "x", **fields}
    assert ask_of("/responses", json.dumps(body).encode()).pure is pure


def test_wishes_of_the_extension_win_over_those_of_headers():
    headers = {"x-hotloop-mode": "bypass", "X-Hotloop-TTL": "5", "other": "x", "x-hotloop-sampled": "True"}
    assert wish_of({"hotloop": {"mode": "refresh", "stale": 3}}, headers) == Wish("refresh", 5.0, None, 3.0, True)
    assert wish_of({}, {}) == Wish()
