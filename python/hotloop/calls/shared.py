"""Quotas that processes share through Redis: the arithmetic of `quota`, on the server and by the server's clock."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..cache.redislink import Away, RedisLink
from .quota import NOTHING, Grant

if TYPE_CHECKING:
    from redis import Redis

    from .limits import Amounts, Limits
    from .quota import Report

__all__ = ["SharedQuota"]

_PREFIX = "hotloop:q:"

# A scope is one value, as MessagePack: its stamp, and for each bucket level, ahead, reserved, settled, learned (-1 for
# nothing), whether it has been sized, credit, faded.
# ARGV begins with burst, slack, the four quotas, and the time, or nothing for the server's.
_COMMON = """
local burst, slack = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(ARGV[7])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
end
local state = redis.call('GET', KEYS[1])
if not state then
    state = {now}
    for index = 1, 4 do state[index + 1] = {0, 0, 0, 0, -1, 0, 0, 0} end
else
    state = cmsgpack.unpack(state)
end

local rate, top = {}, {}
local function trim(index)
    local bucket = state[index + 1]
    bucket[1] = math.min(bucket[1], top[index])
    local over = bucket[1] + bucket[7] - top[index]
    if over > 0 and bucket[7] > 0 then
        local kept = bucket[7] - over
        bucket[8] = bucket[8] + (kept > 1e-6 and math.log(kept / bucket[7]) or -40)
        bucket[7] = math.max(0, kept)
    end
end

local function size()
    for index = 1, 4 do
        local bucket, quota = state[index + 1], tonumber(ARGV[index + 2])
        if bucket[5] > 0 and (not quota or bucket[5] < quota) then quota = bucket[5] end
        rate[index] = (quota or 0) / 60
        top[index] = rate[index] * (burst - slack)
        if quota then
            if bucket[6] == 0 then bucket[1], bucket[6] = top[index], 1 end
            trim(index)
        end
    end
end
size()

local function advance(to)
    local passed = to - state[1]
    if passed > 0 then
        for index = 1, 4 do
            local bucket = state[index + 1]
            bucket[1] = rate[index] > 0 and bucket[1] + rate[index] * passed or 0
            trim(index)
        end
        state[1] = to
    end
end

if state[1] <= now then
    advance(now)
    for index = 1, 4 do state[index + 1][2] = 0 end
end

local function save()
    redis.call('SET', KEYS[1], cmsgpack.pack(state), 'EX', 7200)
end
"""

# ARGV from 8 on: four amounts, the name of this process. Gives wait, four settled totals, four faded, processes.
_RESERVE = (
    _COMMON
    + """
local wait = 0
for index = 1, 4 do
    if rate[index] > 0 then
        wait = math.max(wait, (math.min(tonumber(ARGV[index + 7]), top[index]) - state[index + 1][1]) / rate[index])
    end
end
if wait > 0 then advance(state[1] + wait) end
local answer = {string.format('%.6f', math.max(0, state[1] - now))}
for index = 1, 4 do
    local bucket, amount = state[index + 1], tonumber(ARGV[index + 7])
    bucket[1] = bucket[1] - amount
    bucket[7] = bucket[7] + amount
    bucket[3] = bucket[3] + amount
    if state[1] > now then bucket[2] = bucket[2] + amount end
    answer[index + 1] = string.format('%.17g', bucket[4])
    answer[index + 5] = string.format('%.17g', bucket[8])
end
save()
redis.call('ZADD', KEYS[2], now, ARGV[12])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 60)
redis.call('EXPIRE', KEYS[2], 7200)
answer[10] = redis.call('ZCARD', KEYS[2])
return answer
"""
)

# ARGV from 8 on: four amounts that were taken, four that are to stand in their place, four faded.
_SETTLE = (
    _COMMON
    + """
for index = 1, 4 do
    local bucket, taken, amount = state[index + 1], tonumber(ARGV[index + 7]), tonumber(ARGV[index + 11])
    local credit = math.min(bucket[7], taken * math.exp(math.min(0, bucket[8] - tonumber(ARGV[index + 15]))))
    bucket[7] = bucket[7] - credit
    bucket[1] = bucket[1] + math.min(taken - amount, credit)
    bucket[4] = bucket[4] + taken
