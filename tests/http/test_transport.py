"""What the transports serve, store, tell and pass on."""

import gzip
import json
import sqlite3
import threading

import pytest

from hotloop import Config, MemoryCache, Retry, SqliteCache, TieredCache, request_key
from hotloop.cache import Hit, Record
from hotloop.calls import Limits
from support.bodies import PATHS, STREAMING, answer, ask, events
from support.callers import KINDS, Caller
from support.faults import Faulty, Seen, chunked, head, whole

CHAT = PATHS["chat"]
SDK = {"x-stainless-retry-count": "0"}


def counted(seen: Seen, endpoint: str = "chat"):
    """A new answer to each request."""
    counted.number += 1
    return whole(answer(endpoint, f"answer {counted.number}"))


counted.number = 0


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def states(caller, server, *bodies, **options):
    return [caller.post(server.root + CHAT, body, **options).hotloop["cache"] for body in bodies]


@pytest.mark.parametrize("endpoint", PATHS)
def test_an_answer_is_served_again_byte_by_byte(kind, endpoint):
    steps = whole(
        answer(endpoint), x_request_id="r1", set_cookie="a=b", x_ratelimit_remaining_requests=3, x_unheard_of="x",
        date="Wed, 21 Oct 2026 07:28:00 GMT",
    )  # fmt: skip
    with Faulty(steps) as server, Caller(kind) as hot:
        url, key = server.root + PATHS[endpoint], {"authorization": "Bearer k"}
        first, second = hot.post(url, ask(endpoint), headers=key), hot.post(url, ask(endpoint), headers=key)
    assert (first.hotloop["cache"], first.hotloop["tier"], first.hotloop["age"]) == ("miss", None, 0.0)
    assert (second.hotloop["cache"], second.hotloop["tier"]) == ("hit", "memory")
    assert second.hotloop["key"] == first.hotloop["key"]
    assert (second.status, second.raw, len(server.requests)) == (200, first.raw, 1)
    assert dict(first.headers)["x-unheard-of"] == "x"
    assert sorted(dict(second.headers)) == ["age", "content-length", "content-type", "date", "x-request-id"]
    assert dict(second.headers).items() >= {"x-request-id": "r1", "content-length": str(len(first.raw))}.items()


@pytest.mark.parametrize("endpoint", STREAMING)
def test_a_stream_is_served_again_byte_by_byte(kind, endpoint):
    pieces = events(endpoint)
    with Faulty(chunked(*pieces)) as server, Caller(kind) as hot:
        url = server.root + PATHS[endpoint]
        first, second = (hot.post(url, ask(endpoint, stream=True)) for _ in range(2))
    assert (first.hotloop["cache"], second.hotloop["cache"], len(server.requests)) == ("miss", "hit", 1)
    assert first.raw == second.raw == b"".join(pieces)
    assert dict(second.headers)["content-type"] == "text/event-stream"


def test_content_encoding_is_kept(kind):
    packed = gzip.compress(json.dumps(answer("chat")).encode())
    with Faulty(whole(packed, content_encoding="gzip")) as server, Caller(kind) as hot:
        first, second = (hot.post(server.root + CHAT, ask("chat")) for _ in range(2))
        assert first.raw == second.raw == packed
        assert first.content == second.content == json.dumps(answer("chat")).encode()
        assert second.hotloop["cache"] == "hit"
        other = hot.post(server.root + CHAT, ask("chat"), headers={"accept-encoding": "identity"})
        assert (other.hotloop["cache"], len(server.requests)) == ("miss", 2)


