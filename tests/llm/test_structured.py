"""Answers of a type: the schema that asks for one at each provider, and what comes of the answer."""

import copy
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from anthropic import transform_schema
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

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


class Choice(TypedDict):
    rgb: tuple[int, int, int]
    extra: NotRequired[str]


class Bounds(BaseModel):
    """Limits."""

    code: Annotated[str, Field(min_length=2, max_length=4, description="A code.")]
    count: Annotated[int, Field(ge=1, le=9)]
    tags: set[str]
    when: datetime
    price: Decimal
    link: AnyUrl
    where: Part | Point


BOUNDS = Bounds(
    code="ab",
    count=1,
    tags={"x"},
    when=datetime(2026, 1, 1, tzinfo=UTC),
    price=Decimal("0.10000000000000000001"),
    link="http://h/",
    where=Point(1, 2),
)
UNKNOWN_TO_OPENAI = {"minLength", "maxLength", "uniqueItems", "default", "oneOf", "discriminator", "prefixItems"}
UNKNOWN_TO_ANTHROPIC = UNKNOWN_TO_OPENAI | {"minimum", "maximum", "pattern", "maxItems"}


async def test_constraints_that_a_strict_schema_cannot_hold_are_told_in_words_and_checked():
    text = BOUNDS.model_dump_json()
    with Origin(completion(text), completion(text.replace('"ab"', '"a"')), completion()) as origin:
        async with client(origin) as llm:
            assert (await llm.chat(ASK, output_type=Bounds)).output == BOUNDS
            with pytest.raises(ModelResponseError, match="code: String should have at least 2"):
                await llm.chat(ASK, output_type=Bounds)
        async with client(origin, "anthropic:m") as llm:
            with pytest.raises(ModelResponseError):
                await llm.chat(ASK, output_type=Bounds)
    form = origin.requests[0].body["response_format"]["json_schema"]
    properties = form["schema"]["properties"]
    assert form["strict"] is True
    assert properties["code"]["description"] == "A code. (maxLength: 4, minLength: 2)"
    assert properties["count"]["minimum"] == 1
    assert properties["when"]["format"] == "date-time"
    assert "(uniqueItems: true)" in properties["tags"]["description"]
    assert not keywords(form["schema"]) & UNKNOWN_TO_OPENAI
    other = origin.requests[2].body["output_config"]["format"]["schema"]
    assert not keywords(other) & UNKNOWN_TO_ANTHROPIC
    assert "minimum: 1" in other["properties"]["count"]["description"]
    assert (
        other == transform_schema(copy.deepcopy(form["schema"])) | other
    )  # no keyword that its own SDK would leave out


def keywords(schema):
    """The keywords of a schema, without the names of its properties."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema))
    if not isinstance(schema, dict):
        return set()
    named = [part for name in ("properties", "$defs") for part in schema.get(name, {}).values()]
    rest = [value for name, value in schema.items() if name not in ("properties", "$defs")]
    return set(schema).union(*map(keywords, named + rest))


@pytest.mark.parametrize("type_", [Choice, Any, dict[str, Any], list[Any], tuple[int, str]])
def test_what_has_no_strict_form_is_asked_for_loosely(type_):
    assert structure_of(type_).response_format["json_schema"]["strict"] is False


@pytest.mark.parametrize("type_", [object(), Callable[[], int], LLMClient])
async def test_what_no_answer_can_be_is_said_at_once(type_):
    with Origin() as origin:
        async with client(origin) as llm:
            with pytest.raises(TypeError, match="output_type"):
                await llm.chat(ASK, output_type=type_)
    assert not origin.requests


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (int, '{"value": 123456789012345678901234567890}', 123456789012345678901234567890),
        (Decimal, '{"value": "0.10000000000000000001"}', Decimal("0.10000000000000000001")),
        (int, "5", 5),  # from a server that holds no answer to its schema
        (list[Point], '```json\n[{"x": 1, "y": 2}]\n```\n', [Point(1, 2)]),
        (Choice, '```\n{"rgb": [1, 2, 3]}\n```', {"rgb": (1, 2, 3)}),
        (list[Point], '[{"x": 1, "y": 2}]', [Point(1, 2)]),
        (Choice, '{"rgb": [1, 2, 3]}', {"rgb": (1, 2, 3)}),
    ],
)
def test_values_are_read_exactly_and_with_or_without_their_wrapping(type_, text, value):
    assert structure_of(type_).value(text) == value


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
