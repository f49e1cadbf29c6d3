"""The decorator: schemas from type hints and docstrings, validation at the edge, effects."""

import enum
import functools
import inspect
import math
import sys
from typing import Annotated, Literal, Optional

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from hotloop.errors import ToolArgumentsError, ToolDefinitionError, ToolError
from hotloop.tools import Tool, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


class Tree(BaseModel):
    """A tree.

    Args:
        name: what it is called.
    """

    name: str
    parts: list["Tree"] = []


@tool
def paint(
    where: Point,
    colour: Colour,
    mode: Literal["fill", "line"] = "fill",
    width: Annotated[float, Field(gt=0)] = 1.0,
    note: Optional[str] = None,  # noqa: UP045 - the old spelling is what is tested
) -> str:
    """Paint a point.

    Longer words.

    Args:
        where: The place
            to paint.
        colour: Which colour.
        note (str): What to remember.

    Returns:
        What was painted.
    """
    return f"{where.x},{where.y} {colour.value} {mode} {width} {note}"


def given_to(made: Tool, args):
    return made.invoke(made.validate(args))


class TestSchema:
    def test_it_has_types_defaults_and_descriptions(self):
        schema = paint.parameters
        shapes = schema["properties"]
        assert list(shapes) == ["where", "colour", "mode", "width", "note"]
        assert schema["required"] == ["where", "colour"]
        assert schema["additionalProperties"] is False
        assert shapes["where"]["description"] == "The place to paint."
        assert shapes["note"] == {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": None,
            "description": "What to remember.",
        }
        assert shapes["mode"] == {"enum": ["fill", "line"], "type": "string", "default": "fill"}
        assert shapes["width"] == {"exclusiveMinimum": 0, "type": "number", "default": 1.0}
        assert paint.description == "Paint a point.\n\nLonger words."

    def test_each_provider_has_its_form(self):
        assert paint.schema("openai") == {
            "type": "function",
            "function": {"name": "paint", "description": paint.description, "parameters": paint.parameters},
        }
        assert paint.schema("anthropic") == {
            "name": "paint",
            "description": paint.description,
            "input_schema": paint.parameters,
        }
        with pytest.raises(ValueError, match="openai and anthropic"):
            paint.schema("other")

    @pytest.mark.parametrize(
        "doc",
        [
            "Look.\n\nArgs:\n    path: Where to look.\n",
            "Look.\n\nParameters\n----------\npath : str\n    Where to look.\n",
            "Look.\n\n:param path: Where to look.\n:returns: it\n",
            "Look.\n\n:param str path: Where\n    to look.\n",
            "Look.\n\n    :param path: Where to look.\n    ",
            "Look.\n\nParameters\n----------\npath\n    Where to look.",
        ],
        ids=["google", "numpy", "sphinx", "sphinx-typed", "sphinx-alone", "numpy-untyped"],
    )
    def test_docstring_styles(self, doc):
        def look(path: str) -> str:
            return path

        look.__doc__ = doc
        made = tool(look)
        assert made.description == "Look."
        assert made.parameters["properties"]["path"]["description"] == "Where to look."

    def test_a_docstring_that_only_looks_like_sections_stays_whole(self):
        def look() -> None:
            """Look: at things.

            Note: nothing here is a section
            """

        assert tool(look).description == "Look: at things.\n\nNote: nothing here is a section"

    def test_the_schema_belongs_to_the_tool(self):
        def look(path: str) -> str:
            return path

        tool(look).parameters["properties"].clear()
        assert list(tool(look).parameters["properties"]) == ["path"]

    def test_a_field_describes_and_constrains(self):
        @tool
        def pick(count: int = Field(3, ge=1, description="How many")) -> int:
            return count

        assert pick.parameters["properties"]["count"] == {
            "default": 3,
            "description": "How many",
            "minimum": 1,
            "type": "integer",
        }
        assert given_to(pick, "{}") == 3

    def test_a_default_that_is_no_json_is_not_shown(self):
        def f(a: float = math.nan, b: int = 2**70 + 1, c: float = 1.5) -> None: ...

        properties = tool(f).parameters["properties"]
        assert ["default" in properties[name] for name in "abc"] == [False, False, True]

        def g(a: Annotated[float, Field(json_schema_extra={"example": math.nan})]) -> None: ...

        with pytest.raises(ToolDefinitionError, match="its schema is no JSON"):
            tool(g).schema()

    def test_a_model_that_holds_itself_is_an_object_at_the_top(self):
        schema = tool(Tree).schema("openai")["function"]["parameters"]
        assert (schema["type"], schema["required"]) == ("object", ["name"])
        assert schema["properties"]["name"]["description"] == "what it is called."
        assert schema["properties"]["parts"]["items"] == {"$ref": "#/$defs/Tree"}
        assert "$ref" not in schema
        assert schema["$defs"]["Tree"]["type"] == "object"
        with pytest.raises(ToolDefinitionError, match="arguments are no object"):
            tool(RootModel[list[int]], name="numbers").schema("openai")

    def test_names_that_pydantic_reserves(self):
        @tool
        def odd(schema: str, model_config: int, _hidden: int = 0, json: str = "", self: int = 1) -> tuple:
            return (schema, model_config, _hidden, json, self)

        assert given_to(odd, {"schema": "a", "model_config": 2, "_hidden": 3, "json": "j"}) == ("a", 2, 3, "j", 1)

    def test_annotations_written_as_text_use_local_names(self):
        class Local(BaseModel):
            size: int

        @tool
        def measure(what: "Local") -> int:
            return what.size

        assert given_to(measure, '{"what": {"size": 4}}') == 4


