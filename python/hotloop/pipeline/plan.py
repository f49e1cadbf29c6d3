"""Which calls must wait for which, so that any schedule gives what the order of the calls gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..tools.effects import Access, Place

__all__ = ["plan"]


class _Node:
    """A place in the tree of places, with the calls that touched it last."""

    __slots__ = ("children", "readers", "writer")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.writer: int | None = None
        self.readers: list[int] = []

    def read(self, place: Place, call: int) -> Iterable[int]:
        """Note that `call` reads `place`, and give the earlier calls that wrote what overlaps with it."""
        node = self
        for part in place:
            if node.writer is not None:
                yield node.writer
            node = node.children.setdefault(part, _Node())
        yield from node.below(readers=False)
        node.readers.append(call)

    def write(self, place: Place, call: int) -> Iterable[int]:
        """Note that `call` writes `place`, and give the earlier calls that touched what overlaps with it."""
        node = self
        for part in place:
            if node.writer is not None:
                yield node.writer
            yield from node.readers
            node = node.children.setdefault(part, _Node())
        yield from node.below(readers=True)
        # Whatever conflicts with those below conflicts with this write too, and waits for them through it.
        node.writer = call
        node.readers.clear()
        node.children.clear()

    def below(self, *, readers: bool) -> Iterable[int]:
        """Give the calls that wrote here or further down, and with `readers` those that read."""
        pending = [self]
        while pending:
            node = pending.pop()
            if node.writer is not None:
                yield node.writer
            if readers:
                yield from node.readers
            pending.extend(node.children.values())


def plan(accesses: Sequence[Access]) -> dict[int, set[int]]:
    """Return, for each call that must wait, the earlier calls that it waits for.

    Two calls conflict when one writes what the other touches. A call waits for the earlier calls that it conflicts
    with, directly or through one that waits for them; every other pair is free to overlap.

    Args:
        accesses: what each call reads and writes, in the order in which the calls were asked for.
    """
    root = _Node()
    after: dict[int, set[int]] = {}
    for call, access in enumerate(accesses):
        if not (access.reads or access.writes):
            continue
        earlier: set[int] = set()
        for place in access.reads:
            earlier.update(root.read(place, call))
        for place in access.writes:
            earlier.update(root.write(place, call))
        earlier.discard(call)
        if earlier:
            after[call] = earlier
    return after
