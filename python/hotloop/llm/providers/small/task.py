"""What a task names: identifiers, quotations, paths, numbers, and what kind of thing it asks for."""

from __future__ import annotations

import re
from functools import cached_property

__all__ = ["COMMON", "Task", "stem"]

_EDGES = ".,;:?!'\"`()[]{}<>\u201c\u201d\u2018\u2019"
COMMON = frozenset(
    """
    a about all an and any are as at be by can could did do does for from had has have here how i in into is it its
    me my no not of on one or our please so some tell than that the their them then there these they this those to
    us use used uses was we were what when where which who whose why will with would you your call called calls contain
    contains count declare declared declares define defined defines definition describe exist explain find give handle
    handled handles has hold holds implement implemented implements import imports introduce list live lives located
    look many mention mentions name named names need needs number print return returns say says see show work works
    write written file files folder folders directory directories module modules package code source repository
    project workspace entries
    """.split()  # noqa: SIM905  (words read best as text)
)
_CALLABLE = "def|fn|func|function"
_TYPE = "class|struct|enum|trait|interface|type"
_KINDS = {
    **dict.fromkeys(("function", "method", "decorator", "coroutine", "helper", "fixture"), _CALLABLE),
    **dict.fromkeys(("class", "exception", "error", "dataclass", "protocol"), "class"),
    **{word: word for word in ("struct", "enum", "trait", "interface", "type")},
    **dict.fromkeys(("constant", "variable", "attribute", "field", "macro", "symbol"), ""),
    "test": _CALLABLE,
}
ANY = f"{_TYPE}|{_CALLABLE}"
_EXTENSIONS = frozenset(
    """
    bash c cc cfg cpp cs css csv cu go h hpp html ini ipynb java jl js json jsx kt lock lua m md mjs php pl proto ps1 py
    pyi pyx r rb rs rst scala sh sql swift tex toml ts tsx txt vue xml yaml yml zig
    """.split()  # noqa: SIM905
)
_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|\u201c([^\u201d]+)\u201d|(?<!\w)'([^']+)'(?!\w)")
_LOOKS_NAMED = re.compile(r"@?[A-Za-z_][\w.]*(\(\))?")


class Task:
    """A task in words, taken apart.

    Args:
        text: the task.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces = text.split()
        self.words = [word for word in (piece.strip(_EDGES) for piece in self._pieces) if word]
        lower = text.lower()
        self.counts = re.search(r"\bhow many\b|\bnumber of\b|\bcount\b", lower) is not None
        self._uses = re.search(r"\b(use|call|import|rais|mention|say|refer|depend)(s|d|e|es|ed)?\b", lower) is not None
        self._defines = re.search(r"\b(defin|declar|implement|introduc)\w*", lower) is not None
        self.locates = re.search(r"\bwhere\b|\b(which|what) (\w+ )?(file|module)\b", lower) is not None

    @cached_property
    def quoted(self) -> list[str]:
        """What stands in quotation marks."""
        return [next(filter(None, groups)) for groups in _QUOTED.findall(self.text)]

    @cached_property
    def files(self) -> list[str]:
        """Names that look like a file's."""
        return [word for word in self._paths if _is_file(word)]

    @cached_property
    def folders(self) -> list[str]:
        """Names that look like a folder's, or are called one."""
        found = [word.rstrip("/") or "/" for word in self._paths if not _is_file(word)]
        for before, after in zip(self.words, self.words[1:], strict=False):
            for said, name in ((before, after), (after, before)):
                if said.lower() in ("folder", "directory", "package") and name.lower() not in COMMON | {"this"}:
                    found.append(name.rstrip("/"))
        return list(dict.fromkeys(found))

    @cached_property
    def _paths(self) -> list[str]:
        words = (piece.lstrip("'\"`(<[").rstrip(".,;:?!'\"`)>]") for piece in self._pieces)
        return [
            word
            for word in words
            if "://" not in word and ("/" in word.strip("/") or word.endswith("/") or _is_file(word))
        ]

    @cached_property
    def kind(self) -> str | None:
        """The key words that begin a definition of what is asked for, as an alternation; None where nothing says."""
        kinds = [_KINDS[word] for word in map(_singular, self.words) if word in _KINDS]
        return kinds[0] if kinds else None

    @property
    def defines(self) -> bool:
        """Whether it asks where something is defined."""
        return self._defines or (self.locates and not self._uses and bool(self.names))

    @cached_property
    def names(self) -> list[str]:
        """Identifiers: what is quoted or looks like one, else the word beside "class", "function" and the like."""
        named = [word for word in self.quoted if re.fullmatch(_LOOKS_NAMED, word)]
        for piece, word in zip(self._pieces, (piece.strip(_EDGES) for piece in self._pieces), strict=True):
            if word in self._paths or not re.fullmatch(_LOOKS_NAMED, word):
                continue
            if re.search(r"_|[a-z][A-Z]|[A-Z][A-Z]+[a-z]|\w\.\w", word) or "()" in piece or word.startswith("@"):
                named.append(word)
        found = [name.removesuffix("()").lstrip("@").rpartition(".")[2] for name in named]
        if not found:
            words = self.words
            for place, word in enumerate(words):
                if _singular(word) in _KINDS:
                    beside = (words[place + 1 : place + 2] + words[:place][-1:]) if place else words[1:2]
                    found += [w for w in beside if w.lower() not in COMMON and w.isidentifier()][:1]
        return list(dict.fromkeys(name for name in found if name))

    @cached_property
    def content(self) -> list[list[str]]:
        """Runs of words that say something."""
        runs: list[list[str]] = [[]]
        for word in self.words:
            low = word.lower()
            if low in COMMON or _singular(low) in _KINDS or word in self._paths or not re.search(r"\w", word):
                runs.append([])
            else:
                runs[-1].append(word)
        return [run for run in runs if run]

    @cached_property
    def stems(self) -> frozenset[str]:
        """The beginnings of the words that say something, in lower case."""
        return frozenset(stem(word) for run in self.content for word in run) | {name.lower() for name in self.names}

    @cached_property
    def about(self) -> frozenset[str]:
        """All its words, in lower case and singular."""
        return frozenset(map(_singular, self.words))

    def copied(self, line: str) -> bool:
        """Whether `line` repeats the task."""
        asked = re.findall(r"\w+", self.text.lower())
        said = " ".join(re.findall(r"\w+", line.lower()))
        run = max(4, -(-2 * len(asked) // 3))
        return any(f" {' '.join(asked[n : n + run])} " in f" {said} " for n in range(len(asked) - run + 1))


def stem(word: str) -> str:
    """Return the beginning of `word` that its other forms share, as "licen" of "licence"; short ones are whole."""
    return word.lower() if len(word) < 5 else word.lower()[: max(4, -(-len(word) * 7 // 10))]


def _singular(word: str) -> str:
    word = word.lower()
    if word.endswith(("ses", "ies")):
        return word[:-2] if word.endswith("ses") else f"{word[:-3]}y"
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def _is_file(word: str) -> bool:
    name = word.rpartition("/")[2]
    base, dot, extension = name.rpartition(".")
    if dot:
        return bool(base) and extension.lower() in _EXTENSIONS
    return name in ("Makefile", "Dockerfile") or (
        name.isupper()
        and name
        in (
            "README",
            "CHANGELOG",
            "CONTRIBUTING",
            "LICENSE",
            "LICENCE",
            "NOTICE",
            "AUTHORS",
            "COPYING",
            "TODO",
            "INSTALL",
        )
    )