class TestValidation:
    def test_json_text_and_dicts_become_what_the_hints_say(self):
        args = {"where": {"x": "3"}, "colour": "red", "width": 2}
        assert given_to(paint, args) == given_to(paint, orjson.dumps(args).decode()) == "3,0 red fill 2.0 None"

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ('{"where": {"x": "q"}, "colour": "red"}', ["where.x", "valid integer", "got 'q'"]),
            ('{"where": {"x": 1}}', ["colour is missing"]),
            ('{"where": {"x": 1}, "colour": "green"}', ["colour", "'red' or 'blue'", "got 'green'"]),
            ('{"where": {"x": 1}, "colour": "red", "size": 3}', ["size is not an argument", "it takes where, colour"]),
            ('{"where": {"x": 1}, "colour": "red", "width": -1}', ["width", "greater than 0", "got -1"]),
            ('{"where": {"x": 1', ["not valid JSON", "line 1 column"]),
            ("[1, 2]", ["must be a JSON object", "got [1, 2]"]),
            ('"text"', ["must be a JSON object"]),
            ("null", ["must be a JSON object", "got None"]),
            ("", ["where is missing", "colour is missing"]),
            (None, ["must be a JSON object"]),
            ({"where": {"x": 1}, "colour": "x" * 10_000}, ["colour", "…"]),
            ("[" * 100_000, ["not valid JSON"]),
            ('{"where": "\ud800"}', []),
        ],
    )
    def test_errors_are_short_and_say_what_to_mend(self, args, said):
        with pytest.raises(ToolArgumentsError) as caught:
            paint.validate(args)
        text = str(caught.value)
        assert text.startswith("paint: ")
        assert all(part in text for part in said), text
        assert len(text) < 600
        assert "pydantic" not in text

    def test_many_errors_are_counted_and_not_listed(self):
        @tool
        def many(numbers: list[int]) -> int:
            return sum(numbers)

        with pytest.raises(ToolArgumentsError, match="and 95 more"):
            many.validate({"numbers": ["q"] * 100})

    def test_a_validator_that_breaks_is_an_argument_error(self):
        def explode(value: int) -> int:
            raise ZeroDivisionError("by zero")

        from pydantic import AfterValidator

        @tool
        def risky(value: Annotated[int, AfterValidator(explode)]) -> int:
            return value

        with pytest.raises(ToolArgumentsError, match="ZeroDivisionError: by zero"):
            risky.validate('{"value": 1}')

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
    def test_whatever_comes_in_is_an_argument_error_or_fits(self, value):
        @tool
        def take(number: int) -> int:
            return number

        for args in ({"number": value}, value):
            try:
                fits = take.validate(args)["number"]
            except ToolArgumentsError as error:
                fits = len(str(error))
            assert isinstance(fits, int)
            assert fits < 600 or fits == value


