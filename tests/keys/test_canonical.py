"""Canonical JSON of Python values and of JSON text."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import subprocess
import sys
import threading
from collections import ChainMap, OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from hotloop._core import cache_key, canonical_json, canonicalize, request_key
from hotloop.errors import CanonicalError

INTEGERS = st.integers(-(2**53), 2**53)
LEAVES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 7


@dataclasses.dataclass
class Point:
    y: int
    x: float = 1.0


@given(VALUES)
def test_a_value_and_its_text_give_the_bytes_of_an_independent_writer(value):
    want = canonical_json(value)
    if not any(abs(number) == 2**53 for number in _numbers(value)):  # which rfc8785 refuses
        assert want == rfc8785.dumps(value)
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert canonicalize(text) == want
        assert canonicalize(text.encode()) == want
    assert canonicalize(want) == want


def _numbers(value):
    if isinstance(value, dict):
        return [n for item in value.values() for n in _numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in _numbers(item)]
    return [value] if isinstance(value, int | float) else []


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_read_back(number):
    text = canonical_json(number)
    assert float(text) == number
    assert canonicalize(repr(number)) == canonicalize(text) == text


@given(st.integers(-(2**1100), 2**1100) | st.integers(-(2**64), 2**64))
def test_integers_are_exact_or_refused(number):
    try:
        exact = int(float(number)) == number
    except OverflowError:
        exact = False
    if exact:
        assert canonical_json(number) == canonical_json(float(number)) == canonicalize(str(number))
    else:
        with pytest.raises(CanonicalError, match="integer"):
            canonical_json([number])
        with pytest.raises(CanonicalError, match="integer"):
            request_key(f'{{"seed":{number}}}'.encode())


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Size.BIG, 7),
        ({Colour.RED: Size.BIG}, {"red": 7}),
        (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict(a=1), {"a": 1}),
        (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        ((1, (2,)), [1, [2]]),
        (namedtuple("Pair", "a b")(1, 2), [1, 2]),
        (Point(y=2), {"x": 1, "y": 2}),
        ([Point(1), {"k": Point(2)}], [{"x": 1, "y": 1}, {"k": {"x": 1, "y": 2}}]),
        (2**60, float(2**60)),
        (True, True),
        (type("Text", (str,), {"__str__": lambda self: "other"})("x"), "x"),
        (
            type(
                "Count", (int,), {"__int__": lambda self: 9, "__index__": lambda self: 9, "__float__": lambda self: 9.0}
            )(3),
            3,
        ),
        (type("Ratio", (float,), {"__float__": lambda self: 9.0})(0.5), 0.5),
    ],
)
def test_what_stands_for_json(value, plain):
    assert canonical_json(value) == canonical_json(plain)


def _lone(name):
    return {"a": [0, name]}


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (math.nan, "$", "not a JSON number"),
        ([math.inf], "$[0]", "not a JSON number"),
        (_lone("\ud800"), "$.a[1]", "surrogate"),
        ({"a": {"\udfff": 1}}, "$.a", "surrogate"),
        ({"a": {1: 2}}, "$.a", "type int, not a string"),
        ({"a": {None: 2}}, "$.a", "type NoneType"),
        ([{"x y": {1, 2}}], '$[0]["x y"]', "type set"),
        (b"bytes", "$", "type bytes"),
        (Point, "$", "type type"),
        ([2**53 + 1], "$[0]", "integer"),
        ([10**400], "$[0]", "integer"),
        (object(), "$", "type object"),
        (enum.Enum("E", "A").A, "$", "type E"),
    ],
)
def test_what_has_no_canonical_form(value, path, reason):
    with pytest.raises(CanonicalError, match=reason) as caught:
        canonical_json(value)
    assert caught.value.path == path
    with pytest.raises(CanonicalError):
        cache_key(value)


def test_names_that_are_equal_as_text():
    class Name(str):
        __slots__ = ()
        __hash__ = object.__hash__

        def __eq__(self, other):
            return self is other

    with pytest.raises(CanonicalError, match="two members") as caught:
        canonical_json([{Name("k"): 1, Name("k"): 2}])
    assert caught.value.path == "$[0].k"


def test_cycles_and_depth():
    cycle: list = []
    cycle.append({"again": cycle})
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (cycle, deep):
        with pytest.raises(CanonicalError, match="512"):
            canonical_json(value)
    with pytest.raises(CanonicalError, match="512"):
        canonicalize("[" * 100_000)
    for nest in (
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {"k": inner},
        lambda inner: OrderedDict(k=inner),
    ):
        value = nest(1)
        for _ in range(511):
            value = nest(value)
        assert canonicalize(canonical_json(value)) == canonical_json(value)
        with pytest.raises(CanonicalError, match="512"):
            canonical_json(nest(value))


def test_a_value_that_shares_its_parts_is_bounded():
    value: list = []
    for _ in range(25):
        value = [value, value]
    with pytest.raises(CanonicalError, match="longer than"):
        cache_key(value)


class Endless(dict):
    def items(self):
        while True:
            yield "k", 1


class Raising(dict):
    def __init__(self, error):
        super().__init__(k=1)
        self.error = error

    def items(self):
        raise self.error


def test_methods_that_never_end_or_raise():
    with pytest.raises(CanonicalError, match="more than"):
        canonical_json([Endless()])
    with pytest.raises(CanonicalError, match="raised ZeroDivisionError") as caught:
        canonical_json({"a": [Raising(ZeroDivisionError("secret"))]})
    assert caught.value.path == "$.a[0]"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "secret" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt):
        canonical_json(Raising(KeyboardInterrupt()))


def test_a_method_that_asks_for_its_own_form():
    class Inward(dict):
        def items(self):
            return [("k", canonical_json([[self]]).decode())]

    with pytest.raises(CanonicalError):
        canonical_json(Inward())


def test_a_method_that_changes_what_is_being_read():
    class Saboteur(dict):
        def items(self):
            outer.clear()
            inner.clear()
            return [("s", 1)]

    inner = ["x" * 50, Saboteur(), "y" * 50]
    outer = {f"k{i}": "v" * i for i in range(20)} | {"a": inner, "z": "last" * 10}
    text = canonical_json(outer)
    assert json.loads(text)["z"] == "last" * 10
    assert not outer


def test_other_threads_may_change_what_is_read():
    value = {str(i): [i] for i in range(50)}
    stop = threading.Event()

    def churn():
        i = 0
        while not stop.is_set():
            value[str(i % 50)] = [i] * (i % 7)
            value.pop(f"x{i - 1}", None)
            value[f"x{i}"] = {"n": str(i)}
            i += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for wrapped in [value, OrderedDict(value=value)] * 500:
            text = canonical_json(wrapped)
            assert canonicalize(text) == text
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("text", [bytearray(b'{"a": 1}'), memoryview(b'{"a": 1}'), '{"a": 1}', b'{"a": 1}'])
def test_text_comes_in_four_types(text):
    assert canonicalize(text) == b'{"a":1}'


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a":["\xff"]}', "$.a[0]"),
        (b'{"a":1,"a":1}', "$.a"),
        (b"[1] 2", "$"),
        (b'["\\ud800"]', "$[0]"),
        ("\ud800", "$"),
        (b'{"a":[9007199254740993]}', "$.a[0]"),
        (b"[NaN]", "$[0]"),
    ],
)
def test_text_that_has_no_canonical_form(text, path):
    with pytest.raises(CanonicalError) as caught:
        canonicalize(text)
    assert caught.value.path == path


def test_text_is_text():
    with pytest.raises(TypeError, match="bytes or str"):
        canonicalize(1)


def test_the_deepest_values_fit_a_thread_with_a_small_stack():
    program = """
import threading
from hotloop._core import cache_key, canonical_json, canonicalize, request_key
from hotloop.errors import CanonicalError

class Items(list):
    pass

def nested(wrap, levels=512):
    value = wrap(1)
    for _ in range(levels - 1):
        value = wrap(value)
    return value

def refused(call, value):
    try:
        call(value)
    except CanonicalError:
        return
    raise SystemExit("not refused")

def work():
    canonical_json(nested(lambda value: [value]))
    cache_key(nested(lambda value: {"a": value}))
    canonical_json(nested(lambda value: Items([value])))
    canonicalize("[" * 512 + "]" * 512)
    request_key('{"a":' * 512 + "1" + "}" * 512)
    request_key({"messages": [nested(lambda value: {"a": value, "b": "b" * 100}), {}]})
    refused(canonical_json, nested(lambda value: [value, {1: 1}]))
    refused(canonical_json, nested(lambda value: Items([value]), 10_000))
    refused(canonicalize, "[" * 10_000)
    done.append(True)

done = []
threading.stack_size(512 << 10)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert done
"""
    subprocess.run([sys.executable, "-c", program], check=True)
