"""The size of a text in tokens, about, and shorter texts."""

from __future__ import annotations

import re

__all__ = ["cut", "tokens", "without_middle"]

_PIECE = re.compile(r"[A-Za-z]{1,4}|\s+|[^A-Za-z\s]")


def tokens(text: str) -> int:
    """Return about how many tokens `text` has, rather too many than too few."""
    return sum(1 if piece.isascii() else len(piece.encode()) for piece in _PIECE.findall(text))


def cut(text: str, most: int) -> str:
    """Return `text` cut to about `most` tokens, with a mark that says so."""
    count = 0
    for piece in _PIECE.finditer(text):
        count += 1 if piece[0].isascii() else len(piece[0].encode())
        if count > most:
            return f"{text[: piece.start()]}\n… [cut: {piece.start()} of {len(text)} characters]"
    return text


def without_middle(text: str, most: int) -> str:
    """Return the beginning and the end of `text`; what stands last is what is asked."""
    head = cut(text, most // 2).partition("\n… [cut")[0]
    tail = cut(text[::-1], most // 2).partition("\n… [cut")[0][::-1]
    return f"{head}\n… [cut: {len(head) + len(tail)} of {len(text)} characters]\n{tail}"
