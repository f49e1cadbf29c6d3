"""Answers to copy the manner of: without one the model makes names of files up, with one it repeats what it read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Task

__all__ = ["examples", "question"]

# Two of each, so that neither their paths nor their numbers look like the thing to say.
_PLACE = (
    (
        "search",
        "File cart.js:\n  line 12: function addItem(item) {",
        "Where is the function addItem defined?",
        "The function addItem is defined in cart.js, line 12.",
    ),
    (
        "search",
        "File shop/cart.js:\n  line 12: function addItem(item) {",
        "Where is the function addItem defined?",
        "The function addItem is defined in shop/cart.js, line 12.",
    ),
)
_COUNT = (
    (
        "list",
        "red.txt\ngreen.txt\nblue.txt\n[3 lines]",
        "How many files are in colours?",
        "There are 3 files in colours.",
    ),
    (
        "search",
        "File cart.js:\n  line 4: class Cart {\n  line 90: class Item {\n[2 lines in 1 file]",
        "How many classes are in cart.js?",
        "There are 2 classes in cart.js.",
    ),
)
_TEXT = (
    (
        "read",
        "…\nThe cart is emptied after 30 days.\n…",
        "What does notes.txt say about emptying?",
        "It says that the cart is emptied after 30 days.",
    ),
    ("read", "name = shop\nport = 8080\n…", "Which port does shop.ini set?", "The port is 8080."),
)


def question(results: str, task: str) -> str:
    """Return the message that asks for an answer."""
    return f"{results}\n\nQuestion: {task}\nAnswer in one short sentence."


def examples(task: Task) -> list[dict[str, str]]:
    """Return questions of the kind of `task`, and their answers, as messages."""
    kind = _COUNT if task.counts else _PLACE if task.defines or task.locates else _TEXT
    talk = []
    for tool, result, about, answer in kind:
        talk += [
            {"role": "user", "content": question(f"Result of {tool}:\n{result}", about)},
            {"role": "assistant", "content": answer},
        ]
    return talk
