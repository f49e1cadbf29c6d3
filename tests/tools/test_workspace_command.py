"""run_command: what it gives, what it kills, and what a command cannot reach."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from hotloop.errors import ToolArgumentsError, WorkspaceError
from hotloop.tools import workspace_tools
from hotloop.tools.workspace import sandbox
from support.hands import Hands

WORKS = sandbox.sandboxed(["true"], "/", network=False) is not None
needs_bubblewrap = pytest.mark.skipif(not WORKS, reason="bubblewrap does not work here")
OPEN = "[not sandboxed: bubblewrap does not work here]"


@pytest.fixture
def place(tmp_path):
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "beside").write_text("beside")
    return root


@pytest.fixture
def bare(monkeypatch):
    """No bubblewrap, as on most machines."""
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)


@pytest.fixture
def run(place):
    return Hands(place, commands=True).run_command


@pytest.mark.usefixtures("bare")
class TestAnywhere:
    @pytest.mark.parametrize(
        ("command", "text"),
        [
            ("echo out; echo err >&2", "out\nerr\n"),
            ("printf 'no end'", "no end\n"),
            ("pwd; cat", "{place}\n"),
            ("printf '\\377ok\\n'", "�ok\n"),
        ],
    )
    async def test_output(self, place, run, command, text):
        assert await run(command=command) == text.format(place=place) + OPEN

    @pytest.mark.parametrize(
        ("command", "ending"),
        [
            ("exit 3", "no output; exit status 3"),
            ("true", "no output"),
            ("kill -9 $$", "ended by signal 9"),
            ("nowhere-to-be-found 2>/dev/null", "exit status 127"),
        ],
    )
    async def test_endings(self, run, command, ending):
        said = await run(command=command)
        assert said.startswith("[")
        assert ending.split("; ")[-1] in said

    async def test_long_output_keeps_its_beginning_and_its_end(self, run):
        said = await run(command="echo begin; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end")
        assert said.startswith("begin\nxxx")
        assert said.endswith("xxx\nend\n" + OPEN)
        assert "bytes are left out here" in said
        assert len(said) < 40_000

    async def test_what_takes_too_long_is_killed_with_all_that_it_started(self, place, run):
        said = await run(command="echo $$ > pid; (sleep 1000 & echo $! > child; wait) & wait", timeout=0.3)
        assert said == "[killed: it ran longer than 0.3 s; not sandboxed: bubblewrap does not work here]"
        for name in ("pid", "child"):
            await gone(int((place / name).read_text()))

    async def test_what_is_left_in_the_background_is_killed(self, place, run):
        assert await run(command="sleep 1000 & echo $! > child; echo done") == "done\n" + OPEN
        await gone(int((place / "child").read_text()))

    async def test_a_cancelled_call_leaves_no_process(self, place, run):
        task = asyncio.ensure_future(run(command="echo $$ > pid; exec sleep 1000"))
        while not (place / "pid").exists() or not (place / "pid").read_text():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        pid = int((place / "pid").read_text())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(pid)

    async def test_the_environment_holds_no_secret(self, run, monkeypatch):
        for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL", "PASSWORD"):
            monkeypatch.setenv(name, "the secret")
        monkeypatch.setenv("LC_TIME", "C")
        said = await run(command="env")
        assert "the secret" not in said
        assert "PATH=" in said
        assert "LC_TIME=C" in said

    async def test_no_terminal_and_a_group_of_its_own(self, run):
        said = await run(command="ps -o pgid= -p $$ | tr -d ' '; echo $$; tty")
        group, pid, tty = said.split("\n")[:3]
        assert group == pid
        assert tty == "not a tty"

    @pytest.mark.parametrize(
        "args", [{"command": ""}, {"command": "x", "timeout": 0}, {"command": "x", "timeout": 1e9}]
    )
    async def test_arguments_that_do_not_fit(self, run, args):
        with pytest.raises(ToolArgumentsError):
            run(**args)

    async def test_a_nul_character(self, run):
        with pytest.raises(WorkspaceError, match="NUL"):
            await run(command="echo a\0b")

    async def test_a_workspace_that_went_away(self, place, run):
        shutil.rmtree(place)
        with pytest.raises(WorkspaceError, match="cannot be started: No such file"):
            await run(command="true")


@needs_bubblewrap
class TestSandbox:
    async def test_only_the_workspace_can_be_written(self, place, run):
        beside = place.parent / "beside"
        said = await run(command=f"echo in > made; echo out > {beside}; touch /etc/hotloop-test /usr/hotloop-test")
        assert (place / "made").read_text() == "in\n"
        assert beside.read_text() == "beside"
        assert "Read-only file system" in said
        assert "not sandboxed" not in said

    async def test_the_network_and_other_processes_are_out_of_reach(self, run):
        assert "[no output; exit status 0]" not in await run(command="cat /proc/net/dev | grep -v lo: | grep :")
        said = await run(command=f"kill -0 {os.getpid()}; ls /proc | grep -c '^[0-9]'")
        assert "No such process" in said
        assert int(said.split("\n")[-2]) < 6

    async def test_keys_and_credentials_are_covered(self, run, monkeypatch):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # /tmp is the sandbox's own
            home = Path(name)
            (home / ".ssh").mkdir()
            (home / ".ssh" / "id").write_text("the secret")
            (home / ".netrc").write_text("the secret")
            (home / "notes").write_text("notes\n")
            monkeypatch.setenv("HOME", name)
            assert await run(command="cat ~/notes; cat ~/.netrc 2>/dev/null; ls ~/.ssh") == "notes\n"

    async def test_what_takes_too_long_is_killed(self, run):
        assert await run(command="sleep 1000", timeout=0.3) == "[killed: it ran longer than 0.3 s]"


def test_it_is_off_unless_enabled(place):
    assert "run_command" not in [made.name for made in workspace_tools(place)]
    (made,) = [one for one in workspace_tools(place, commands=True, approval="always") if one.name == "run_command"]
    assert (made.effect, made.approval) == ("external", "always")


async def gone(pid: int) -> None:
    """Wait for the end of a process that was killed; its parent may take a while to bury it."""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
