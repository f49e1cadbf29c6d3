"""The golden vectors of tests/vectors in four languages: Rust, Python, C, and JavaScript as an independent writer.

Python and C are asked here, case by case; Rust and Node read the files themselves and are run.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from hotloop import _core

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"


def vectors(name: str) -> list[dict]:
    return [json.loads(line) for line in (VECTORS / f"{name}.jsonl").read_text("utf-8").split("\n") if line]


@pytest.fixture(params=["Python", "C"])
def language(request):
    """The functions of one language, all on JSON text as bytes."""
    if request.param == "C":
        return request.getfixturevalue("c")

    class Python:
        canonicalize = staticmethod(_core.canonicalize)
        request_key = staticmethod(_core.request_key)

        @staticmethod
        def cache_key(text, namespace):
            return _core.cache_key(json.loads(text), namespace=namespace)

    return Python


def test_canonical_forms(language):
    for vector in vectors("canonical"):
        for field in ("text", "canonical"):
            assert language.canonicalize(vector[field].encode()).decode() == vector["canonical"]


def test_doubles(language):
    for vector in vectors("doubles"):
        (number,) = struct.unpack(">d", bytes.fromhex(vector["bits"]))
        for text in (vector["canonical"], repr(number)):
            assert language.canonicalize(text.encode()).decode() == vector["canonical"]


def test_what_is_refused(language):
    for vector in vectors("refused"):
        with pytest.raises(ValueError, match=f"^{re.escape(vector['path'])}: "):
            language.canonicalize(vector["text"].encode())


def test_keys_of_values(language):
    for vector in vectors("values"):
        assert language.cache_key(vector["text"].encode(), vector["namespace"]).hex() == vector["key"]


def test_keys_of_requests(language):
    for vector in vectors("requests"):
        scope = {
            "url": vector["url"],
            "headers": [tuple(header) for header in vector["headers"]],
            "tenant": bytes.fromhex(vector["tenant"]),
            "namespace": vector["namespace"],
        }
        assert language.request_key(vector["body"].encode(), **scope).hex() == vector["key"]


def test_rust():
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    command = ["cargo", "test", "--quiet", "--locked", "-p", "hotloop-core", "--test", "canonical", "vectors"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 passed" in done.stdout, done.stdout


def test_javascript():
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    command = ["node", ROOT / "tests" / "keys" / "reference.mjs", "vectors", VECTORS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == sum(len(vectors(name)) for name in ("canonical", "doubles", "values", "requests"))
