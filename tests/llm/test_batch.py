"""Batches: what is sent, waited for, matched, stored and resumed, at OpenAI's desk and at Anthropic's."""

import json
from email import message_from_bytes
from email.policy import HTTP

import pytest
from anthropic.types.messages import BatchCreateParams as AnthropicParams
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from openai.types import Batch, BatchCreateParams, FileObject
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from hotloop import LLMClient, MemoryCache
from hotloop.calls import Retry
from hotloop.errors import ModelConnectionError, ModelError, ModelRequestError, ModelResponseError, ModelStatusError
from support.bodies import answer as good
from support.faults import RESET, Faulty, whole

pytestmark = pytest.mark.usefixtures("wire")
COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}


def ask(text, **fields):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields}


class Desk:
    """Both batch APIs, as far as the client uses them; what it is sent and says is checked against the SDKs."""

    def __init__(self, waits=1):
        self.files, self.batches, self.waits = {}, {}, waits
        self.status, self.lost = "completed", set()
        self.keeps = False

    def __call__(self, request):
        path = request.path.partition("/v1/")[2]
        body = request.body if request.raw[:1] == b"{" else None
        if path == "files":
            return whole(self.upload(request))
        if path.endswith("batches"):
            return whole(self.create(path, body))
        *_, kind, name = path.removesuffix("/content").removesuffix("/results").split("/")
        if request.method == "DELETE":
            assert kind == "files"
            return whole({}, "500 Oops") if self.keeps else whole({"id": name, "deleted": bool(self.files.pop(name))})
        if kind == "files":
            return whole(self.files[name])
        if name not in self.batches:
            return whole({"error": {"message": "no such batch"}}, "404 Not Found")
        batch = self.batches[name]
        if path.endswith("/results"):
            return whole(self.anthropic_results(batch))
        return whole(self.anthropic(name, batch) if "messages" in path else self.openai(name, batch))

    def upload(self, request):
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message_from_bytes(head + request.raw, policy=HTTP).iter_parts()
        }
        assert fields["purpose"] == b"batch"
        name = f"file-{len(self.files)}"
        self.files[name] = fields["file"]
        said = {"id": name, "object": "file", "bytes": len(fields["file"]), "created_at": 1, "filename": "batch.jsonl"}
        said |= {"purpose": "batch", "status": "processed"}
        FileObject.model_validate(said)
        return said

    def create(self, path, body):
        name = f"batch_{len(self.batches)}"
        if path == "batches":
            TypeAdapter(BatchCreateParams).validate_python(body)
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
            for line in lines:
                TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(line["body"])
                assert (line["method"], line["url"]) == ("POST", body["endpoint"])
            asked = {line["custom_id"]: line["body"] for line in lines}
        else:
            TypeAdapter(AnthropicParams).validate_python(body)
            asked = {line["custom_id"]: line["params"] for line in body["requests"]}
        assert all(len(name) <= 64 for name in asked)
        self.batches[name] = {"asked": asked, "waits": self.waits, "made": body}
        return self.openai(name, self.batches[name]) if path == "batches" else self.anthropic(name, self.batches[name])

    def ended(self, batch):
        batch["waits"] -= 1
        return batch["waits"] < 0

    def openai(self, name, batch):
        said = {"id": name, "object": "batch", "completion_window": "24h", "created_at": 1}
        said |= {field: batch["made"].get(field) for field in ("input_file_id", "metadata")}
        said |= {"endpoint": "/v1/chat/completions", "status": "in_progress", "errors": None}
        if self.ended(batch):
            said["status"] = self.status
            if self.status == "failed":
                said["errors"] = {"object": "list", "data": [{"code": "x", "message": "no such model", "line": 1}]}
            else:
                lines, errors = [], []
                for identity, body in reversed(batch["asked"].items()):
                    text = body["messages"][-1]["content"]
                    if "bad" in text:
                        response = {
                            "status_code": 400,
                            "request_id": "r",
                            "body": {"error": {"message": "bad sk-secret"}},
                        }
                        errors.append({"id": "x", "custom_id": identity, "response": response, "error": None})
                    elif "late" in text:
                        error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                        errors.append({"id": "x", "custom_id": identity, "response": None, "error": error})
                    elif "lost" not in text:
                        response = {"status_code": 200, "request_id": "r", "body": good("chat", f"re {text}")}
                        lines.append({"id": "x", "custom_id": identity, "response": response, "error": None})
                for kind, found in (("output", lines), ("error", errors)):
                    if found:
                        said[f"{kind}_file_id"] = f"{kind}-{name}"
                        self.files[f"{kind}-{name}"] = "\n".join(map(json.dumps, found)).encode()
        Batch.model_validate(said)
        return said

    def anthropic(self, name, batch):
        status = "ended" if self.ended(batch) else "in_progress"
        said = {"id": name, "type": "message_batch", "processing_status": status, "request_counts": COUNTS}
        said |= {"created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z"}
        said["results_url"] = "https://elsewhere.invalid/steal-the-key"
        MessageBatch.model_validate(said)
        return said

    def anthropic_results(self, batch):
        lines = []
        for identity, body in reversed(batch["asked"].items()):
            text = body["messages"][-1]["content"]
            if "bad" in text:
                error = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad sk-secret"}}
                result = {"type": "errored", "error": error | {"request_id": None}}
            elif "late" in text:
                result = {"type": "expired"}
            else:
                result = {"type": "succeeded", "message": good("messages", f"re {text}")}
            line = {"custom_id": identity, "result": result}
            MessageBatchIndividualResponse.model_validate(line)
            lines.append(json.dumps(line))
        return "\n".join(lines).encode()


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def server(desk):
    with Faulty(desk) as server:
        yield server