def test_everything_that_can_change_the_answer_is_in_the_key(kind):
    with Faulty(counted) as server, Caller(kind) as hot:
        body, url = ask("chat"), server.root + CHAT
        variants = [
            (url, body, {}),
            (url, {**body, "temperature": 0, "never_heard_of": 1}, {}),
            (url, {**body, "seed": 7}, {}),
            (url, {**body, "stream": False}, {}),
            (url + "?api-version=1", body, {}),
            (server.root + "/other" + CHAT, body, {}),
            (url, body, {"authorization": "Bearer a"}),
            (url, body, {"authorization": "Bearer b"}),
            (url, body, {"x-api-key": "a"}),
            (url, body, {"cookie": "session=a"}),
            (url, body, {"openai-organization": "o"}),
            (url, body, {"x-hotloop-namespace": "n"}),
        ]
        first = [hot.post(u, b, headers=h) for u, b, h in variants]
        assert [got.hotloop["cache"] for got in first] == ["miss"] * len(variants)
        assert len({got.hotloop["key"] for got in first}) == len(variants)
        again = [hot.post(u, b, headers=h) for u, b, h in variants]
        assert [got.raw for got in again] == [got.raw for got in first]
        telemetry = {"x-stainless-retry-count": "1", "user-agent": "other", "idempotency-key": "i", "traceparent": "t"}
        assert hot.post(url, dict(reversed(body.items())), headers=telemetry).raw == first[0].raw
        assert len(server.requests) == len(variants)


def test_the_key_is_the_public_one():
    with Faulty(counted) as server, Caller("httpx2-sync", tenant="team") as hot:
        got = hot.post(server.root + CHAT, ask("chat"))
        headers = {"accept": "*/*", "content-type": "application/json"}
        key = request_key(ask("chat"), url=server.root + CHAT, headers=headers, tenant=b"team")
        assert got.hotloop["key"] == key.hex()


def test_one_tenant_may_have_several_credentials(kind):
    with Faulty(counted) as server, Caller(kind, tenant="team") as hot:
        for credential in ("a", "b"):
            hot.post(server.root + CHAT, ask("chat"), headers={"authorization": f"Bearer {credential}"})
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": []},
        ask("chat", temperature=0.7),
        ask("chat", temperature=None),
        ask("chat", web_search_options={"x": 1}),
        ask("chat", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        ask("chat", big=2**60 + 1),
    ],
)
def test_what_is_a_matter_of_chance_is_asked_each_time(kind, body):
    with Faulty(counted) as server, Caller(kind) as hot:
        assert states(hot, server, body, body, headers=SDK) == ["bypass"] * 2
        assert states(hot, server, body, body) == ["bypass"] * 2  # also where the transport would retry
        assert len(server.requests) == 4


def test_chance_is_stored_where_that_is_asked_for(kind):
    config = Config().replace(response_cache={"cache_sampled": True, "disk": False})
    with Faulty(counted) as server, Caller(kind, config=config) as hot:
        body = ask("chat", temperature=1, tools=[{"type": "function", "function": {"name": "f"}}])
        assert states(hot, server, body, body) == ["miss", "hit"]


def test_chance_is_stored_where_one_request_asks_for_it(kind):
    with Faulty(counted) as server, Caller(kind) as hot:
        body = ask("chat", temperature=1)
        assert states(hot, server, body, body, headers={"x-hotloop-sampled": "true"}) == ["miss", "hit"]
        assert states(hot, server, body, extensions={"hotloop": {"sampled": True}}) == ["hit"]
        assert states(hot, server, body) == ["bypass"]


def test_the_cache_can_be_turned_off(kind):
    config = Config().replace(response_cache={"enabled": False, "single_flight": False})
    with Faulty(counted) as server, Caller(kind, config=config) as hot:
        assert states(hot, server, ask("chat"), ask("chat")) == ["bypass"] * 2
        assert len(server.requests) == 2


# -- what a request may ask for


@pytest.mark.parametrize("how", ["extension", "header"])
def test_modes(kind, how):
    def say(**wish):
        if how == "extension":
            return {"extensions": {"hotloop": wish}}
        return {"headers": {f"X-Hotloop-{name}": str(value) for name, value in wish.items()}}

    with Faulty(counted) as server, Caller(kind) as hot:
        url, body = server.root + CHAT, ask("chat")
        absent = hot.post(url, body, **say(mode="only"))
        assert (absent.status, len(server.requests)) == (504, 0)
        assert dict(absent.headers)["x-should-retry"] == "false"
        assert "nothing is stored" in json.loads(absent.raw)["error"]["message"]
        first = hot.post(url, body, **say(mode="use"))
        passed = hot.post(url, body, **say(mode="bypass"))
        assert (passed.hotloop["cache"], passed.raw != first.raw) == ("bypass", True)
        assert hot.post(url, body).raw == first.raw
        new = hot.post(url, body, **say(mode="refresh"))
        assert (new.hotloop["cache"], new.raw != first.raw) == ("miss", True)
        only = hot.post(url, body, **say(mode="only"))
        assert (only.status, only.raw, only.hotloop["cache"]) == (200, new.raw, "hit")
        assert len(server.requests) == 3
        assert not [name for seen in server.requests for name in seen.headers if "hotloop" in name]
        assert all(seen.body == body for seen in server.requests)


