"""Requests at the same time: joined, cancelled, left early, forgotten, and from several event loops and threads."""

import asyncio
import gc
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest

import hotloop
from hotloop import MemoryCache
from hotloop.http import legacy, transport
from support.bodies import PATHS, answer, ask, events
from support.faults import RESET, Faulty, chunked, head, whole

CHAT = PATHS["chat"]
PIECES = events("chat")
ALL = b"".join(PIECES)
LIBRARIES = {"httpx2": (httpx2, transport), "httpx": (httpx, legacy)}


@pytest.fixture(params=LIBRARIES)
async def make(request):
    """Makes clients of one library over hotloop, with few connections."""
    library, ours = LIBRARIES[request.param]
    made = []

    def client(connections=5, **options):
        limits = library.Limits(max_connections=connections)
        hot = ours.AsyncHotTransport(library.AsyncHTTPTransport(verify=False, limits=limits), **options)
        made.append(library.AsyncClient(transport=hot, timeout=10))
        return made[-1]

    client.library = library
    yield client
    for one in made:
        await one.aclose()


def gated(*gates: int) -> tuple[list, list[threading.Event]]:
    """The stream, with a gate before each of these pieces."""
    doors = [threading.Event() for _ in gates]
    steps = [p for n, piece in enumerate(PIECES) for p in ([doors[gates.index(n)], piece] if n in gates else [piece])]
    return chunked(*steps), doors


async def opened(client, url, body):
    return await client.send(client.build_request("POST", url, json=body), stream=True)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the server's threads
            await asyncio.sleep(0.001)