def client(server, kind="openai:gpt-5", **options):
    options.setdefault("retry", Retry(attempts=1))
    return LLMClient(kind, base_url=server.url, api_key="sk-secret", **options)


def created(server):
    return [seen.path for seen in server.requests if seen.path.endswith("/batches")]


@pytest.mark.parametrize("kind", ["openai:gpt-5", "anthropic:claude-sonnet-5"])
async def test_answers_come_in_order_with_an_error_for_each_that_failed(server, kind):
    submitted = []
    async with client(server, kind, cache=MemoryCache()) as llm:
        requests = [ask("a"), ask("bad"), ask("b", tools=[]), ask("late"), ask("a")]
        found = await llm.batch(requests, poll=0, submitted=submitted.append)
        assert [getattr(one, "text", None) for one in found] == ["re a", None, "re b", None, "re a"]
        assert [one.cache for one in (found[0], found[2], found[4])] == ["miss", "miss", "joined"]
        assert isinstance(found[1], ModelStatusError)
        assert found[1].status == 400
        assert "secret" not in str(found[1])
        assert isinstance(found[3], ModelError)
        assert submitted == ["batch_0"]
        metrics = llm.metrics()
        assert (metrics.calls, metrics.misses, metrics.joined, metrics.errors) == (5, 2, 1, 2)
        price = {"openai:gpt-5": (1.25, 10), "anthropic:claude-sonnet-5": (2, 10)}[kind]
        assert found[0].cost == pytest.approx((3 * price[0] + 2 * price[1]) / 2 / 1e6)  # half of the price
        assert found[4].cost == 0
        again = await llm.batch([ask("b"), ask("a"), ask("c")], poll=0)
        assert [(one.text, one.cache) for one in again] == [("re b", "hit"), ("re a", "hit"), ("re c", "miss")]
        assert (await llm.chat(**ask("c"))).cache == "hit"
    assert len(created(server)) == 2
    assert all("steal" not in seen.path for seen in server.requests)


async def test_nothing_is_sent_where_the_cache_has_all(server):
    async with client(server, cache=MemoryCache()) as llm:
        await llm.batch([ask("a")], poll=0)
        seen = len(server.requests)
        assert (await llm.batch([ask("a")], poll=0))[0].cache == "hit"
        assert await llm.batch([]) == []
    assert len(server.requests) == seen


async def test_samples_are_independent(server, desk):
    async with client(server, cache=MemoryCache()) as llm:
        found = await llm.batch([ask("a", temperature=1)] * 3, poll=0)
    assert [one.cache for one in found] == ["bypass"] * 3
    assert len(desk.batches["batch_0"]["asked"]) == 3


async def test_a_batch_that_was_submitted_is_found_again(server, desk):
    cache, desk.waits = MemoryCache(), 3
    async with client(server, cache=cache) as llm:
        _crash(llm)
        with pytest.raises(ZeroDivisionError):
            await llm.batch([ask("a"), ask("b")])
    async with client(server, cache=cache) as llm:
        found = await llm.batch([ask("b"), ask("c"), ask("a")], poll=0)
    assert [one.text for one in found] == ["re b", "re c", "re a"]
    first = [next(iter(batch["asked"].values())) for batch in desk.batches.values()]
    assert [body["messages"][0]["content"] for body in first] == ["a", "c"]


def _crash(llm):
    """Make the client crash when it waits for its batch."""
    from hotloop.llm.batch import Batches

    async def sleep(_):
        raise ZeroDivisionError

    llm._batches = Batches(llm._asker, sleep)