@pytest.mark.parametrize(
    ("said", "state"), [("no-store", "bypass"), ("no-cache", "miss"), ("max-age=0, no-store", "bypass")]
)
def test_cache_control_of_the_request_is_heeded(kind, said, state):
    with Faulty(counted) as server, Caller(kind) as hot:
        url = server.root + CHAT
        hot.post(url, ask("chat"))
        assert hot.post(url, ask("chat"), headers={"cache-control": said}).hotloop["cache"] == state
        assert len(server.requests) == 2
        last = hot.post(url, ask("chat"), headers={"cache-control": "only-if-cached"})
        assert (last.status, last.hotloop["cache"]) == (200, "hit")
        assert last.raw == hot.post(url, ask("chat")).raw
        assert len(server.requests) == 2


@pytest.mark.parametrize("named", ["cache-control", "pragma"])
def test_what_is_asked_of_caches_renews_the_answer_that_others_get(kind, named):
    with Faulty(counted) as server, Caller(kind) as hot:
        url = server.root + CHAT
        old = hot.post(url, ask("chat")).raw
        new = hot.post(url, ask("chat"), headers={"cache-control": "no-cache", named: "no-cache"}).raw
        assert new != old
        assert hot.post(url, ask("chat")).raw == new


def test_only_never_asks_the_server_whatever_else_is_said(kind):
    with Faulty(counted) as server, Caller(kind) as hot:
        url = server.root + CHAT
        for body in (ask("chat"), ask("chat", temperature=1), ask("chat", big=2**60 + 1)):
            for headers in (
                {"cache-control": "only-if-cached"},
                {"x-hotloop-mode": "only", "cache-control": "no-store"},
                {"x-hotloop-mode": "only", "cache-control": "no-cache"},
            ):
                assert hot.post(url, body, headers=headers).status == 504
        assert not server.requests


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"mode": "never"}, "mode 'never' does not exist"),
        ({"ttl": "soon"}, "ttl is 'soon'"),
        ({"ttl": -1}, "ttl is -1"),
        ({"ttl": True}, "ttl is True"),
        ({"stale": "nan"}, "stale is 'nan'"),
        ({"colour": 1}, '"colour" is nothing that can be asked'),
        ({"namespace": 1}, "namespace 1 is no string"),
        ({"sampled": "maybe"}, "sampled is 'maybe'"),
        ("use", "must be a mapping"),
    ],
)
def test_a_wish_that_cannot_be_had_is_the_librarys_error(kind, wish, said):
    with Faulty(counted) as server, Caller(kind) as hot:
        got = hot.post(server.root + CHAT, ask("chat"), extensions={"hotloop": wish})
        assert got.error.startswith("LocalProtocolError: hotloop: ")
        assert said in got.error
        assert not server.requests


class Clock:
    """A cache whose time stands until it is moved."""

    def __init__(self):
        self.now = 1000.0
        self.cache = MemoryCache(epoch=lambda: self.now)


def test_time_to_live(kind):
    clock = Clock()
    with Faulty(counted) as server, Caller(kind, cache=clock.cache) as hot:
        url = server.root + CHAT
        hot.post(url, ask("chat"), extensions={"hotloop": {"ttl": 60}})
        clock.now += 59
        assert hot.post(url, ask("chat")).hotloop["cache"] == "hit"
        clock.now += 2
        assert hot.post(url, ask("chat")).hotloop["cache"] == "miss"


def test_namespaces_are_cleared_by_themselves():
    cache = MemoryCache()
    with Faulty(counted) as server, Caller("httpx2-async", cache=cache) as hot:
        url = server.root + CHAT
        for namespace in ("a", "b"):
            hot.post(url, ask("chat"), extensions={"hotloop": {"namespace": namespace}})
        hot._runner.run(cache.clear("a"))
        found = [
            hot.post(url, ask("chat"), extensions={"hotloop": {"namespace": n, "mode": "only"}}).status for n in "ab"
        ]
        assert found == [504, 200]