class TestCallables:
    def test_the_decorated_object_is_called_as_the_function_was(self):
        assert paint(Point(x=1), Colour.BLUE) == "1,0 blue fill 1.0 None"
        assert paint.__name__ == "paint"
        assert "Paint a point." in paint.__doc__
        assert list(inspect.signature(paint).parameters)[:2] == ["where", "colour"]

    async def test_async_functions(self):
        @tool
        async def fetch(url: str) -> str:
            return url

        assert fetch.is_async
        assert await fetch("a") == "a"
        assert await given_to(fetch, '{"url": "b"}') == "b"

    def test_methods_static_methods_and_class_methods(self):
        class Shop:
            def __init__(self, name: str) -> None:
                self.label = name

            @tool(effect="read")
            def sell(self, what: str) -> str:
                """Sell it."""
                return f"{self.label} {what}"

            @tool
            @staticmethod
            def twice(n: int) -> int:
                return 2 * n

            @classmethod
            @tool
            def kind(cls, n: int) -> str:
                return f"{cls.__name__} {n}"

            borrowed = paint

        one, two = Shop("one"), Shop("two")
        assert given_to(one.sell, '{"what": "tea"}') == "one tea"
        assert given_to(two.sell, '{"what": "tea"}') == "two tea" == two.sell("tea")
        assert list(one.sell.parameters["properties"]) == ["what"]
        assert (one.sell.effect, one.sell.description) == ("read", "Sell it.")
        assert given_to(one.twice, '{"n": 2}') == 4 == Shop.twice(2)
        assert given_to(tool(Shop.kind), '{"n": 2}') == "Shop 2" == Shop.kind(2)
        assert one.borrowed is paint
        with pytest.raises(ToolDefinitionError, match=r"obj\.sell"):
            Shop.sell.check()

    def test_partials_objects_and_models(self):
        def power(base: int, exponent: int) -> int:
            """Raise a number."""
            return base**exponent

        class Adder:
            """Adds."""

            def __call__(self, a: int, b: int) -> int:
                return a + b

        class Answer(BaseModel):
            """The answer."""

            text: str

        square = tool(name="square")(functools.partial(power, exponent=2))
        assert given_to(square, '{"base": 5}') == 25
        assert square.description == "Raise a number."
        assert given_to(tool(Adder()), '{"a": 1, "b": 2}') == 3
        answer = tool(Answer)
        assert given_to(answer, '{"text": "x"}') == Answer(text="x")
        assert answer.schema("anthropic") == {
            "name": "Answer",
            "description": "The answer.",
            "input_schema": answer.parameters,
        }
        assert list(answer.parameters["properties"]) == ["text"]

    def test_positional_only_parameters(self):
        @tool
        def divide(a: int, b: int = 2, /, *, rounded: bool = False) -> float:
            return round(a / b) if rounded else a / b

        assert given_to(divide, '{"a": 6}') == 3
        assert given_to(divide, '{"a": 6, "b": 3, "rounded": true}') == 2

    def test_a_wrapper_has_the_schema_of_what_it_wraps(self):
        def plain(n: int) -> int:
            return n

        assert tool(plain).parameters["required"] == ["n"]

        @functools.wraps(plain)
        def wrapped(*args, **kwargs):
            return 10 * plain(*args, **kwargs)

        made = tool(wrapped)
        assert list(made.parameters["properties"]) == ["n"]
        assert given_to(made, '{"n": 2}') == 20

    def test_a_wrapper_that_is_an_object_has_the_types_of_what_it_wraps(self):
        @functools.lru_cache
        def f(a: int) -> int:
            """Do it."""
            return a

        for made in (tool(f), tool(functools.partial(f))):
            assert made.parameters["properties"] == {"a": {"type": "integer"}}
            assert made.description == "Do it."
            assert made.invoke(made.validate({"a": "3"})) == 3


