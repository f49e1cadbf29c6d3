"""Foreign text in messages of ours."""

from __future__ import annotations

__all__ = ["Secrets", "brief"]

Secrets = tuple[str, ...]
"""Credentials, none of them empty."""

_LONGEST = 200
_SHORTEST = 8
"""Characters of a key. What is shorter is a word that stands for none, as "none" and "ollama" for local servers."""


def brief(text: bytes | memoryview | str, secrets: Secrets = ()) -> str:
    """Return the beginning of `text` as one printable line, without `secrets`, which servers repeat."""
    if not isinstance(text, str):
        text = bytes(text if secrets else text[: 4 * _LONGEST]).decode("utf-8", "replace")
    for secret in sorted(secrets, key=len, reverse=True):  # before anything is cut: the beginning of a key is one too
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "[the key]")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * _LONGEST]).split())
    return f"{line[:_LONGEST]}…" if len(line) > _LONGEST else line
