"""The command as a process: usage errors, streams, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotloop.cli.app import invoke
from hotloop.cli.errors import Code, code_of, report
from hotloop.errors import HotloopError, MissingExtraError, ModelStatusError

from .conftest import Shell, failed

COMMANDS = [["run"], ["config", "show"], ["config", "check"], ["cache", "stats"], ["cache", "clear"], ["doctor"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_the_common_options_and_documents_its_exit_codes(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert invoke([*command, "--help"]) == 0
    said = capsys.readouterr()
    for part in ("--json", "-q, --quiet", "-v, --verbose", "--config FILE", "Exit codes:", "130  interrupted"):
        assert part in said.out
    assert said.err == ""


def test_the_help_of_the_whole_lists_all_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    text = capsys.readouterr().out
    for code in Code:
        assert f"{code:>3}  {code.doc}" in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing command"),
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'TASK'"),
        (["run", ""], "the task is empty"),
        (["run", " \n"], "the task is empty"),
        (["run", "x", "--max-turns", "0"], "greater than or equal to 1"),
        (["run", "x", "--max-turns", "many"], "valid integer"),
        (["run", "x", "--max-trns", "1"], "No such option: --max-trns"),
        (["run", "x", "y"], "unexpected extra argument"),
        (["run", "x", "--model"], "Option '--model' requires an argument"),
        (["config"], "Missing command"),
    ],
)
def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert invoke(args) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("hotloop: ")
    assert said in line
    assert line.endswith("--help)\n")
    assert line.count("\n") == 1


def test_a_task_that_is_not_text_is_refused(shell: Shell) -> None:
    done = subprocess.run(
        [*shell.command("run"), b"caf\xe9"], cwd=shell.folder, env=shell.env, capture_output=True, text=True
    )
    assert "not valid text" in failed(done, 2)


@pytest.mark.parametrize("workspace", ["missing", "", "file", "file/below"])
def test_a_workspace_that_is_no_folder(shell: Shell, workspace: str) -> None:
    (shell.folder / "file").touch()
    line = failed(shell("run", "x", "--workspace", workspace), 6)
    assert line.startswith(f"the workspace {workspace!r} ")


def test_version(shell: Shell) -> None:
    import hotloop

    assert shell("--version").stdout == f"hotloop {hotloop.__version__}\n"


def test_without_the_extra_one_line_says_what_to_install(shell: Shell) -> None:
    hidden = "import sys; sys.modules['typer'] = None; from hotloop.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", hidden], env=shell.env, capture_output=True, text=True)
    assert failed(done, 4) == 'the command line needs the extra "cli": pip install "hotloop[cli]"'


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        shell.command("config", "show"), cwd=shell.folder, env=shell.env, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            shell.command("config", "show"),
            cwd=shell.folder,
            env=shell.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert "No space left" in failed(done, 74)


def test_streams_that_are_narrow_or_closed_do_no_harm(shell: Shell) -> None:
    (shell.folder / "hotloop.toml").write_text('[response_cache]\nnamespace = "ä"', "utf-8")
    assert "\\xe4" in shell("config", "show", PYTHONIOENCODING="ascii").stdout
    script = f'"{sys.executable}" -m hotloop config show >&-'
    done = subprocess.run(["sh", "-c", script], cwd=shell.folder, env=shell.env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_bug_says_so_and_shows_where_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    error = ZeroDivisionError("division\nby zero \x1b[31m")
    assert report(error) == Code.BUG
    line = capsys.readouterr().err
    assert line == "hotloop: this is a bug: ZeroDivisionError: division by zero �[31m (-v shows where)\n"
    assert report(error, verbose=True) == Code.BUG
    assert "ZeroDivisionError" in capsys.readouterr().err.splitlines()[-2]


def test_every_error_of_the_tree_has_a_code() -> None:
    def tree(kind: type[HotloopError]) -> list[type[HotloopError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    for kind in tree(HotloopError):
        assert code_of(kind.__new__(kind)) in set(Code) - {Code.OK, Code.BUG, Code.OUTPUT, Code.INTERRUPTED}
    assert code_of(MissingExtraError("x", "y")) == 4
    assert code_of(ModelStatusError("x", 401)) == 5
    assert code_of(KeyboardInterrupt()) == 130
    assert code_of(RuntimeError()) == 70
