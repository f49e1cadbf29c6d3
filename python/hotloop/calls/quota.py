"""Quotas as arithmetic: token buckets that give each call the time at which it may start.

One scope has a bucket for each thing that is counted. A reservation takes from all of them, at the first time at which
all of them hold enough; that time may lie ahead, and whoever reserves later starts later. So calls start in the order
of their reservations, nobody asks twice, and nobody starves. (This is virtual scheduling, as in the Generic Cell Rate
Algorithm of ITU-T I.371, for several buckets at once.)

What was reserved and not used comes back, but only as far as the bucket would not have been full in the meantime: a
reservation keeps a credit, of which filling up takes away what no longer fits. So a bucket never holds more than one
that had known from the start what each call would take.
"""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

from .limits import Amounts, Limits

__all__ = ["NOTHING", "Grant", "Quota", "Report"]

NOTHING = Amounts()
_MINUTE = 60.0
_GONE = -40.0  # the logarithm of what is as good as nothing
_DUST = 1e-6  # less than that is a matter of rounding


class Grant(NamedTuple):
    """A reservation.

    Attributes:
        wait: seconds to wait before the call may start.
        taken: what was taken from the buckets.
        settled: what had been settled by then.
        faded: how far credits had faded by then, as logarithms.
    """

    wait: float
    taken: Amounts
    settled: tuple[float, ...]
    faded: tuple[float, ...]


class Report(NamedTuple):
    """What a server said of its quotas.

    Attributes:
        limits: each quota a minute, in the order of `Amounts`; None where it said nothing.
        remaining: what was left of each; None where it said nothing.
        retry_after: seconds after which to come again, or None.
        refused: whether the call was turned away for its quota.
    """

    limits: tuple[float | None, ...] = (None,) * 4
    remaining: tuple[float | None, ...] = (None,) * 4
    retry_after: float | None = None
    refused: bool = False


class _Bucket:
    """One bucket: what it holds at the quota's `stamp`, and what was ever taken and given back or confirmed.

    `ahead` is what was taken for calls that start later than the last look at the clock; `credit` is what those under
    way may still give back, each what it took times the exponential of how far `faded` has sunk since.
    """

    __slots__ = ("ahead", "credit", "faded", "learned", "level", "rate", "reserved", "settled", "top")

    def __init__(self) -> None:
        self.rate = self.top = self.level = self.ahead = self.credit = self.faded = self.reserved = self.settled = 0.0
        self.learned: float | None = None

    def trim(self) -> None:
        """Keep level and credit together within the bucket: what overflows is lost, the credit first."""
        if self.level > self.top:
            self.level = self.top
        over = self.level + self.credit - self.top
        if over > 0 and self.credit > 0:
            kept = self.credit - over
            self.faded += log(kept / self.credit) if kept > _DUST else _GONE
            self.credit = max(0.0, kept)

    def size(self, quota: float, limits: Limits) -> None:
        """Make it a bucket of `quota` a minute; it begins full."""
        fresh = not self.rate
        self.rate = quota / _MINUTE
        self.top = self.rate * (limits.burst - limits.slack)
        if fresh:
            self.level = self.top
        self.trim()


