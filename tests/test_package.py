"""The package as a stranger meets it: its names, its weight, its wheel."""

import json
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

import hotloop

ROOT = Path(__file__).parents[1]
HEAVY = {"asyncio", "httpx2", "orjson", "pydantic", "sqlite3", "typing_extensions", "xllamacpp", "rich", "typer"}


def python(code: str, executable: str = sys.executable) -> str:
    done = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_can_be_had_and_is_listed():
    names = set(hotloop.__all__)
    assert names == set(hotloop._HOME)
    for name in names:
        assert getattr(hotloop, name) is not None
    assert names <= set(dir(hotloop))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = hotloop.no_such_name


def test_importing_hotloop_loads_nothing_heavy():
    loaded = set(json.loads(python("import hotloop, sys, json; print(json.dumps(sorted(sys.modules)))")))
    assert not loaded & HEAVY
    assert "hotloop._core" not in loaded


def test_the_native_module_is_a_release_build():
    from hotloop import _core

    assert _core.build_profile == "release"


def test_the_wheel_imports_in_an_empty_environment_and_pulls_only_what_the_core_needs(tmp_path):
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if not wheels:
        pytest.skip("no wheel: run the tests with `make test`, which builds it")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    inside = str(venv / "bin" / "python")
    pip = [inside, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", ROOT / "requirements.lock", *wheels], check=True)
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True).stdout
    installed = {entry["name"].lower().replace("_", "-") for entry in json.loads(listed)} - {"pip", "setuptools"}
    needed = {line.split(">")[0].split("<")[0] for line in requires("hotloop") or [] if "extra ==" not in line}
    assert needed <= installed
    assert not installed & {"openai", "anthropic", "redis", "mcp", "typer", "rich", "xllamacpp", "httpx"}
    code = "import hotloop\nfor name in hotloop.__all__: getattr(hotloop, name)\nprint(hotloop.cache_key(1).hex())"
    assert python(code, inside).strip() == hotloop.cache_key(1).hex()


def test_the_wheel_holds_all_that_is_no_code_and_no_tests():
    package = ROOT / "python"
    ours = {path for path in package.rglob("*") if path.suffix in (".jinja", ".pyi", ".toml", ".typed")}
    assert len(ours) >= 3
    for wheel in (ROOT / "dist").glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert {path.relative_to(package).as_posix() for path in ours} <= set(names)
        assert not [name for name in names if name.startswith("tests/")]