# -- what passes through


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/v1/models", {}),
        ("HEAD", "/v1/models", {}),
        ("DELETE", "/v1/files/1", {}),
        ("POST", "/v1/files", {"files": {"file": b"x" * 100_000}}),
        ("POST", "/v1/images/generations", {"json": {"temperature": 0, "input": "x"}}),
        ("POST", "/v1/threads/t/messages", {"json": {"role": "user", "content": "x", "temperature": 0}}),
        ("POST", CHAT, {"content": b"no JSON"}),
        ("POST", CHAT, {"content": b"[1]"}),
        ("POST", CHAT, {"content": b""}),
        ("POST", CHAT, {"content": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}}),
    ],
)
def test_everything_else_passes_untouched(kind, method, path, options):
    options = {**options, "headers": {**options.get("headers", {}), "content-type": "multipart/form-data; boundary=b"}}
    steps = [head(content_length=0 if method == "HEAD" else 2) + (b"" if method == "HEAD" else b"ok")]
    with Faulty(steps) as server, Caller(kind, hot=False) as bare, Caller(kind) as hot:
        want, *got = (
            one.send(one.client.build_request(method, server.root + path, **options)) for one in (bare, hot, hot)
        )
        assert [one.plain for one in got] == [want.plain] * 2
        assert got[0].hotloop is None
        assert len({(one.path, str(one.headers), one.raw) for one in server.requests}) == 1


def test_a_body_that_comes_piece_by_piece_passes_untouched(kind):
    body = json.dumps(ask("chat")).encode()

    async def asynchronously():
        yield body[:10]
        yield body[10:]

    with Faulty(counted) as server, Caller(kind) as hot:
        content = asynchronously() if hot.asynchronous else iter([body[:10], body[10:]])
        request = hot.client.build_request(
            "POST",
            server.root + CHAT,
            content=content,
            headers={"content-length": str(len(body)), "x-hotloop-ttl": "1"},
        )
        got = hot.send(request)
        assert (got.status, got.hotloop, server.requests[0].raw) == (200, None, body)
        assert "x-hotloop-ttl" not in server.requests[0].headers


def test_a_request_that_was_redirected_is_stored_as_any_other(kind):
    def moved(seen):
        return whole(b"", "307 Temporary Redirect", location=CHAT) if seen.path == "/old" + CHAT else counted(seen)

    with Faulty(moved) as server, Caller(kind) as hot:
        hot.client.follow_redirects = True
        got = [hot.post(server.root + "/old" + CHAT, ask("chat")) for _ in range(2)]
        assert [one.hotloop["cache"] for one in got] == ["miss", "hit"]
        assert [one.path for one in server.requests] == ["/old" + CHAT, CHAT, "/old" + CHAT]
        assert server.requests[1].body == ask("chat")


# -- retries


def test_the_transport_retries_where_nobody_above_does(kind):
    def flaky(seen):
        return whole({"error": {}}, "503 Unavailable", retry_after=0) if len(server.requests) < 3 else counted(seen)

    with Faulty(flaky) as server, Caller(kind, retry=Retry(attempts=3, base=0.0)) as hot:
        assert hot.post(server.root + CHAT, ask("chat")).status == 200
        assert len(server.requests) == 3


def test_the_transport_leaves_retries_to_the_sdk_above(kind):
    with Faulty(whole({"error": {}}, "503 Unavailable", retry_after=0)) as server:
        with Caller(kind, retry=Retry(attempts=3, base=0.0)) as hot:
            assert hot.post(server.root + CHAT, ask("chat"), headers=SDK).status == 503
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [ask("chat"), ask("chat", temperature=1)])
def test_what_no_retry_helped_is_given_as_it_came(kind, body):
    steps = whole({"error": {"message": "m"}}, "429 Too Many Requests", retry_after=0, x_y="z")
    with Faulty(steps) as server, Caller(kind, hot=False) as bare:
        want = bare.post(server.root + CHAT, body)
        with Caller(kind, retry=Retry(attempts=2, base=0.0)) as hot:
            got = hot.post(server.root + CHAT, body)
        assert got.plain == want.plain
        assert len(server.requests) == 3