async def read(chunks, size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += await anext(chunks)
    return got


def state(response):
    return response.extensions["hotloop"]["cache"]


async def test_identical_requests_become_one(make):
    gate = threading.Event()
    with Faulty([gate, *whole(answer("chat"))]) as server:
        client = make()
        tasks = [asyncio.create_task(client.post(server.root + CHAT, json=ask("chat"))) for _ in range(64)]
        await until(lambda: server.requests)
        gate.set()
        responses = await asyncio.gather(*tasks)
        assert len(server.requests) == 1
        assert sorted(map(state, responses)) == ["joined"] * 63 + ["miss"]
        assert {json.dumps(response.json()) for response in responses} == {json.dumps(answer("chat"))}
        assert len({id(response.request) for response in responses}) == 64


async def test_requests_of_chance_are_each_asked(make):
    with Faulty(whole(answer("chat"))) as server:
        client = make()
        await asyncio.gather(*(client.post(server.root + CHAT, json=ask("chat", temperature=1)) for _ in range(8)))
        assert len(server.requests) == 8


async def test_callers_with_other_timeouts_or_encodings_do_not_share(make):
    gate = threading.Event()
    with Faulty([gate, *whole(answer("chat"))]) as server:
        client, url = make(), server.root + CHAT
        tasks = [
            asyncio.create_task(client.post(url, json=ask("chat"), **options))
            for options in ({}, {"timeout": 9}, {"headers": {"accept-encoding": "identity"}}, {})
        ]
        await until(lambda: len(server.requests) == 3)
        gate.set()
        assert sorted(map(state, await asyncio.gather(*tasks))) == ["joined", "miss", "miss", "miss"]


async def test_a_later_caller_gets_the_stream_so_far_and_then_the_rest_live(make):
    steps, (first, second) = gated(2, 4)
    with Faulty(steps) as server:
        client, url = make(), server.root + CHAT
        leader = await opened(client, url, ask("chat", stream=True))
        start = leader.aiter_raw()
        begin = len(PIECES[0] + PIECES[1])
        assert await read(start, begin) == PIECES[0] + PIECES[1]
        later = await opened(client, url, ask("chat", stream=True))
        chunks = later.aiter_raw()
        assert await read(chunks, begin) == PIECES[0] + PIECES[1]
        first.set()
        assert await read(chunks, len(PIECES[2] + PIECES[3])) == PIECES[2] + PIECES[3]
        second.set()
        rest = b"".join(PIECES[4:])
        assert b"".join([chunk async for chunk in chunks]) == rest
        assert b"".join([chunk async for chunk in start]) == b"".join(PIECES[2:])
        assert (state(leader), state(later), len(server.requests)) == ("miss", "joined", 1)
        assert state(await client.post(url, json=ask("chat", stream=True))) == "hit"


@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("when", ["before the head", "in the body"])
async def test_a_cancelled_caller_harms_nobody(make, victim, when):
    gate = threading.Event()
    answered = whole(answer("chat"))[0]
    steps = [gate, answered] if when == "before the head" else [answered[:-50], gate, answered[-50:]]
    with Faulty(steps) as server:
        client = make()
        tasks = [asyncio.create_task(client.post(server.root + CHAT, json=ask("chat"))) for _ in range(3)]
        await until(lambda: server.requests)
        await asyncio.sleep(0.02 if when == "in the body" else 0)
        tasks[victim].cancel()
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [n == victim for n in range(3)]
        assert {result.status_code for n, result in enumerate(results) if n != victim} == {200}
        assert len(server.requests) == 1
        assert state(await client.post(server.root + CHAT, json=ask("chat"))) == "hit"


async def test_a_leader_that_closes_early_harms_nobody(make):
    steps, (gate,) = gated(3)
    with Faulty(steps) as server:
        client, url = make(), server.root + CHAT
        leader = await opened(client, url, ask("chat", stream=True))
        later = await opened(client, url, ask("chat", stream=True))
        await leader.aclose()
        gate.set()
        assert await later.aread() == ALL
        assert (state(later), len(server.requests)) == ("joined", 1)


async def test_when_all_have_left_the_work_ends_and_the_next_starts_anew(make):
    cache = MemoryCache()
    steps, (gate,) = gated(3)
    with Faulty(steps) as server:
        client, url = make(cache=cache), server.root + CHAT
        responses = [await opened(client, url, ask("chat", stream=True)) for _ in range(3)]
        for response in responses:
            await response.aclose()
        gate.set()
        assert await asyncio.to_thread(server.gone.acquire, timeout=10)  # the connection was ended, not left to run on
        assert cache.stats()[0].entries == 0
        server.script(chunked(*PIECES))
        again = await client.post(url, json=ask("chat", stream=True))
        assert (again.content, state(again), len(server.requests)) == (ALL, "miss", 2)


async def test_a_reader_that_leaves_at_the_end_mark_leaves_a_whole_answer(make):
    gate = threading.Event()
    with Faulty([*chunked(*PIECES, end=False), gate]) as server:
        client, url = make(), server.root + CHAT
        response = await opened(client, url, ask("chat", stream=True))
        assert await read(response.aiter_raw(), len(ALL)) == ALL
        await response.aclose()
        again = await client.post(url, json=ask("chat", stream=True))
        assert (again.content, state(again)) == (ALL, "hit")
        gate.set()


async def test_responses_that_are_dropped_or_left_give_their_connections_back(make):
    with Faulty(
        lambda seen: chunked(*PIECES) if "whole" in str(seen.body) else chunked(*PIECES[:2], end=False)
    ) as server:
        client, url = make(connections=2), server.root + CHAT
        for n in range(8):
            response = await opened(client, url, ask("chat", f"{n}", stream=True, temperature=n % 2))
            if n % 4 < 2:
                await response.aclose()
            else:
                chunks = response.aiter_raw()
                await anext(chunks)
                del response, chunks
                gc.collect()
                await asyncio.sleep(0.001)
        got = await asyncio.gather(*(client.post(url, json=ask("chat", f"whole {n}", stream=True)) for n in range(8)))
        assert {response.content for response in got} == {ALL}


async def test_cancelled_requests_give_their_connections_back(make):
    if make.library is httpx:
        pytest.skip("httpcore 1.0.9 itself loses connections that are cancelled while they are made")
    never = threading.Event()
    with Faulty(lambda seen: whole(answer("chat")) if "whole" in str(seen.body) else [never]) as server:
        client, url = make(connections=3), server.root + CHAT
        for n in range(10):
            tasks = [asyncio.create_task(client.post(url, json=ask("chat", f"{n} {k % 4}"))) for k in range(8)]
            await asyncio.sleep(0.002)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        got = await asyncio.gather(*(client.post(url, json=ask("chat", f"whole {n}")) for n in range(8)))
        assert {response.status_code for response in got} == {200}
        never.set()


@pytest.mark.parametrize("when", ["before the head", "in the body"])
async def test_everyone_gets_the_error_as_his_own(make, when):
    gate = threading.Event()
    steps = [gate, RESET] if when == "before the head" else [whole(answer("chat"))[0][:-50], gate, RESET]
    with Faulty(steps) as server:
        client = make()
        sdk = {"x-stainless-retry-count": "0"}
        tasks = [asyncio.create_task(client.post(server.root + CHAT, json=ask("chat"), headers=sdk)) for _ in range(4)]
        await until(lambda: server.requests)
        await asyncio.sleep(0.02)
        gate.set()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in errors} == {make.library.ReadError}
        assert len({id(error) for error in errors}) == 4
        assert len({id(error.request) for error in errors}) == 4
        assert len(server.requests) == 1