async def test_without_a_cache_the_caller_says_which_batch_it_is(server, desk):
    desk.waits = 3
    submitted = []
    async with client(server) as llm:
        _crash(llm)
        with pytest.raises(ZeroDivisionError):
            await llm.batch([ask("a")], submitted=submitted.append)
    async with client(server) as llm:
        found = await llm.batch([ask("a")], resume=submitted, poll=0)
        assert found[0].text == "re a"
        assert len(desk.batches) == 1
        found = await llm.batch([ask("a")], resume=["batch_unknown"], poll=0)
        assert found[0].text == "re a"
        with pytest.raises(TypeError, match="list"):
            await llm.batch([], resume="batch_0")


async def test_a_batch_that_fails_is_an_error_for_each_request_and_is_forgotten(server, desk):
    desk.status = "failed"
    async with client(server, cache=MemoryCache()) as llm:
        for error in await llm.batch([ask("a"), ask("b")], poll=0):
            assert isinstance(error, ModelResponseError)
            assert "no such model" in str(error)
        desk.status = "expired"
        one, other = await llm.batch([ask("a"), ask("lost")], poll=0)
        assert one.text == "re a"
        assert "expired" in str(other)


async def test_too_many_requests_are_several_batches(server, desk, monkeypatch):
    monkeypatch.setattr("hotloop.llm.providers.desks.OpenAIDesk.most", 2)
    async with client(server) as llm:
        found = await llm.batch([ask(text) for text in "abcde"], poll=0)
    assert [one.text for one in found] == [f"re {text}" for text in "abcde"]
    assert sorted(len(batch["asked"]) for batch in desk.batches.values()) == [1, 2, 2]


async def test_structured_answers(server):
    async with client(server) as llm:
        (found,) = await llm.batch([ask("a", output_type=int)], poll=0)
    assert isinstance(found, ModelResponseError)
    assert "no int" in str(found)


async def test_what_cannot_be_asked_is_said_before_anything_is_sent(server):
    async with client(server, "anthropic:claude") as llm:
        with pytest.raises(ModelRequestError, match=r"requests\[1\]: .* 'seed'"):
            await llm.batch([ask("a"), ask("b", seed=1)])
        for bad in ("x", {"prompt": "x"}):
            with pytest.raises(TypeError, match=r"requests\[0\]"):
                await llm.batch([bad])
    assert not server.requests


async def test_a_start_that_may_have_been_heard_is_not_made_again(server, desk):
    server.answer = lambda request: [RESET] if request.path.endswith("batches") else desk(request)
    async with client(server, retry=Retry(3, base=0)) as llm:
        with pytest.raises(ModelConnectionError):
            await llm.batch([ask("a")], poll=0)
    assert len(created(server)) == 1


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"id": 5}', b"{}"])
async def test_what_is_no_batch_is_said(server, desk, answer):
    server.answer = lambda request: whole(answer) if request.path.endswith("batches") else desk(request)
    async with client(server) as llm:
        with pytest.raises(ModelResponseError):
            await llm.batch([ask("a")], poll=0)


async def test_what_was_uploaded_is_deleted_when_its_answers_are_here(server, desk, caplog):
    async with client(server) as llm:
        (first,) = await llm.batch([ask("a")], poll=0)
        assert (first.text, sorted(desk.files)) == ("re a", ["output-batch_0"])
        desk.keeps = True
        (second,) = await llm.batch([ask("b")], poll=0)  # what was paid for is not lost for that
    assert second.text == "re b"
    assert "could not be deleted" in caplog.text
    assert "sk-secret" not in caplog.text


async def test_a_file_that_is_somebody_elses_stays(server, desk):
    async with client(server) as llm:
        await llm.batch([ask("a")], poll=0)
        desk.files["theirs"] = b"precious"
        desk.batches["batch_0"]["made"] = {"input_file_id": "theirs", "metadata": {"project": "x"}}
        (again,) = await llm.batch([ask("a")], resume=["batch_0"], poll=0)
    assert again.text == "re a"
    assert desk.files["theirs"] == b"precious"


async def test_a_cache_that_fails_loses_no_batch(server, desk, caplog):
    class Broken(MemoryCache):
        async def get(self, key):
            raise OSError("sk-secret")

        put = delete = get

    heard = []
    async with client(server, cache=Broken()) as llm:
        (one,) = await llm.batch([ask("a")], poll=0, submitted=heard.append)
    assert (one.text, heard) == ("re a", ["batch_0"])
    assert "not remembered: OSError" in caplog.text
    assert "sk-secret" not in caplog.text
