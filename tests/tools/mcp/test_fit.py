"""Arguments against schemas of servers, hostile ones among them: a check that took for ever would fail here."""

import pytest

from hotloop.tools.mcp.fit import Fit

SLOW = "^(a+)+$"
NEARLY = "a" * 60 + "!"
DOUBLED = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "args", "problem"),
    [
        ({"properties": {"x": {"type": "string"}}}, {"x": 1}, "x: 1 is not of type 'string'"),
        ({"properties": {"x": {"pattern": "^a"}}}, {"x": "b"}, "x: 'b' does not match '^a'"),
        ({"properties": {"x": {"pattern": "^a"}}}, {"x": "ab"}, None),
        ({"properties": {"x": {"pattern": "^a"}}}, {"x": 1}, None),
        ({"patternProperties": {"^a": {"type": "integer"}}}, {"a1": "x"}, "a1: 'x' is not of type 'integer'"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"a": 1}, None),
        (
            {"patternProperties": {"^a": {}}, "additionalProperties": False},
            {"b": 1},
            "Additional properties are not allowed ('b' was unexpected)",
        ),
        (
            {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
            {"b": 2},
            "b: 2 is not of type 'string'",
        ),
        ({"properties": {"x": {"uniqueItems": True}}}, {"x": [1, 1]}, "x: [1, 1] has non-unique elements"),
        # left to the server
        ({"properties": {"x": {"pattern": "(?<=a)b"}}}, {"x": "c"}, None),
        ({"patternProperties": {"(?<=a)b": {}}, "additionalProperties": False}, {"c": 1}, None),
        ({"type": "nonsense"}, {"x": 1}, None),
        ({"$ref": "http://127.0.0.1:1/x"}, {"x": 1}, None),
        ({"$ref": "#"}, {"x": 1}, None),
        # hostile
        ({"properties": {"x": {"pattern": SLOW}}}, {"x": NEARLY}, f"x: {NEARLY!r} does not match {SLOW!r}"),
        ({"patternProperties": {SLOW: {"type": "integer"}}}, {NEARLY: "x"}, None),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": {"type": "integer"}}, {NEARLY: 1}, None),
        ({"patternProperties": {SLOW: {}}, "unevaluatedProperties": False}, {NEARLY: 1}, None),
        ({"$defs": DOUBLED, "properties": {"x": {"$ref": "#/$defs/d0"}}}, {"x": "s"}, None),
        ({"properties": {"x": {"uniqueItems": True}}}, {"x": [{}] * 100_000}, None),
    ],
)
def test_what_is_found(schema, args, problem):
    assert Fit({"type": "object", **schema} if "$ref" not in schema else schema).problem(args) == problem
