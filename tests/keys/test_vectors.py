"""The golden vectors, and Node as an independent writer where there is one."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotloop._core import cache_key, canonical_json, canonicalize, request_key
from hotloop.errors import CanonicalError

VECTORS = Path(__file__).parent.parent / "vectors"
REFERENCE = Path(__file__).parent / "reference.mjs"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
HEADER_NAMES = st.sampled_from(
    ["Accept", "accept", "OpenAI-Beta", "X-Api-Key", "x-stainless-os", "x-route", "b3", "X-B3-Id"]
)
SMALL = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.text(max_size=5), LEAVES, max_size=2)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def vectors(name: str) -> list[dict]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text("utf-8").split("\n") if line]


def node(*arguments: str, stdin: str = "") -> list[str]:
    assert NODE is not None
    run = subprocess.run([NODE, REFERENCE, *arguments], input=stdin.encode(), capture_output=True, check=True)
    return run.stdout.decode().removesuffix("\n").split("\n")


@pytest.mark.parametrize("vector", vectors("canonical"), ids=lambda vector: vector["text"][:30])
def test_canonical(vector):
    want = vector["canonical"].encode()
    assert canonicalize(vector["text"]) == canonicalize(want) == want
    assert canonical_json(json.loads(vector["text"])) == want


def test_doubles():
    for vector in vectors("doubles"):
        (number,) = struct.unpack(">d", bytes.fromhex(vector["bits"]))
        assert canonical_json(number) == canonicalize(vector["canonical"]) == vector["canonical"].encode()


@pytest.mark.parametrize("vector", vectors("refused"), ids=lambda vector: vector["text"][:30])
def test_refused(vector):
    for read in (canonicalize, lambda text: canonicalize(text.encode())):
        with pytest.raises(CanonicalError) as caught:
            read(vector["text"])
        assert caught.value.path == vector["path"]


def test_keys_of_values():
    for vector in vectors("values"):
        assert cache_key(json.loads(vector["text"]), namespace=vector["namespace"]).hex() == vector["key"]


def test_keys_of_requests():
    for vector in vectors("requests"):
        scope = {
            "url": vector["url"],
            "headers": [tuple(header) for header in vector["headers"]],
            "tenant": bytes.fromhex(vector["tenant"]),
            "namespace": vector["namespace"],
        }
        assert request_key(json.loads(vector["body"]), **scope).hex() == vector["key"]
        assert request_key(vector["body"].encode(), **scope).hex() == vector["key"]


@needs_node
def test_node_gives_the_vectors_from_the_documentation_alone():
    count = sum(len(vectors(name)) for name in ("canonical", "doubles", "values", "requests"))
    assert node("vectors", str(VECTORS)) == [str(count)]


@needs_node
def test_node_prints_the_same_doubles():
    rng = random.Random(8785)
    bits = [f"{rng.getrandbits(64):016x}" for _ in range(50_000)]
    near_powers = [struct.pack(">d", 10.0**e).hex() for e in range(-300, 300)]
    bits += [f"{int(power, 16) + step:016x}" for power in near_powers for step in (-1, 0, 1)]
    bits = [one for one in bits if one[:3] not in ("7ff", "fff")]
    for one, want in zip(bits, node("doubles", stdin="\n".join(bits)), strict=True):
        assert canonical_json(struct.unpack(">d", bytes.fromhex(one))[0]).decode() == want, one


@needs_node
@settings(max_examples=10, deadline=None)
@given(st.lists(VALUES, min_size=10, max_size=60))
def test_node_prints_the_same_values(values):
    texts = [json.dumps(value) for value in values]
    for value, want in zip(values, node("print", stdin="\n".join(texts)), strict=True):
        assert canonical_json(value).decode() == want
        assert canonicalize(want).decode() == want


@st.composite
def requests(draw):
    names = st.sampled_from(["model", "input", "Messages", "é", "🚀"]) | st.text(max_size=5)
    body = draw(st.dictionaries(names, SMALL, max_size=4))
    body |= draw(st.just({}) | st.fixed_dictionaries({"messages": st.lists(SMALL, max_size=4) | SMALL}))
    return {
        "body": json.dumps(body),
        "url": draw(st.text(max_size=9)),
        "headers": draw(st.lists(st.tuples(HEADER_NAMES, st.text("a \t,é", max_size=5)), max_size=6)),
        "tenant": draw(st.binary(max_size=40)).hex(),
        "namespace": draw(st.text(max_size=9)),
    }


@needs_node
@settings(max_examples=20, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=10))
def test_node_computes_the_same_keys_from_the_documentation_alone(asked):
    found = node("keys", stdin="\n".join(json.dumps(one) for one in asked))
    for one, want in zip(asked, found, strict=True):
        scope = {name: one[name] for name in ("url", "headers", "namespace")}
        scope["tenant"] = bytes.fromhex(one["tenant"])
        assert request_key(one["body"].encode(), **scope).hex() == want, one
        assert request_key(json.loads(one["body"]), **scope).hex() == want, one