@pytest.mark.parametrize("body", [ask("chat"), ask("chat", temperature=1)])
def test_a_server_that_is_not_there_is_tried_again_and_then_the_librarys_error(kind, body):
    with Faulty(counted) as server:
        url = server.root + CHAT
    with Caller(kind, retry=Retry(attempts=2, base=0.0)) as hot:
        assert hot.post(url, body).error.startswith("ConnectError: ")


# -- the disk


def test_answers_outlive_the_process_and_show_no_secret(kind, tmp_path):
    path = tmp_path / "cache.db"
    secret = {"authorization": "Bearer sk-very-secret", "cookie": "session=very-secret", "x-api-key": "sk-very-secret"}
    with Faulty(whole(answer("chat"), set_cookie="sid=very-secret")) as server:
        for state, tier in (("miss", None), ("hit", "sqlite")):
            cache = TieredCache([MemoryCache(), SqliteCache(path)])
            with Caller(kind, cache=cache) as hot:
                got = hot.post(server.root + CHAT, ask("chat"), headers=secret)
                assert (got.hotloop["cache"], got.hotloop["tier"]) == (state, tier)
                if hot.asynchronous:
                    hot._runner.run(cache.aclose())
                else:
                    cache.tiers[1]._thread.submit(cache.tiers[1]._db.close).result()
                    cache.tiers[1]._thread.shutdown()
    with sqlite3.connect(path) as db:
        dump = "\n".join(db.iterdump())
    db.close()
    assert "very-secret" not in dump
    assert b"very-secret".hex() not in dump.lower()
    assert "very-secret" not in repr(vars(hot.transport))


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoding_that_is_not_accepted_is_not_served(kind):
    packed = whole(gzip.compress(json.dumps(answer("chat")).encode()), content_encoding="gzip")
    plain = whole(answer("chat"))
    accepts = {"gzip": True, "deflate, gzip;q=0.5": True, "gzip;q=0": False, "identity": False, "br, GZIP;Q=0.0": False}
    with Faulty(packed) as server, Caller(kind) as hot:
        for accepted, served in accepts.items():
            server.script(packed)
            hot.post(server.root + CHAT, ask("chat"), headers={"accept-encoding": "gzip", "x-hotloop-mode": "refresh"})
            server.script(plain)
            got = hot.post(server.root + CHAT, ask("chat"), headers={"accept-encoding": accepted})
            assert (got.hotloop["cache"] == "hit", got.content) == (served, json.dumps(answer("chat")).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_varies_is_served_to_its_like(kind):
    cache = MemoryCache()
    with Faulty(whole(answer("chat"), vary="user-agent, accept-encoding")) as server, Caller(kind, cache=cache) as hot:
        agents = ("a", "a", "b", "b")
        states = [hot.post(server.root + CHAT, ask("chat"), headers={"user-agent": a}).hotloop for a in agents]
        assert [state["cache"] for state in states] == ["miss", "hit", "miss", "hit"]
        server.script(whole(answer("chat"), vary="*"))
        for _ in range(2):
            assert hot.post(server.root + CHAT, ask("chat", "x"), headers={}).hotloop["cache"] == "miss"


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_no_answer_of_http_is_a_miss(kind):
    class Foreign(MemoryCache):
        def peek(self, key):
            return Hit(Record(b"{}", 0.0, meta={}), "foreign")

        async def get(self, key):
            return self.peek(key)

    with Faulty(whole(answer("chat"))) as server, Caller(kind, cache=Foreign()) as hot:
        assert hot.post(server.root + CHAT, ask("chat")).hotloop["cache"] == "miss"


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_synchronous_request_of_chance_stays_in_its_thread_also_when_it_is_retried(library):
    limits = Limits(concurrency=1)
    threads = set()

    def flaky(seen):
        return whole({"error": {}}, "503 Unavailable", retry_after=0) if len(server.requests) < 3 else counted(seen)

    with Faulty(flaky) as server, Caller(f"{library}-sync", retry=Retry(attempts=3), limits=limits) as hot:
        inner = hot.transport._body.inner
        send = inner.handle_request
        inner.handle_request = lambda request: threads.add(threading.get_ident()) or send(request)
        for _ in range(2):
            assert hot.post(server.root + CHAT, ask("chat", temperature=1)).status == 200
        assert len(server.requests) == 4
    assert threads == {threading.get_ident()}
