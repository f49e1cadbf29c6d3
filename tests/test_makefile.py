"""`make run` hands the task on as it is: nothing in it is make's, the shell's or an option."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEFAULT = "Which file defines the tool decorator?"


def make(*args: str, task: str) -> str:
    command = ["make", "--silent", "--no-print-directory", *args, f"TASK={task}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("plain", "plain"),
        ("$(shell echo pwned) $5 $$ $HOME `id`", "$(shell echo pwned) $5 $$ $HOME `id`"),
        ("an open $( and ${", "an open $( and ${"),
        ("two\nlines, a 'quote', a \"quote\" # and ünï 漢字", "two\nlines, a 'quote', a \"quote\" # and ünï 漢字"),
        ("-x --help", "-x --help"),
        ("", DEFAULT),
        ("  ", DEFAULT),
    ],
)
def test_the_task_arrives_as_it_was_written(task, told):
    show = 'show:;@printf %s "$$HOTLOOP_MAKE_TASK"'
    assert make("--eval", show, "show", task=task) == told


def test_a_task_is_no_option():
    recipe = make("--dry-run", "--assume-old=.venv/run.stamp", "run", task="-x")
    assert '-- "$HOTLOOP_MAKE_TASK"' in recipe


def test_nothing_in_a_task_is_run(tmp_path):
    make("--eval", "show:;@true", "show", task=f"$(shell touch {tmp_path}/run) `touch {tmp_path}/run`")
    assert not list(tmp_path.iterdir())
