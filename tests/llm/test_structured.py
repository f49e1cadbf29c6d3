"""Answers of a type: the schema that asks for one at each provider, and what comes of the answer."""

import dataclasses
from enum import Enum
from typing import Annotated, Literal

import pytest
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import BaseModel, Field, TypeAdapter

from hotloop import LLMClient, MemoryCache
from hotloop.calls import Retry
from hotloop.errors import ModelResponseError
from hotloop.llm.structured import structure_of
from support.origin import END, Origin, completion, delta, streamed

pytestmark = pytest.mark.usefixtures("wire")
ASK = [{"role": "user", "content": "Hi"}]


class Colour(Enum):
    RED = "red"


class Part(BaseModel):
    name: str = "x"
    colour: Colour | None = None


class Machine(BaseModel):
    parts: list[Part] = Field(default_factory=list, description="What it is made of.")
    kind: Literal["a", "b"]


class Node(BaseModel):
    children: list["Node"]


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


MACHINE = Machine(parts=[Part(colour=Colour.RED)], kind="a")


def client(origin, kind="openai:m", **options):
    return LLMClient(kind, base_url=origin.url, retry=Retry(attempts=1), **options)


def objects(schema):
    """Every object of a schema, and what lies in it."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (Machine, MACHINE.model_dump_json(), MACHINE),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (int, '{"value": 5}', 5),
        (list[Point], '{"value": [{"x": 1, "y": 2}]}', [Point(1, 2)]),
        (Part | None, '{"value": null}', None),
        (Annotated[str, Field(min_length=2)], '{"value": "ab"}', "ab"),
        (Node, '{"value": {"children": [{"children": []}]}}', Node(children=[Node(children=[])])),
    ],
)
async def test_a_value_of_the_type_comes_back(type_, text, value):
    with Origin(completion(text), streamed(delta(content=text), delta("stop"), END)) as origin:
        async with client(origin) as llm:
            reply = await llm.chat(ASK, output_type=type_)
            assert reply.output == value
            async with llm.stream(ASK, output_type=type_) as events:
                assert [event async for event in events][-1].reply.output == value
        form = origin.requests[0].body["response_format"]
    TypeAdapter(ResponseFormatJSONSchema).validate_python(form)
    schema = form["json_schema"]["schema"]
    assert form["json_schema"]["strict"] is True
    assert schema["type"] == "object"
    for one in objects(schema):
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])
    assert '"default"' not in str(schema)


def test_free_keys_cannot_be_strict():
    form = structure_of(dict[str, int]).response_format["json_schema"]
    assert form["strict"] is False
    assert form["schema"]["additionalProperties"] == {"type": "integer"}
    assert structure_of(Machine) is structure_of(Machine)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (completion("five"), "no Point: Invalid JSON"),
        (completion('{"x": "many"}'), "no Point: x: "),
        (completion('{"x": 1'), "no Point"),
        (completion('{"x": 1', finish="length"), "raise max_tokens"),
        (completion(""), "no Point"),
    ],
)
async def test_what_is_no_value_is_an_error_and_is_not_stored(answer, says):
    with Origin(answer) as origin:
        async with client(origin, cache=MemoryCache()) as llm:
            for _ in range(2):
                with pytest.raises(ModelResponseError, match=says):
                    await llm.chat(ASK, output_type=Point, temperature=0)
            assert llm.metrics().errors == 2
            origin.script(completion('{"x": 1, "y": 2}'))
            assert (await llm.chat(ASK, output_type=Point, temperature=0)).cache == "miss"
            again = await llm.chat(ASK, output_type=Point, temperature=0)
            assert (again.cache, again.output) == ("hit", Point(1, 2))
            assert (await llm.chat(ASK, temperature=0)).cache == "miss"  # another request
            assert (await llm.chat(ASK, output_type=str, temperature=0)).output == '{"x": 1, "y": 2}'


async def test_a_refusal_is_said():
    answer = completion(None)
    answer.body["choices"][0]["message"]["refusal"] = "I will not."
    with Origin(answer) as origin:
        async with client(origin) as llm:
            with pytest.raises(ModelResponseError, match="I will not"):
                await llm.chat(ASK, output_type=Point)
            with pytest.raises(TypeError, match="output_type"):
                await llm.chat(ASK, output_type=Point, response_format={"type": "text"})


async def test_each_provider_has_its_own_form():
    with Origin(completion()) as origin:
        for kind in ("openai-responses:m", "anthropic:m"):
            async with client(origin, kind) as llm:
                with pytest.raises(ModelResponseError):
                    await llm.chat(ASK, output_type=Point)
    schema = structure_of(Point).response_format["json_schema"]["schema"]
    responses, anthropic = (request.body for request in origin.requests)
    assert responses["text"]["format"] == {"type": "json_schema", "name": "Point", "schema": schema, "strict": True}
    assert anthropic["output_config"]["format"] == {"type": "json_schema", "schema": schema}
