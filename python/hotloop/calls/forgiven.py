"""What a call does not fail for: tiers, observers and codecs that raise."""

from __future__ import annotations

import logging

__all__ = ["Forgiven"]

_log = logging.getLogger(__name__)


class Forgiven:
    """Tells of failures that calls go on without, once for each kind.

    The text of an error is not told, because it may hold anything.
    """

    def __init__(self) -> None:
        self._told: set[tuple[str, type[Exception]]] = set()

    def __call__(self, what: str, error: Exception) -> None:
        """Tell that `what` happened, unless it has been told."""
        kind = what, type(error)
        if kind not in self._told:
            self._told.add(kind)
            _log.warning("%s: %s; it is told once", what, type(error).__name__)
