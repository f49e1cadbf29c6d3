"""What one setting accepts, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Section", "Setting", "nearest", "setting", "settings_of", "shown"]

T = TypeVar("T")

_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "plain text"}
_TRUTH = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a section.

    Attributes:
        name: the key.
        type: the type of its value.
        optional: whether it may have no value (None; "none" in files and variables).
        default: its value where nobody sets it.
        doc: what it does, with its unit.
        low, high: the smallest and largest value; of a text, its length. None where there is no limit.
        secret: whether its value is shown nowhere.
        choices: the texts that it may be; empty for any.
    """

    name: str
    type: type
    optional: bool
    default: Any
    doc: str
    low: float | None
    high: float | None
    secret: bool = False
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What it accepts, in words."""
        words = _NOUNS[self.type]
        if self.choices:
            words = " or ".join(f'"{choice}"' for choice in self.choices)
        elif self.type is str:
            words += f" of {self.low} to {self.high} characters"
        elif self.low is not None:
            words += f" from {self.low} to {self.high}"
        return f"{words}, or none" if self.optional else words

    def check(self, value: object, source: str, key: str) -> None:
        """Raise ConfigError, naming `source` and `key`, unless `value` is of the type and in the range."""
        if value is None and self.optional:
            return
        if not (self._typed(value) and self._in_range(value)):
            raise ConfigError(
                f"{source}: {key} must be {self.allowed}, not {'what was given' if self.secret else shown(value)}"
            )

    def masked(self, value: object) -> object:
        """Return `value` as people may see it: a secret only as "set"."""
        return "set" if self.secret and value is not None else value

    def _typed(self, value: object) -> bool:
        if isinstance(value, bool):
            return self.type is bool
        return isinstance(value, self.type) or (self.type is float and isinstance(value, int))

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.type is str:
            if any(category(char) in ("Cc", "Cs") for char in value):
                return False  # control characters and halves of characters: not in a path, a name or a line of output
            value = len(value)
        # what is not a number compares as False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def parse(self, text: str) -> Any:
        """Return the value that the text of a variable stands for; text that stands for none is returned as it is."""
        plain = text.strip()
        if self.optional and plain.lower() in ("", "none"):
            return None
        if self.type is bool:
            return _TRUTH.get(plain.lower(), text)
        if self.type in (int, float):
            try:
                return self.type(plain)
            except ValueError:
                return text
        return text


def shown(value: object) -> str:
    """Return `value` as an error message shows it: short."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def setting(
    default: T,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    secret: bool = False,
    choices: tuple[str, ...] = (),
) -> T:
    """Declare a key of a section, as `dataclasses.field` does."""
    metadata = {"doc": doc, "low": low, "high": high, "secret": secret, "choices": choices}
    value: T = field(default=default, repr=not secret, metadata=metadata)
    return value


def settings_of(section: type) -> dict[str, Setting]:
    """Return the settings of a section's class by their name; built from the declarations of its fields."""
    return _settings_of(section)


@cache
def _settings_of(section: type) -> dict[str, Setting]:
    found = {}
    for one in fields(section):
        name, _, none = str(one.type).partition(" | ")
        found[one.name] = Setting(one.name, _TYPES[name], none == "None", one.default, **one.metadata)
    return found


class Section:
    """A frozen group of settings; one that holds a bad value cannot be made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, one in settings_of(type(self)).items():
            one.check(getattr(self, name), type(self).__name__, name)


def nearest(word: object, words: Iterable[str]) -> str:
    """Return a hint at the nearest of `words`, or at all of them where none is near."""
    import difflib

    known = sorted(words)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"it knows {', '.join(known)}"
