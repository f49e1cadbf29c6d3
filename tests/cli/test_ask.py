"""Approval on the terminal: a real pseudo-terminal, a person who types, a real server that scripts the model."""

import json
import os
import pty
import subprocess
import termios

import pytest

from support.origin import Origin, completion

from .conftest import Shell

WRITE = {"path": "made.txt", "content": "made\n"}
ASK = "as your reason: "


def wants(*calls):
    return completion(calls=[(f"c{n}", name, json.dumps(args)) for n, (name, args) in enumerate(calls)])


class Person:
    """Reads what a command shows, and types."""

    def __init__(self, shell: Shell, origin: Origin, *args: str, sees_all: bool = False) -> None:
        self.screen, theirs = pty.openpty()
        quiet = termios.tcgetattr(theirs)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, quiet)
        self.process = subprocess.Popen(
            shell.command("run", "change it", "--no-cache", *args),
            cwd=shell.folder,
            env=shell.env | {"OPENAI_BASE_URL": origin.url, "OPENAI_API_KEY": "k"},
            stdin=theirs,
            stdout=theirs if sees_all else subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
        )
        os.close(theirs)

    def sees(self, until: str) -> str:
        seen = b""
        while until.encode() not in seen:
            seen += os.read(self.screen, 1 << 16)
        return seen.decode()

    def types(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def end(self) -> str:
        out, _ = self.process.communicate(timeout=60)
        os.close(self.screen)
        return out


def told(origin):
    return [m["content"] for m in origin.requests[-1].body["messages"] if m["role"] == "tool"]


@pytest.mark.parametrize(
    ("answer", "made", "said"),
    [
        ("y\n", "made\n", "wrote made.txt"),
        ("n\n", None, "write_file was not run: a person refused it"),
        ("\n", None, "a person refused it"),
        ("use another name\n", None, "a person refused it: use another name"),
        ("\x04", None, "the terminal was closed before anybody answered"),
        ('e\n{"path": "made.txt", "content": "other"}\n', "other", "a person changed the arguments"),
        ("e\nnonsense\ny\n", "made\n", "wrote made.txt"),
    ],
)
def test_a_call_waits_for_the_answer(shell, answer, made, said):
    with Origin(wants(("write_file", WRITE)), completion("done")) as origin:
        person = Person(shell, origin, "--write")
        for line in answer.splitlines(keepends=True):
            person.sees("in one line: " if line.startswith(("{", "nonsense")) else ASK)
            assert not (shell.folder / "made.txt").exists()
            person.types(line)
        assert "done" in person.end()
        assert said in told(origin)[0]
    path = shell.folder / "made.txt"
    assert (path.read_text() if path.exists() else None) == made


def test_what_the_model_wrote_is_shown_escaped_and_in_full_on_demand(shell):
    hostile = "\x1b[2J\x1b[1;1Hls\r\n‮evil‬\x07\u0440\u0430ypal"
    middle = "a" * 3000 + " && rm -rf ~ && " + "b" * 3000
    with Origin(wants(("run_command", {"command": hostile + middle})), completion("done")) as origin:
        person = Person(shell, origin, "--commands")
        first = person.sees(ASK)
        person.types("s\n")
        second = person.sees(ASK)
        person.types("n\n")
        person.end()
    assert r"\u001b[2J\u001b[1;1Hls\r\n\u202eevil\u202c\u0007\u0440\u0430ypal" in first
    assert "characters are not shown]" in first
    assert middle in second
    assert (first + second).replace("\r\n", "\n").replace("\n", "").isprintable()


def test_calls_of_one_turn_are_asked_one_by_one(shell):
    calls = [("write_file", {"path": f"f{n}", "content": "x"}) for n in range(3)]
    with Origin(wants(*calls), completion("done")) as origin:
        person = Person(shell, origin, "--write")
        for n, answer in enumerate("yny"):
            assert f'path = "f{n}"' in person.sees(ASK)
            person.types(f"{answer}\n")
        person.end()
    assert sorted(path.name for path in shell.folder.iterdir()) == ["f0", "f2"]


def cursor_is_shown(screen):
    return screen.count("\x1b[?25l") == screen.count("\x1b[?25h")


def test_a_bar_shows_the_calls_that_are_under_way_and_leaves_while_a_person_is_asked(shell):
    os.mkfifo(shell.folder / "gate")
    calls = [("list_directory", {}), ("run_command", {"command": "cat gate"}), ("read_file", {"path": "nothing"})]
    with Origin(wants(*calls), completion("done"), completion("done")) as origin:
        person = Person(shell, origin, "--commands", sees_all=True)
        asked = person.sees(ASK)
        assert cursor_is_shown(asked)
        person.types("y\n")
        running = person.sees("1/3")
        assert not cursor_is_shown(running)
        assert "list_directory()" in running
        (shell.folder / "gate").write_text("opened")
        assert cursor_is_shown(asked + running + person.sees("generated"))
        person.end()
    assert told(origin)[1].startswith("opened")


def test_without_a_terminal_there_is_no_bar(shell):
    with Origin(wants(("list_directory", {}), ("list_directory", {})), completion("done")) as origin:
        done = shell("run", "look", "--no-cache", OPENAI_API_KEY="k", OPENAI_BASE_URL=origin.url)
    assert [line.strip().split("(")[0] for line in done.stdout.splitlines()].count("list_directory") == 2
    assert "\x1b" not in done.stdout + done.stderr
    assert "/2" not in done.stdout + done.stderr


def test_what_was_typed_ahead_is_no_answer(shell):
    with Origin(wants(("write_file", WRITE)), completion("done")) as origin:
        person = Person(shell, origin, "--write")
        person.types("y\n")
        person.sees(ASK)
        person.types("n\n")
        person.end()
    assert not (shell.folder / "made.txt").exists()


def test_ctrl_c_at_the_question_ends_the_run(shell):
    with Origin(wants(("write_file", WRITE)), completion("done")) as origin:
        person = Person(shell, origin, "--write")
        person.sees(ASK)
        person.process.send_signal(2)
        person.end()
    assert person.process.returncode == 130
    assert not (shell.folder / "made.txt").exists()


def test_without_a_terminal_such_calls_are_refused_and_with_yes_nobody_is_asked(shell):
    env = {"OPENAI_API_KEY": "k"}
    for options, made in (([], False), (["--yes"], True)):
        with Origin(wants(("write_file", WRITE)), completion("done")) as origin:
            done = shell("run", "change it", "--no-cache", "--write", *options, **env, OPENAI_BASE_URL=origin.url)
            assert done.returncode == 0
            assert ("standard input is no terminal" in told(origin)[0]) is not made
        assert (shell.folder / "made.txt").exists() is made


def test_without_the_options_there_are_no_such_tools(shell):
    with Origin(completion("done")) as origin:
        shell("run", "look", "--no-cache", "--yes", OPENAI_API_KEY="k", OPENAI_BASE_URL=origin.url)
        names = [one["function"]["name"] for one in origin.requests[0].body["tools"]]
    assert names == ["list_directory", "read_file", "grep_file", "find_files"]
