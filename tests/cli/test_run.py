"""``hotloop run`` against a real server on the loopback interface."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.origin import Answer, Origin, completion

from .conftest import Shell, failed

KEY = "sk-secret-of-the-test"
LOOK = completion(calls=[("c1", "list_directory", '{"path": "."}')], usage=(50, 9, 0))
ANSWER = completion("Only here.txt is there.", usage=(80, 6, 0))


@pytest.fixture
def hosted(shell: Shell) -> Shell:
    (shell.folder / "here.txt").write_text("I am here")
    shell.env |= {"OPENAI_API_KEY": KEY, "HOTLOOP_LLM_CLIENT__MAX_RETRIES": "0"}
    return shell


def at(origin: Origin) -> dict[str, str]:
    return {"OPENAI_BASE_URL": origin.url}


def test_a_run_shows_turns_tools_answer_and_counts(hosted: Shell) -> None:
    with Origin(LOOK, ANSWER) as origin:
        done = hosted("run", "What is there?", **at(origin))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("turn 1  model call, ")
    assert lines[0].endswith(", 9 tokens")
    assert lines[1].startswith('  list_directory(path=".")  ')
    assert lines[2].startswith("turn 2  model call, ")
    assert lines[3:6] == ["", "Only here.txt is there.", ""]
    assert lines[6].startswith("2 turns, 2 model calls, 0 cache hits, 15 tokens generated, ")
    assert "\x1b" not in done.stdout  # not a terminal
    assert [request.body["model"] for request in origin.requests] == ["gpt-5-mini", "gpt-5-mini"]
    assert "here.txt" in origin.requests[1].body["messages"][-1]["content"]


def test_the_second_run_asks_nobody_and_counts_no_token(hosted: Shell) -> None:
    with Origin(LOOK, ANSWER) as origin:
        first = hosted("run", "What is there?", "--json", **at(origin))
        second = hosted("run", "What is there?", "--json", **at(origin))
        fresh = hosted("run", "What is there?", "--json", "--no-cache", **at(origin))
        asked = len(origin.requests)
    (line,) = second.stdout.splitlines()
    counts = json.loads(line)
    assert list(counts) == ["output", "turns", "model_calls", "cache_hits", "tokens_generated", "seconds"]
    assert counts | {"seconds": 0} == {
        "output": "Only here.txt is there.",
        "turns": 2,
        "model_calls": 2,
        "cache_hits": 2,
        "tokens_generated": 0,
        "seconds": 0,
    }
    assert json.loads(first.stdout)["tokens_generated"] == 15
    assert "turn 1  cache hit (sqlite), " in second.stderr
    assert json.loads(fresh.stdout)["cache_hits"] == 0
    assert asked == 3  # two of the first run, and the answer of the last


def test_sampled_answers_can_be_kept_out_of_the_cache(hosted: Shell, inside) -> None:
    with Origin(LOOK, ANSWER) as origin:
        for _ in range(2):
            inside("run", "What is there?", HOTLOOP_RESPONSE_CACHE__CACHE_SAMPLED="no", **at(origin))
        assert len(origin.requests) == 3


def test_quiet_prints_the_answer_alone(hosted: Shell, inside) -> None:
    with Origin(LOOK, ANSWER) as origin:
        done = inside("run", "What is there?", "-q", **at(origin))
        assert (done.stdout, done.stderr) == ("Only here.txt is there.\n", "")
        done = inside("run", "What is there?", "-q", "--json", **at(origin))
    assert done.stderr == ""
    assert json.loads(done.stdout)["output"] == "Only here.txt is there."


def test_the_model_is_that_of_the_option_then_of_the_configuration(hosted: Shell, inside) -> None:
    with Origin(ANSWER) as origin:
        configured = at(origin) | {"HOTLOOP_LLM_CLIENT__MODEL": "openai:configured"}
        inside("run", "x", **configured)
        inside("run", "x", "--model", "openai:named", **configured)
    assert [request.body["model"] for request in origin.requests] == ["configured", "named"]


def test_what_a_model_says_does_not_steer_the_terminal(hosted: Shell, inside) -> None:
    with Origin(completion("red \x1b[31m, bell \x07, ü")) as origin:
        done = inside("run", "x", **at(origin))
        assert "\nred �[31m, bell �, ü\n" in done.stdout
        exact = inside("run", "x", "--json", **at(origin))
    assert json.loads(exact.stdout)["output"] == "red \x1b[31m, bell \x07, ü"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401, {"error": {"message": "Incorrect API key"}}), "401"),
        (Answer(404, {"error": {"message": "no such model"}}), "404"),
        (Answer(500, b"<html>\x1b[31moops\nagain</html>"), "500"),
        (Answer(200, b"<html>hello</html>"), "not JSON"),
        (Answer(200, b""), ""),
        (Answer(200, {"choices": []}), "no chat completion"),
        (Answer(cut="head"), ""),
    ],
    ids=["401", "404", "500", "nonsense", "empty", "no choices", "cut off"],
)
def test_a_server_that_fails_is_one_line(hosted: Shell, inside, answer: Answer, said: str) -> None:
    with Origin(answer) as origin:
        done = inside("run", "x", **at(origin))
    line = failed(done, 5)
    assert said in line
    assert "\x1b" not in line
    assert done.stdout == ""


def test_a_server_that_is_not_there_is_one_line(hosted: Shell, inside) -> None:
    with Origin() as origin:
        pass  # now nobody listens there
    failed(inside("run", "x", **at(origin)), 5)


def test_the_key_is_in_no_output(hosted: Shell) -> None:
    with Origin(Answer(401, {"error": {"message": f"Incorrect API key: {KEY}"}})) as origin:
        done = hosted("run", "x", "-v", **at(origin))
    assert done.returncode == 5
    assert "Traceback" in done.stderr
    assert origin.requests[0].headers["authorization"] == f"Bearer {KEY}"
    for command in (["doctor", "-v"], ["doctor", "--json"], ["config", "show", "-v"]):
        done = hosted(*command, **at(origin))
        assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("model", ["", "gpt-5", "nobody:gpt-5", "openai:", "local:gpt-5", "\x1b[31m:x"])
def test_a_model_that_nobody_serves_is_one_line(inside, model: str) -> None:
    line = failed(inside("run", "x", "--model", model), 4)
    assert "local:smollm2" in line


def test_a_hosted_model_without_a_key_is_one_line(inside) -> None:
    assert "OPENAI_API_KEY" in failed(inside("run", "x", "--model", "openai:gpt-5-mini"), 4)


def test_the_embedded_model_without_its_packages_is_one_line(shell: Shell) -> None:
    hidden = "import sys; sys.modules['xllamacpp'] = None; from hotloop.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "run", "x"], cwd=shell.folder, env=shell.env, capture_output=True, text=True
    )
    line = failed(done, 4)
    assert "local:smollm2" in line
    assert "pip install" in line


def test_a_run_without_an_answer_says_so(hosted: Shell, inside) -> None:
    with Origin(LOOK) as origin:
        line = failed(inside("run", "x", "--max-turns", "2", **at(origin)), 7)
    assert "2 turns" in line


def test_an_interrupted_model_call_leaves_a_usable_cache(hosted: Shell) -> None:
    gate = threading.Event()
    with Origin(LOOK, Answer(200, gate=gate)) as origin:
        process = hosted.start("run", "x", **at(origin))
        origin.wait_for(2)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        gate.set()
    assert (process.returncode, error) == (130, "hotloop: interrupted\n")
    assert "turn 1" in out
    assert hosted("cache", "stats", "-q").stdout == "1\n"


def test_ctrl_c_again_and_again_ends_with_the_same_code_and_leaves_no_child(shell: Shell) -> None:
    process = shell.start("run", "Where is x?", "--model", "local:smollm2")
    assert process.stdout is not None
    process.stdout.readline()  # the model is asked, so its server runs
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    _out, error = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in error) == (130, False)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(Path(f"/proc/{child}").exists() for child in children):
        os.sched_yield()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_reader_that_goes_away_in_a_run_is_no_error(hosted: Shell) -> None:
    gate = threading.Event()
    slow = completion("late")
    slow.gate = gate
    with Origin(LOOK, slow) as origin:
        process = hosted.start("run", "x", **at(origin))
        assert process.stdout is not None
        assert process.stdout.readline().startswith("turn 1")
        process.stdout.close()
        gate.set()
        assert process.wait(60) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
@pytest.mark.parametrize("plain", [True, False])
def test_colours_are_for_terminals_and_not_where_they_are_unwanted(hosted: Shell, plain: bool) -> None:
    ours, theirs = os.openpty()
    with Origin(ANSWER) as origin:
        env = hosted.env | at(origin) | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if plain else {})
        done = subprocess.Popen(hosted.command("run", "x"), cwd=hosted.folder, env=env, stdout=theirs)
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how a terminal says that its other end is closed
                break
            if not piece:
                break
            seen += piece
        assert done.wait(60) == 0
    os.close(ours)
    assert b"Only here.txt is there." in seen
    assert (b"\x1b" in seen) != plain
