"""What a model reads of a value."""

import asyncio
import datetime as dt
import decimal
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest
from pydantic import BaseModel

from hotloop.errors import ToolError
from hotloop.tools.content import content_of


class Model(BaseModel):
    day: dt.date


@dataclass
class Pair:
    left: int
    right: str


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("", ""),
        ("é\ud800", "é?"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (2**80, str(2**80)),
        ({"b": 1, "a": [1.5, None]}, '{"b":1,"a":[1.5,null]}'),
        ({1: "x"}, '{"1":"x"}'),
        ((1, 2), "[1,2]"),
        ({"b", "a", "c"}, '["a","b","c"]'),
        (b"bytes", "bytes"),
        (Model(day=dt.date(2026, 1, 2)), '{"day":"2026-01-02"}'),
        (Pair(1, "r"), '{"left":1,"right":"r"}'),
        ([Model(day=dt.date(2026, 1, 2))], '[{"day":"2026-01-02"}]'),
        (PurePosixPath("a/b"), '"a/b"'),
        (decimal.Decimal("1.50"), '"1.50"'),
    ],
)
def test_text_stays_and_the_rest_is_json(value, content):
    assert content_of(value) == content


def test_what_has_no_form_says_so():
    loop: list = []
    loop.append(loop)
    for value in (object(), b"\xff\xfe", loop, {"x": object()}, asyncio.new_event_loop):
        with pytest.raises(ToolError, match="the tool returned"):
            content_of(value)