async def test_a_stale_answer_is_served_and_made_anew_behind_the_callers_back(make):
    now = [1000.0]
    cache = MemoryCache(epoch=lambda: now[0])
    number = iter(range(100))
    wish = {"extensions": {"hotloop": {"ttl": 60, "stale": 600}}}
    with Faulty(lambda _: whole(answer("chat", f"{next(number)}"))) as server:
        client, url = make(cache=cache), server.root + CHAT
        client._transport._body.core.path._records._clock = hotloop.calls.Clock(epoch=lambda: now[0])

        async def text(**options):
            response = await client.post(url, json=ask("chat"), **options)
            return response.json()["choices"][0]["message"]["content"], state(response)

        assert await text(**wish) == ("0", "miss")
        now[0] += 100
        assert [await text(**wish) for _ in range(3)] == [("0", "hit")] * 3
        await until(lambda: len(server.requests) == 2)
        await until(lambda: not client._transport._body.core.path._renewals)
        assert await text(**wish) == ("1", "hit")
        assert len(server.requests) == 2
        now[0] += 100
        assert await text() == ("2", "miss")  # who does not ask for it is given nothing stale


# -- event loops and threads


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_transport_serves_event_loops_one_after_another(library):
    module, ours = LIBRARIES[library]
    number = iter(range(100))
    hot = ours.AsyncHotTransport()

    async def once(text):
        response = await module.AsyncClient(transport=hot).post(server.root + CHAT, json=ask("chat", text))
        await hot._body.inner.aclose()
        return response.content, state(response)

    with Faulty(lambda _: whole(answer("chat", f"{next(number)}"))) as server:
        first, second, other = (asyncio.run(once(text)) for text in "aab")
    assert (first[0], first[1], second[1], other[1]) == (second[0], "miss", "hit", "miss")


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_transport_serves_event_loops_in_several_threads(library):
    module, ours = LIBRARIES[library]
    hot = ours.AsyncHotTransport()
    start = threading.Barrier(4)

    async def many():
        client = module.AsyncClient(transport=hot, timeout=30)
        start.wait(10)
        got = await asyncio.gather(*(client.post(server.root + CHAT, json=ask("chat", f"{n % 10}")) for n in range(50)))
        start.wait(10)
        await asyncio.sleep(0)
        pool = hot._body.inner._pools.pop(asyncio.get_running_loop())
        await pool.aclose()
        return [json.loads(response.content)["choices"][0]["message"]["content"] for response in got]

    def echo(seen):
        return whole(answer("chat", seen.body["messages"][0]["content"]))

    with Faulty(echo) as server, ThreadPoolExecutor(4) as threads:
        results = [future.result() for future in [threads.submit(asyncio.run, many()) for _ in range(4)]]
    assert results == [[f"{n % 10}" for n in range(50)]] * 4
    assert 10 <= len(server.requests) <= 40


@pytest.mark.parametrize("library", LIBRARIES)
def test_threads_share_one_request(library):
    module, ours = LIBRARIES[library]
    gate = threading.Event()
    with Faulty([gate, *chunked(*PIECES)]) as server, ThreadPoolExecutor(16) as threads:
        with module.Client(transport=ours.HotTransport(module.HTTPTransport(verify=False)), timeout=30) as client:
            body = ask("chat", stream=True)
            path = client._transport._body.core.path
            futures = [threads.submit(client.post, server.root + CHAT, json=body) for _ in range(16)]
            while not (path._tapes and next(iter(path._tapes.values())).readers == 16):
                threading.Event().wait(0.001)
            gate.set()
            responses = [future.result() for future in futures]
        assert {response.content for response in responses} == {ALL}
        assert sorted(map(state, responses)) == ["joined"] * 15 + ["miss"]
        assert len(server.requests) == 1


def led(client, url, threads, count):
    """Post the same `count` times, each in a thread, and return the futures when all have joined."""
    path = client._transport._body.core.path
    futures = [threads.submit(client.post, url, json=ask("chat")) for _ in range(count)]
    while not (path._tapes and next(iter(path._tapes.values())).readers == count):
        threading.Event().wait(0.001)
    return futures