class Quota:
    """The buckets of one scope, in this process. Times are seconds on any one clock; not safe for threads by itself."""

    __slots__ = ("_buckets", "_known", "_limits", "_set", "_share", "_told", "stamp")

    def __init__(self, limits: Limits, share: float = 1.0) -> None:
        self._limits = limits
        self._share = share
        self.stamp = float("-inf")
        self._set = limits.quotas
        self._told: tuple[float | None, ...] = ()  # the limits that were told last
        self._buckets = [_Bucket() for _ in Amounts._fields]
        self._size()

    def _size(self) -> None:
        for bucket, quota in zip(self._buckets, self._set, strict=True):
            known = [one for one in (quota, bucket.learned) if one is not None]
            if known:
                bucket.size(min(known) * self._share, self._limits)
        self._known = [bucket for bucket in self._buckets if bucket.rate]

    def share(self, now: float, part: float) -> None:
        """Keep to this part of the quotas from now on, with nothing saved up: others use the rest."""
        self._look(now)
        self._share = part
        self._size()
        for bucket in self._buckets:
            bucket.level = min(bucket.level, 0.0)

    def free(self, now: float) -> bool:
        """Whether nothing is known that could be counted, and nothing holds calls back."""
        return not self._known and self.stamp <= now

    @property
    def counts_tokens(self) -> bool:
        """Whether a quota of tokens is known."""
        return bool(self._known) and any(bucket.rate for bucket in self._buckets[1:])

    def ready(self, now: float, amounts: Amounts) -> bool:
        """Whether `reserve` would give a grant without a wait."""
        self._look(now)
        if self.stamp > now:
            return False
        for bucket, amount in zip(self._buckets, amounts, strict=True):
            if bucket.level < amount and bucket.level < bucket.top and bucket.rate:
                return False
        return True

    def reserve(self, now: float, amounts: Amounts) -> Grant:
        """Take `amounts` at the first time, from `now` on and after earlier reservations, at which they are there."""
        if not self._known and self.stamp <= now:
            self.stamp = now
            return Grant(0.0, NOTHING, NOTHING, NOTHING)  # nothing is known that could be counted
        self._look(now)
        wait = 0.0
        for bucket, amount in zip(self._buckets, amounts, strict=True):
            if bucket.rate:  # one that asks for more than the bucket holds gets a full one and leaves a debt
                wait = max(wait, (min(amount, bucket.top) - bucket.level) / bucket.rate)
        if wait > 0:
            self._advance(self.stamp + wait)
        for bucket, amount in zip(self._buckets, amounts, strict=True):
            bucket.level -= amount
            bucket.credit += amount
            bucket.reserved += amount
            if self.stamp > now:
                bucket.ahead += amount
        settled, faded = [bucket.settled for bucket in self._buckets], [bucket.faded for bucket in self._buckets]
        return Grant(max(0.0, self.stamp - now), amounts, tuple(settled), tuple(faded))

    def settle(self, now: float, grant: Grant, amounts: Amounts) -> None:
        """Put `amounts` in the place of what was reserved."""
        if grant.taken is NOTHING and not self._known:
            return
        self._look(now)
        for bucket, taken, faded, amount in zip(self._buckets, grant.taken, grant.faded, amounts, strict=True):
            credit = taken * exp(bucket.faded - faded) if bucket.faded < faded else taken
            if credit > bucket.credit:
                credit = bucket.credit
            bucket.credit -= credit
            back = taken - amount
            bucket.level += min(credit, back)
            bucket.settled += taken

    def correct(self, now: float, grant: Grant, report: Report, age: float) -> None:
        """Believe what the server says.

        It said so at some time in the last `age` seconds, since the call of `grant` was sent. What it says is left
        may or may not have counted each other call that was under way meanwhile, so the truth lies between what it
        says and that minus all of those; a level outside is brought inside. A quota that was set lower than the
        server's is kept whatever the server has left.
        """
        self._look(now)
        limits, start = self._limits, self.stamp
        if report.limits != self._told:
            self._told = report.limits
            for bucket, limit in zip(self._buckets, report.limits, strict=True):
                if limit is not None:
                    bucket.learned = limit
            self._size()
        facts = zip(self._buckets, self._set, report.remaining, grant.settled, strict=True)
        for bucket, quota, left, settled in facts:
            if left is not None and bucket.rate:
                left = left * self._share + bucket.rate * (start - now - limits.slack)
                bucket.level = min(bucket.level, left + bucket.rate * age - bucket.ahead)
                if bucket.learned is not None and (quota is None or bucket.learned <= quota):
                    bucket.level = max(bucket.level, left - (bucket.reserved - settled))
                    bucket.trim()
            elif report.refused:
                bucket.level = min(bucket.level, bucket.rate * (start - now) - bucket.ahead)
        if report.retry_after is not None:
            self._advance(now + min(report.retry_after, limits.max_pause))

    def _look(self, now: float) -> None:
        if self.stamp <= now:
            self._advance(now)
            for bucket in self._buckets:  # also those of which nothing is known yet
                bucket.ahead = 0.0

    def _advance(self, time: float) -> None:
        passed = time - self.stamp
        if passed > 0:
            for bucket in self._known:
                bucket.level += bucket.rate * passed
                bucket.trim()
            self.stamp = time