class TestDefinitions:
    def test_what_cannot_be_a_tool(self):
        def rest(*parts: str) -> str:
            return "".join(parts)

        def options(**options: str) -> str:
            return str(options)

        def unknown(x: "Nowhere") -> None:  # noqa: F821 - the point
            pass

        class Opaque:
            pass

        def opaque(x: Opaque) -> None:
            pass

        def yields():
            yield 1

        for bad in (rest, options, unknown, opaque, yields, lambda: 1, 3, "text", classmethod(rest)):
            with pytest.raises(ToolDefinitionError) as caught:
                tool(bad).check()
            assert len(str(caught.value)) < 400

    @pytest.mark.parametrize(
        "options",
        [
            {"name": "has space"},
            {"name": ""},
            {"name": "x" * 65},
            {"effect": "reads"},
            {"timeout": 0},
            {"timeout": float("nan")},
            {"cache_ttl": -1, "effect": "pure"},
            {"cache_ttl": 5},
            {"cache_ttl": 5, "effect": "write"},
            {"cache_ttl": 5, "effect": "read"},
            {"resources": ["a"]},
            {"resources": ["a"], "effect": "pure"},
        ],
    )
    def test_declarations_that_contradict_themselves(self, options):
        with pytest.raises(ToolDefinitionError):
            tool(**options)(lambda: 1)

    def test_a_tool_is_not_wrapped_twice(self):
        assert tool(paint) is paint
        with pytest.raises(ToolDefinitionError, match="already"):
            tool(effect="pure")(paint)


def nothing() -> None: ...


class TestEffects:
    def test_resources_are_a_function_of_the_arguments_with_their_defaults(self, tmp_path):
        @tool(effect="read", resources=lambda path: [tmp_path / path])
        def read(path: str = "a", size: int = 3) -> str:
            return path

        assert read.access({"size": 1}).reads == (("path", *(tmp_path / "a").parts),)

    def test_links_lead_to_the_place_that_is_touched(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "real")

        @tool(effect="write", resources=lambda path: [tmp_path / path])
        def write(path: str) -> None: ...

        assert write.access({"path": "link/x/../y"}) == write.access({"path": "real/y"})

    def test_resources_that_end_the_program_are_an_error_of_the_call(self):
        made = tool(effect="read", resources=lambda: sys.exit(1))(nothing)
        with pytest.raises(ToolError, match="its resources are unknown: SystemExit: 1"):
            made.access({})

    def test_resources_that_fail_are_an_error_of_the_call(self):
        for broken in (lambda x: 1 / 0, lambda x: [3], lambda x: 7):

            @tool(effect="write", resources=broken)
            def write(x: int) -> None: ...

            with pytest.raises(ToolError, match="write: its resources are unknown"):
                write.access({"x": 1})


class TestIdentity:
    def test_it_stands_for_the_code(self):
        def make(body: str):
            names: dict = {"__name__": "somewhere"}
            exec(f"def f(x: int) -> int:\n    return {body}\n", names)
            return tool(names["f"])

        assert make("x + 1").identity == make("x + 1").identity
        assert make("x + 1").identity != make("x + 2").identity

    def test_what_holds_state_is_known_in_this_process_only(self):
        def make(n: int):
            def add(x: int) -> int:
                return x + n

            return tool(add)

        class Counter:
            @tool
            def count(self) -> int:
                return 1

        assert make(1).identity != make(1).identity
        assert Counter().count.identity != Counter().count.identity
        assert tool(functools.partial(make, 1)).identity != tool(functools.partial(make, 1)).identity