@pytest.mark.parametrize("library", LIBRARIES)
def test_threads_join_the_one_that_asks_by_itself(library):
    module, ours = LIBRARIES[library]
    gate, names = threading.Event(), []

    class Inner(module.HTTPTransport):
        def handle_request(self, request):
            names.append(threading.current_thread().name)
            return super().handle_request(request)

    with Faulty([gate, *whole(answer("chat"))]) as server, ThreadPoolExecutor(8, "caller") as threads:
        with module.Client(transport=ours.HotTransport(Inner()), timeout=30) as client:
            futures = led(client, server.root + CHAT, threads, 8)
            gate.set()
            responses = [future.result() for future in futures]
            again = client.post(server.root + CHAT, json=ask("chat"))
            assert not client._transport._body.core.path._tapes
        assert {json.dumps(response.json()) for response in (*responses, again)} == {json.dumps(answer("chat"))}
        assert sorted(map(state, responses)) == ["joined"] * 7 + ["miss"]
        assert (state(again), len(server.requests)) == ("hit", 1)
    assert [name.startswith("caller") for name in names] == [True]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_each_thread_gets_the_error_as_its_own(library, when):
    module, ours = LIBRARIES[library]
    gate = threading.Event()
    steps = [gate, RESET] if when == "before the head" else [whole(answer("chat"))[0][:-50], gate, RESET]
    client = module.Client(transport=ours.HotTransport(module.HTTPTransport()), timeout=30)
    with Faulty(steps) as server, ThreadPoolExecutor(4) as threads, client:
        futures = led(client, server.root + CHAT, threads, 4)
        gate.set()
        errors = [future.exception() for future in futures]
        assert {type(error) for error in errors} == {module.ReadError}
        assert len({id(error) for error in errors}) == len({id(error.request) for error in errors}) == 4
        assert len(server.requests) == 1
        server.script(whole(answer("chat")))
        assert state(client.post(server.root + CHAT, json=ask("chat"))) == "miss"  # nothing was stored


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_body_that_breaks_off_is_given_as_far_as_it_came(library):
    module, ours = LIBRARIES[library]
    client = module.Client(transport=ours.HotTransport(module.HTTPTransport()))
    steps = [head(content_length=100), b"{", RESET]
    with Faulty(steps) as server, client, client.stream("POST", server.root + CHAT, json=ask("chat")) as response:
        chunks = response.iter_raw()
        assert (state(response), next(chunks)) == ("miss", b"{")
        with pytest.raises(module.ReadError):
            next(chunks)


@pytest.mark.parametrize("library", LIBRARIES)
def test_who_joined_a_thread_that_is_interrupted_is_served_all_the_same(library):
    module, ours = LIBRARIES[library]
    gate, first = threading.Event(), iter([True])

    class Inner(module.HTTPTransport):
        def handle_request(self, request):
            if next(first, False):
                gate.wait()
                raise KeyboardInterrupt
            return super().handle_request(request)

    with Faulty(whole(answer("chat"))) as server, ThreadPoolExecutor(4) as threads:
        with module.Client(transport=ours.HotTransport(Inner()), timeout=30) as client:
            futures = led(client, server.root + CHAT, threads, 4)
            gate.set()
            errors = [future.exception() for future in futures]
            assert [type(error) for error in errors if error] == [KeyboardInterrupt]
            assert {state(f.result()) for f, error in zip(futures, errors, strict=True) if not error} == {"joined"}
            assert state(client.post(server.root + CHAT, json=ask("chat"))) == "hit"
        assert len(server.requests) == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_thread_may_leave_a_stream_early(library):
    module, ours = LIBRARIES[library]
    steps, (gate,) = gated(3)
    with Faulty(steps) as server:
        inner = module.HTTPTransport(verify=False, limits=module.Limits(max_connections=1))
        with module.Client(transport=ours.HotTransport(inner), timeout=10) as client:
            for _ in range(3):
                with client.stream("POST", server.root + CHAT, json=ask("chat", stream=True)) as response:
                    assert next(response.iter_raw())
            gate.set()
            assert client.post(server.root + CHAT, json=ask("chat", stream=True)).content == ALL
        assert len(server.requests) == 4


async def test_the_synchronous_twin_works_inside_a_running_loop():
    with Faulty(whole(answer("chat"))) as server, httpx2.Client(transport=hotloop.HotTransport()) as client:
        first, second = (client.post(server.root + CHAT, json=ask("chat")) for _ in range(2))
        assert (state(first), state(second)) == ("miss", "hit")


