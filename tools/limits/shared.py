"""Limits that all processes share, in Redis: one script by the server's own clock, so that nobody's clock matters.

When Redis does not answer, no request is sent: if each process kept count alone then, they would together exceed what
was agreed with the back end, and without Redis no run can go on anyway.
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from records.cancellation import heeded
from tools.limits.port import LimitReached, LimitsUnavailable
from tools.limits.rates import Rate

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MICRO = 1_000_000

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local hold = tonumber(redis.call('HGET', KEYS[1], 'hold') or '0')
local function keep(field, value)
  redis.call('HSET', KEYS[1], field, string.format('%.0f', value))
  local left = math.ceil((value - now) / 1000) + 1000
  if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIRE', KEYS[1], left) end
end
"""
_ACQUIRE = (
    _NOW
    + """
local at = math.max(now, hold)
for i = 2, #ARGV, 3 do
  local full = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  at = math.max(at, full - tonumber(ARGV[i + 2]))
end
if at - now > tonumber(ARGV[1]) then return {0, at - now} end
for i = 2, #ARGV, 3 do
  local full = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  keep(ARGV[i], math.max(full, at) + tonumber(ARGV[i + 1]))
end
return {1, at - now}
"""
)
_HOLD = _NOW + "keep('hold', math.max(hold, now + tonumber(ARGV[1]))) return 1"
_HELD = _NOW + "return math.max(hold - now, 0)"


class RedisLimits:
    """Keeps count in Redis, one hash a bucket, which Redis forgets once it is full again.

    Args:
        seconds: How long Redis may take to answer.
    """

    def __init__(self, redis: "Redis", seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._acquire = redis.register_script(_ACQUIRE)
        self._hold = redis.register_script(_HOLD)
        self._held = redis.register_script(_HELD)

    async def acquire(self, bucket: str, rates: Sequence[Rate], patience: float) -> float:
        """Reserve a place, as the port says."""
        figures = [part for rate in rates for part in (_field(rate), _micro(rate.interval), _micro(rate.tolerance))]
        placed, wait = await self._answer(self._acquire(keys=[_key(bucket)], args=[_micro(max(patience, 0)), *figures]))
        if not placed:
            raise LimitReached(wait / _MICRO)
        return float(wait / _MICRO)

    async def hold(self, bucket: str, seconds: float) -> None:
        """Let there be no place for so long."""
        await self._answer(self._hold(keys=[_key(bucket)], args=[_micro(seconds)]))

    async def held(self, bucket: str) -> float:
        """Seconds for which there is no place because of ``hold``."""
        return float(await self._answer(self._held(keys=[_key(bucket)], args=[]))) / _MICRO

    async def _answer(self, asked: Awaitable[Any]) -> Any:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(self._seconds):
                return await heeded(asked)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise LimitsUnavailable(f"Redis cannot be asked: {type(error).__name__}") from error


def _key(bucket: str) -> str:
    # Whatever a bucket is named after stays out of Redis, and its length is bounded.
    return f"cairn:rate:{hashlib.sha256(bucket.encode()).hexdigest()[:40]}"


def _field(rate: Rate) -> str:
    return f"{rate.requests}/{rate.seconds:g}/{rate.burst or rate.requests}"


def _micro(seconds: float) -> int:
    return math.ceil(seconds * _MICRO) if math.isfinite(seconds) else 2**52
