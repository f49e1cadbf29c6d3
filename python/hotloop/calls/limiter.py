"""Holds calls back, so that limits are kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Self

from .headers import COME_LATER, read_report
from .limits import Amounts, Demand, Limits
from .line import Line
from .quota import NOTHING, Grant, Quota, Report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from .headers import Headers
    from .shared import SharedQuota

__all__ = ["NO_DEMAND", "Limiter", "Slot"]

_SCOPES = 4096  # quotas are remembered for so many scopes; the one used longest ago is forgotten first
NO_DEMAND = Demand()
"""Of work that no quota counts."""
_ONE = Amounts(requests=1.0)
_UNKNOWN_OUTPUT = 256.0  # tokens of an answer, where neither the call nor an earlier answer says
_FREE = Grant(0.0, NOTHING, NOTHING, NOTHING)


class _Account:
    """What is known of one scope: its quota, its line, and what its calls really took."""

    __slots__ = ("alone", "line", "lock", "output", "quota", "ratio")

    def __init__(self, limits: Limits) -> None:
        self.lock = Lock()
        self.line = Line()
        self.quota = Quota(limits)
        self.alone = True  # whether the last call was counted here, and not where processes share
        self.output = _UNKNOWN_OUTPUT  # of an answer, as it was lately
        self.ratio = [1.0, 1.0]  # counted input tokens to estimated ones, as it was lately: tokens, input tokens

    def estimate(self, demand: Demand) -> Amounts:
        output = self.output if demand.output_tokens is None else float(demand.output_tokens)
        both, alone = self.ratio
        return Amounts(1.0, demand.input_tokens * both + output, demand.input_tokens * alone, output)

    def learn(self, estimated: int, counted: Amounts) -> None:
        """Remember what an answer took: at once where it is more than expected, slowly where it is less."""
        output = counted.output_tokens
        self.output += (output - self.output) * (1.0 if output > self.output else 0.2)
        if estimated:
            for which, took in enumerate((counted.tokens - output, counted.input_tokens)):
                ratio = min(4.0, max(0.01, took / estimated))
                self.ratio[which] += (ratio - self.ratio[which]) * (1.0 if ratio > self.ratio[which] else 0.2)


class Limiter:
    """Holds calls back so that `Limits` are kept.

    Calls of one scope start one after another, in the order of their priority and their coming; the first in line
    waits until its quota is there. Usable from several event loops and threads.

    Args:
        limits: what is to be kept.
        sleep: waits for seconds.
        monotonic: gives the time in seconds.
        epoch: gives the time in seconds since the epoch.

    Raises:
        CacheError: the Redis URL of the limits cannot be read.
        MissingExtraError: it is set, and the extra ``redis`` is not installed.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        sleep: Callable[[float], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self.sleep = sleep
        self.monotonic = monotonic
        self.epoch = epoch
        self.places = None if limits.concurrency is None else Line(limits.concurrency)
        self.counts = any(quota is not None for quota in limits.quotas)
        self.shared: SharedQuota | None = None
        if limits.redis_url is not None:
            from .shared import SharedQuota

            self.shared = SharedQuota(limits)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._latest: tuple[str, _Account | None] = "", None
        self._lock = Lock()

    def account(self, scope: str) -> _Account:
        """Return what is known of `scope`."""
        latest, found = self._latest
        if found is not None and latest == scope:
            return found
        with self._lock:
            found = self._accounts.get(scope)
            if found is not None:
                self._accounts.move_to_end(scope)
            else:
                while len(self._accounts) >= _SCOPES:
                    self._accounts.popitem(last=False)
                found = self._accounts[scope] = _Account(self.limits)
            self._latest = scope, found
            return found

    async def aclose(self) -> None:
        """Close the connections to Redis, where there are any."""
        if self.shared is not None:
            await self.shared.aclose()


class Slot:
    """One attempt's stay: reserves when entered, and when left puts what the attempt took in place of the estimate.

    Args:
        limiter: whose limits are kept.
        demand: what the attempt asks for.
        counts: whether it counts towards quotas.
    """

    __slots__ = (
        "_account",
        "_counted",
        "_counts",
        "_demand",
        "_estimated",
        "_grant",
        "_left",
        "_limiter",
        "_scope",
        "_sent",
        "_shared",
    )

    def __init__(self, limiter: Limiter, demand: Demand, counts: bool) -> None:
        self._limiter = limiter
        self._counts = counts and (limiter.counts or limiter.limits.learn)
        self._demand = demand
        self._account: _Account | None = None
        self._counted: Amounts | None = None
        self._grant = _FREE
        self._shared = self._left = False
        self._sent = 0.0
        self._scope = demand.scope
        self._estimated: int | Callable[[], int] = 0

    async def __aenter__(self) -> Self:
        if not self.try_enter():
            await self.enter()
        return self

    async def enter(self) -> None:
        """Enter, after a wait where there must be one."""
        limiter, demand = self._limiter, self._demand
        if not self._counts:
            await self._place(demand)
            return
        account = self._account = limiter.account(demand.scope)
        if not account.line.try_enter():
            await account.line.enter(demand.priority)
        try:
            wait = await self._reserve(account)
            if wait > 0:
                await limiter.sleep(wait)
            await self._place(demand)
        except BaseException:
            self._put(NOTHING)  # it never started
            raise
        finally:
            account.line.leave()
        self._sent = limiter.monotonic()

    async def _place(self, demand: Demand) -> None:
        """Take a place, after waiting for one."""
        places = self._limiter.places
        if not self._try_start() and places is not None:
            await places.enter(demand.priority)
            self._estimated, self._demand = demand.estimated, NO_DEMAND

    def try_enter(self) -> bool:
        """Enter where that takes no wait; else do nothing and say so."""
        limiter, demand = self._limiter, self._demand
        if self._counts:
            account = limiter.account(demand.scope)
            if limiter.shared is not None:
                return False
            if account.quota.free(now := limiter.monotonic()) and not account.line.waiting:
                if not self._try_start():
                    return False
                self._account, self._sent = account, now
                return True
            if not account.line.try_enter():
                return False
            try:
                with account.lock:
                    now, amounts = limiter.monotonic(), account.estimate(demand)
                    if not account.quota.ready(now, amounts) or not self._try_start():
                        return False
                    self._grant = account.quota.reserve(now, amounts)
            finally:
                account.line.leave()
            self._account, self._sent = account, now
            return True
        return self._try_start()

    def _try_start(self) -> bool:
        """Take a place where one is free, and start.

        Keeps of the demand what is needed later: it refers to this slot from now on, and a circle lives long.
        """
        places = self._limiter.places
        if places is not None and not places.try_enter():
            return False
        self._estimated, self._demand = self._demand.estimated, NO_DEMAND
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(error)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters for later calls how many tokens this one takes."""
        return self._account is not None and (self._shared or self._account.quota.counts_tokens)

    @property
    def holds(self) -> bool:
        """Whether others may wait for this one to leave."""
        return self._limiter.places is not None

    def leave(self, error: BaseException | None = None) -> None:
        """End the stay; `error` is what the attempt ended with."""
        limiter, account = self._limiter, self._account
        if limiter.places is not None:
            limiter.places.leave()
        if account is None:
            return
        if self._counted is None and getattr(error, "status", None) == 429:
            if limiter.limits.learn:
                self._correct(Report(retry_after=getattr(error, "retry_after", None), refused=True))
            self._counted = _ONE
        if self._counted is None:
            self._counted = self._grant.taken
        if self._grant is not _FREE:
            self._put(self._counted)
        self._left = True

    def forgo(self) -> None:
        """Say that nothing was sent, and nothing is to be counted."""
        self._counted = NOTHING

    def observe(self, headers: Headers, status: int) -> None:
        """Believe what the head of an answer says of quotas."""
        if self._account is None:
            return
        if status in COME_LATER:
            self._counted = _ONE  # a call that is turned away is counted as a request, and its tokens are not
        if self._limiter.limits.learn:
            report = read_report(headers, status, self._limiter.epoch())
            if report is not None:
                self._correct(report)

    def settle(self, input_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        """Count what the answer took."""
        if self._account is None:
            return
        count = self._limiter.limits.count_cached
        fresh = max(0, input_tokens - cached_tokens)
        both = fresh if count is False else input_tokens
        alone = input_tokens if count else fresh
        counted = Amounts(1.0, both + output_tokens, alone, output_tokens)
        estimated = self._estimated
        self._account.learn(estimated if isinstance(estimated, int) else estimated(), counted)
        if self._left and self._counted is not None:  # told late: what was not reserved is owed
            late = Amounts(*(max(0.0, now - then) for now, then in zip(counted, self._counted, strict=True)))
            self._grant = _FREE._replace()
            self._put(late)
        self._counted = counted

    # -- the quota of this process, or the one that is shared ----------------------------------------------------

    async def _reserve(self, account: _Account) -> float:
        limiter = self._limiter
        amounts = account.estimate(self._demand)
        if limiter.shared is not None:
            grant = await limiter.shared.reserve(self._demand.scope, amounts)
            if grant is not None:
                self._shared, self._grant, account.alone = True, grant, False
                return grant.wait
        with account.lock:
            now = limiter.monotonic()
            if limiter.shared is not None and not account.alone:
                account.quota.share(now, limiter.shared.part)
                account.alone = True
            self._grant = account.quota.reserve(now, amounts)
        return self._grant.wait

    def _put(self, amounts: Amounts) -> None:
        account, grant = self._account, self._grant
        if account is None or grant is _FREE:
            return
        if self._shared and self._limiter.shared is not None:
            self._limiter.shared.settle(self._scope, grant, amounts)
            return
        with account.lock:
            account.quota.settle(self._limiter.monotonic(), grant, amounts)

    def _correct(self, report: Report) -> None:
        account, limiter = self._account, self._limiter
        if account is None:
            return
        now = limiter.monotonic()
        age = now - self._sent
        if self._shared and limiter.shared is not None:
            limiter.shared.correct(self._scope, self._grant, report, age)
        with account.lock:
            account.quota.correct(now, self._grant if not self._shared else _FREE, report, age)