# -- the client


async def test_the_client_keeps_connections_as_the_sdks_do(monkeypatch):
    import anthropic
    import openai

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with hotloop.http_client() as ours:
        for theirs in (openai.DefaultAsyncHttpxClient(), anthropic.DefaultAsyncHttpxClient()):
            async with theirs:
                assert (ours.timeout, ours.follow_redirects) == (theirs.timeout, theirs.follow_redirects)
                pool, other = ours._transport._body.inner._make()._pool, theirs._transport._pool
                for what in ("_max_connections", "_max_keepalive_connections", "_keepalive_expiry", "_retries"):
                    assert getattr(pool, what) == getattr(other, what)
                if other._socket_options is not None:
                    assert sorted(pool._socket_options) == sorted(other._socket_options)


@pytest.mark.parametrize("how", ["environment", "option", "mount"])
async def test_the_client_goes_through_proxies_and_stays_hot(monkeypatch, how):
    def say(seen):
        return whole(answer("chat", "by proxy" if seen.path.startswith("http://") else "directly"))

    with Faulty(say) as server:
        options = {}
        if how == "environment":
            monkeypatch.setenv("http_proxy", server.root)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
        elif how == "option":
            options["proxy"] = server.root
        else:
            options["mounts"] = {"http://model.test": httpx2.AsyncHTTPTransport(proxy=server.root)}
        async with hotloop.http_client(**options) as client:
            url = "http://model.test" + CHAT
            got = [await client.post(url, json=ask("chat")) for _ in range(2)]
            assert [state(response) for response in got] == ["miss", "hit"]
            assert "by proxy" in got[0].text
            if how != "option":
                direct = await client.post(server.root + CHAT, json=ask("chat"))
                assert ("directly" in direct.text, state(direct)) == (True, "miss")


@pytest.mark.parametrize("make", [hotloop.http_client, hotloop.http_client_sync])
def test_http2_without_its_extra_is_said_at_once(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(hotloop.HotloopError, match=r"hotloop\[http2\]"):
        make(http2=True)


async def test_the_client_takes_its_own_limits_and_those_of_connections():
    async with hotloop.http_client(limits=httpx2.Limits(max_connections=3), timeout=7, headers={"a": "b"}) as client:
        assert client._transport._body.inner._make()._pool._max_connections == 3
        assert (client.timeout, client.headers["a"]) == (httpx2.Timeout(7), "b")
    async with hotloop.http_client(limits=hotloop.Limits(concurrency=2)) as client:
        assert client._transport._body.core.path._gate.limiter.limits.concurrency == 2


async def test_limits_hold_requests_back_until_an_answer_has_ended(make):
    gate = threading.Event()
    with Faulty([head(content_length=2), gate, b"{}"]) as server:
        client, url = make(limits=hotloop.Limits(concurrency=2)), server.root + CHAT
        tasks = [asyncio.create_task(client.post(url, json=ask("chat", f"{n}", temperature=1))) for n in range(5)]
        await until(lambda: len(server.requests) == 2)
        await asyncio.sleep(0.02)
        assert len(server.requests) == 2
        gate.set()
        await asyncio.gather(*tasks)
        assert len(server.requests) == 5


def test_the_synchronous_client_is_its_twin(monkeypatch):
    import anthropic
    import openai

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with hotloop.http_client_sync() as ours:
        for theirs in (openai.DefaultHttpxClient(), anthropic.DefaultHttpxClient()):
            with theirs:
                assert (ours.timeout, ours.follow_redirects) == (theirs.timeout, theirs.follow_redirects)
                pool, other = ours._transport._body.inner._pool, theirs._transport._pool
                for what in ("_max_connections", "_max_keepalive_connections", "_keepalive_expiry", "_retries"):
                    assert getattr(pool, what) == getattr(other, what)

    def say(seen):
        return whole(answer("chat", "by proxy" if seen.path.startswith("http://") else "directly"))

    with Faulty(say) as server:
        monkeypatch.setenv("http_proxy", server.root)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with hotloop.http_client_sync() as client:
            sdk = openai.OpenAI(base_url="http://model.test/v1", api_key="k", http_client=client)
            body = ask("chat")
            texts = [sdk.chat.completions.create(**body).choices[0].message.content for _ in range(2)]
            assert (texts, len(server.requests)) == (["by proxy"] * 2, 1)
            assert "directly" in client.post(server.root + CHAT, json=ask("chat")).text
