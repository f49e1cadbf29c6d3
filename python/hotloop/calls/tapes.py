"""The streams under way: who may join them, and who writes them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from .singleflight import Place, Tape, forget_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ..observe.events import CacheState
    from .call import Opened, StreamCall

    Write = Callable[[StreamCall, Place | None, Tape], Coroutine[Any, Any, None]]

__all__ = ["Lead", "Tapes"]


class Tapes(dict[Place, Tape]):
    """The tapes that are being written, by place.

    Usable from several threads; a tape itself belongs to the event loop in which it is read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()

    def board(self, place: Place | None, call: StreamCall) -> tuple[Tape, bool]:
        """Return the tape at `place` with one reader more, and whether it was there; else the caller is to write it."""
        with self._lock:
            tape = self.get(place) if place is not None else None
            joined = tape is not None and not tape.too_long
            if tape is None or not joined:
                tape = Tape(call)
                if place is not None:
                    self._put(place, tape)
            tape.readers += 1
            return tape, joined

    def leave(self, place: Place | None, tape: Tape) -> bool:
        """Take a reader off `tape`; say whether he was the last, so that nobody joins any more."""
        with self._lock:
            tape.readers -= 1
            if not tape.readers:
                self._lift(place, tape)
            return not tape.readers

    def lift(self, place: Place | None, tape: Tape) -> int:
        """Let nobody join `tape` any more, and say how many read it."""
        with self._lock:
            self._lift(place, tape)
            return tape.readers

    def lead(self, lead: Lead, stored: Callable[[StreamCall], object]) -> Lead | None:
        """Let others join `lead`; None where somebody is at its work already, or it is stored.

        Whoever leads stores his answer before it can be joined no more. Both are looked at here under one lock, so that
        nothing is asked for twice.
        """
        with self._lock:
            if lead.place in self or stored(lead.tape.call) is not None:
                return None
            lead.begin()
            self._put(lead.place, lead.tape)
        return lead

    def _put(self, place: Place, tape: Tape) -> None:
        forget_closed(self)
        self[place] = tape

    def _lift(self, place: Place | None, tape: Tape) -> None:
        if place is not None and self.get(place) is tape:
            del self[place]


class Lead:
    """Work that a thread does by itself, while others may join it in an event loop.

    The thread touches the tape only through that loop, and only where somebody has joined. It counts as a reader, so
    nobody who leaves ends its work. Where it is interrupted, or forgets to end, the work is done anew for the others.

    Args:
        tapes: where others look for it.
        place: names their event loop, and the work.
        tape: theirs.
        cache: what the thread tells of its answer.
        write: writes the tape in the event loop.
    """

    __slots__ = ("_tapes", "_under_way", "_write", "cache", "place", "tape")

    def __init__(self, tapes: Tapes, place: Place, tape: Tape, cache: CacheState, write: Write) -> None:
        self._under_way = False
        self._tapes = tapes
        self._write = write
        self.place = place
        self.tape = tape
        self.cache = cache

    def begin(self) -> None:
        """Take that others may join from now on."""
        self.tape.readers = 1
        self._under_way = True

    def end(self, opened: Opened | None, body: bytes, error: Exception | None) -> None:
        """Tell those who have joined what came of it; nobody joins any more."""
        if self._tapes.lift(self.place, self.tape) > 1:
            self._in_loop(_tell, self.tape, opened, body, error)
        self._under_way = False  # at last: until then, an interrupt leaves the work to those who have joined

    def forsake(self) -> None:
        """Leave the work to those who have joined."""
        if self._under_way:
            self._under_way = False
            self._in_loop(_go_on, self._tapes, self.place, self.tape, self._write)

    __del__ = forsake  # a thread can be interrupted anywhere

    def _in_loop(self, work: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # it is closed, and nobody waits in it any more
            self.place[0].call_soon_threadsafe(work, *arguments)


def _tell(tape: Tape, opened: Opened | None, body: bytes, error: Exception | None) -> None:
    tape.task = asyncio.get_running_loop().create_future()
    tape.task.set_result(None)
    if opened is not None:
        tape.chunks.append(body)
        tape.begin(opened)
    tape.end(error)


def _go_on(tapes: Tapes, place: Place, tape: Tape, write: Write) -> None:
    if not tape.ended and not tapes.leave(place, tape):
        tape.task = place[0].create_task(write(tape.call, place, tape))
