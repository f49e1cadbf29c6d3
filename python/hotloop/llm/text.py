"""Foreign text in messages of ours."""

from __future__ import annotations

__all__ = ["brief"]

_LONGEST = 200


def brief(text: bytes | memoryview | str, secret: str = "") -> str:
    """Return the beginning of `text` as one printable line, without `secret`, which servers repeat."""
    if not isinstance(text, str):
        text = bytes(text if secret else text[: 4 * _LONGEST]).decode("utf-8", "replace")
    if secret:  # before anything is cut: the beginning of a key is a secret too
        text = text.replace(secret, "[the key]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * _LONGEST]).split())
    return f"{line[:_LONGEST]}…" if len(line) > _LONGEST else line