end
save()
"""
)

# ARGV from 8 on: four limits, four remainders, four settled totals, age, pause, whether it was refused.
_CORRECT = (
    _COMMON
    + """
local age, pause, start = tonumber(ARGV[20]), tonumber(ARGV[21]), state[1]
for index = 1, 4 do
    state[index + 1][5] = tonumber(ARGV[index + 7]) or state[index + 1][5]
end
size()
for index = 1, 4 do
    local bucket, left = state[index + 1], tonumber(ARGV[index + 11])
    if left and rate[index] > 0 then
        left = left + rate[index] * (start - now - slack)
        bucket[1] = math.min(bucket[1], left + rate[index] * age - bucket[2])
        local quota = tonumber(ARGV[index + 2])
        if bucket[5] > 0 and (not quota or bucket[5] <= quota) then
            bucket[1] = math.max(bucket[1], left - (bucket[3] - tonumber(ARGV[index + 15])))
            trim(index)
        end
    elseif ARGV[22] == '1' then
        bucket[1] = math.min(bucket[1], rate[index] * (start - now) - bucket[2])
    end
end
if pause then advance(now + pause) end
save()
"""
)


class SharedQuota:
    """The quotas of all processes that name the same Redis server, by scope.

    Args:
        limits: what is to be kept; `redis_url` names the server.
        now: the time in seconds; replaced in tests. None for the server's.

    Raises:
        CacheError: the URL cannot be read.
        MissingExtraError: the extra ``redis`` is not installed.
    """

    def __init__(self, limits: Limits, *, now: float | None = None) -> None:
        self.now = now
        self.part = 1.0  # of the quotas, for this process, when the server is away
        self._limits = limits
        self._link = RedisLink(limits.redis_url or "")
        self._name = os.urandom(8)
        self._reserve, self._settle, self._correct = map(self._link.script, (_RESERVE, _SETTLE, _CORRECT))

    async def reserve(self, scope: str, amounts: Amounts) -> Grant | None:
        """Take `amounts` as `Quota.reserve` does, or return None when the server is away."""
        keys = [_place(scope), _place(scope) + ":p"]
        arguments = [*self._settings(), *amounts, self._name]

        def command(_: Redis) -> Any:
            return self._reserve(keys, arguments)

        def read(answer: Any) -> Grant:
            wait, *facts, processes = answer
            self.part = 1.0 / processes
            numbers = tuple(map(float, facts))
            return Grant(float(wait), amounts, numbers[:4], numbers[4:])

        try:
            answer = await self._link.ask(command, unheard=lambda answer: self.settle(scope, read(answer), NOTHING))
        except Away:
            return None
        return read(answer)

    def settle(self, scope: str, grant: Grant, amounts: Amounts) -> None:
        """Put `amounts` in the place of what was reserved; done in the background."""
        arguments = [*self._settings(), *grant.taken, *amounts, *grant.faded]
        self._link.tell(lambda _: self._settle([_place(scope)], arguments))

    def correct(self, scope: str, grant: Grant, report: Report, age: float) -> None:
        """Believe what the server says, as `Quota.correct` does; done in the background."""
        pause = None if report.retry_after is None else min(report.retry_after, self._limits.max_pause)
        facts = [*report.limits, *report.remaining, *grant.settled, age, pause, int(report.refused)]
        arguments = [*self._settings(), *("" if fact is None else fact for fact in facts)]
        self._link.tell(lambda _: self._correct([_place(scope)], arguments))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._link.aclose()

    def _settings(self) -> list[float | str]:
        limits = self._limits
        facts = (limits.burst, limits.slack, *limits.quotas, self.now)
        return ["" if fact is None else fact for fact in facts]


def _place(scope: str) -> str:
    return _PREFIX + sha256(scope.encode(errors="surrogatepass")).hexdigest()[:32]
