"""What makes two calls the same, and which results may be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core import cache_key, canonical_json, canonicalize
from ..tools.effects import SHARED
from .work import Done, encode

if TYPE_CHECKING:
    from .job import Job
    from .versions import Versions

__all__ = ["Keeping"]


class Keeping:
    """Makes the keys of calls: the function's code, the arguments, and the versions of what is read.

    Args:
        versions: tell the state of what calls read.
        has_cache: whether there is a cache to keep results in.

    Attributes:
        join: whether identical calls in flight share one execution.
    """

    def __init__(self, versions: Versions, *, has_cache: bool) -> None:
        self._versions = versions
        self._has_cache = has_cache
        self.join = True
        self._unread = 0  # how often work began on what has no version

    def key(self, job: Job) -> tuple[bytes | None, bool]:
        """Return the key of a call that may be joined or stored, and whether it may be stored."""
        tool = job.tool
        if tool is None or job.error is not None or tool.effect not in SHARED:
            return None, False
        stored = tool.cache_ttl is not None and self._has_cache
        if not stored and not self.join:
            return None, False
        version: Any = None
        if tool.effect == "read":
            version = job.version = self._versions.of(job.access)
            if version is None:
                # It may share the work of those before it that have not begun: these read what is there from now on.
                if not self.join:
                    return None, False
                version, stored = ["now", self._unread], False
        try:
            # as they were given: once validated, two may look alike (a secret is stars) or be read only once
            given = canonicalize(job.given or "{}") if isinstance(job.given, str) else canonical_json(job.given)
            return cache_key([tool.identity, given.decode(), version], namespace="tool"), stored
        except ValueError:
            return None, False  # arguments that are no JSON

    def look(self, job: Job) -> None:
        """Note what a call that reads is about to find."""
        if job.version is None:
            self._unread += 1
        elif self._has_cache and job.tool is not None and job.tool.cache_ttl is not None:
            job.way = self._versions.way(job.access)

    def encode(self, job: Job, done: Done) -> bytes | None:
        """Return the bytes to store; None where what the call read changed meanwhile, or it cannot be told."""
        if job.tool is not None and job.tool.effect == "read":
            unchanged = (
                job.way is not None
                and self._versions.way(job.access) == job.way
                and job.tool.access(job.args) == job.access
                and self._versions.of(job.access) == job.version
            )
            if not unchanged:
                return None
        return encode(done)
