"""``hotloop doctor``."""

import json

import hotloop
from hotloop import _core

from .conftest import Shell


def report(inside, code: int, **env: str) -> dict:
    done = inside("doctor", "--json", **env)
    assert (done.returncode, done.stderr) == (code, "")
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said["ok"] == (code == 0)
    return said | {one["name"]: one for one in said["findings"]}


def test_it_says_what_a_run_would_use(shell: Shell, inside) -> None:
    said = report(inside, 0, OPENAI_API_KEY="sk-secret")
    assert hotloop.__version__ in said["hotloop"]["text"]
    assert said["build_profile"] == _core.build_profile
    assert said["model"]["text"] == "openai:gpt-5-mini (OPENAI_API_KEY is set)"
    assert said["cache"]["text"] == f"{shell.cache_file} (made by the first run)"
    assert said["variables"] == {"OPENAI_API_KEY": "set", "OPENAI_BASE_URL": "not set"}
    assert said["extras"]["cli"]["installed"]
    assert any(package.startswith("typer ") for package in said["extras"]["cli"]["packages"])
    assert said["extras"]["redis"]["command"] == 'pip install "hotloop[redis]"'
    assert not {"all", "dev"} & set(said["extras"])
    assert not shell.cache_file.exists()  # it looks, and makes nothing


def test_the_model_and_the_reason(shell: Shell, inside) -> None:
    said = report(inside, 0, OPENAI_API_KEY="k", HOTLOOP_LLM_CLIENT__MODEL="openai:other")
    assert said["model"]["text"] == "openai:other (llm_client.model is set)"
    assert said["config"]["text"].startswith("set by HOTLOOP_LLM_CLIENT__MODEL; the user's file is ")


def test_it_fails_with_the_code_that_a_run_would_end_with(shell: Shell, inside) -> None:
    assert not report(inside, 4, HOTLOOP_LLM_CLIENT__MODEL="openai:gpt-5-mini")["model"]["ok"]
    assert not report(inside, 4, HOTLOOP_LLM_CLIENT__MODEL="nobody:x")["model"]["ok"]
    assert not report(inside, 8, OPENAI_API_KEY="k", HOTLOOP_RESPONSE_CACHE__PATH=".")["cache"]["ok"]
    (shell.folder / "file").touch()
    assert not report(inside, 8, OPENAI_API_KEY="k", HOTLOOP_RESPONSE_CACHE__PATH="file/x.db")["cache"]["ok"]
    said = report(inside, 3, OPENAI_API_KEY="k", HOTLOOP_LLM_CLIENT__MODLE="x")
    assert "did you mean" in said["config"]["text"]
    assert said["model"]["ok"]  # the rest is still looked at


def test_quiet_says_only_what_is_wrong(shell: Shell, inside) -> None:
    assert inside("doctor", "-q", OPENAI_API_KEY="k").stdout == ""
    (line,) = inside("doctor", "-q", HOTLOOP_LLM_CLIENT__MODEL="nobody:x").stdout.splitlines()
    assert line.startswith("✗ model     nobody:x")


def test_a_cache_that_is_turned_off_is_no_problem(shell: Shell, inside) -> None:
    said = report(inside, 0, OPENAI_API_KEY="k", HOTLOOP_RESPONSE_CACHE__DISK="no")
    assert "turned off" in said["cache"]["text"]
