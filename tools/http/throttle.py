"""What a connector may send: within its own rates, and not while the back end has asked it to wait."""

import asyncio
import math

from tools.http.errors import ApiNotReached, ApiRateLimited
from tools.limits.local import LocalLimits
from tools.limits.port import LimitReached, LimitsUnavailable, RateLimiter
from tools.limits.rates import RateLimit

LONGEST_HOLD = 900.0
"""Seconds for which a back end is left alone at most, whatever it asks for."""

_SHARE = 0.8  # of the time that is left may be waited, so that some is left for the request


class Throttle:
    """Admits requests of one connector.

    Args:
        name: What the limit goes by, where it says no name itself.
        limit: The rates to be kept; without them only the back end's own wish to wait is, in this process.
    """

    def __init__(self, name: str, limit: RateLimit | None) -> None:
        self._name = (limit.name if limit is not None else None) or name
        self._limit = limit
        self._rates = limit.rates if limit is not None else ()
        self._limiter: RateLimiter = LocalLimits()

    @property
    def per_tenant(self) -> bool:
        """Whether each tenant has a limit of its own."""
        return self._limit is not None and self._limit.per_tenant

    def share(self, limiter: RateLimiter) -> None:
        """Let the rates be kept together with all who use this limiter; one without rates has nothing to share."""
        if self._limit is not None:
            self._limiter = limiter

    async def admit(self, tenant: str, seconds: float) -> None:
        """Wait until a request may be sent.

        Args:
            seconds: The time that is left for waiting and for the request itself.

        Raises:
            ApiRateLimited: That would take too long.
            ApiNotReached: Nobody can say whether it may be sent.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds * _SHARE
        bucket = self._bucket(tenant)
        try:
            while True:
                wait = await self._limiter.acquire(bucket, self._rates, max(until - loop.time(), 0.0))
                if not wait:
                    return
                await asyncio.sleep(wait)
                # The back end may have asked for a pause meanwhile; then there is a queue behind it.
                if not await self._limiter.held(bucket):
                    return
        except LimitReached as reached:
            raise self._refusal(reached.retry_after) from None
        except LimitsUnavailable as error:
            raise ApiNotReached(f"whether its rate limit has room cannot be found out ({error})") from None

    async def hold(self, tenant: str, seconds: float) -> None:
        """Told that the back end wants to be left alone (RFC 6585, 4)."""
        try:
            await self._limiter.hold(self._bucket(tenant), min(seconds, LONGEST_HOLD))
        except LimitsUnavailable:
            return  # the answer counts; the next request finds out whether Redis is back

    def _bucket(self, tenant: str) -> str:
        # No name and no tenant has this sign in it, so that none can pass for another's.
        return f"{self._name}\0{tenant}" if self.per_tenant else self._name

    def _refusal(self, seconds: float) -> ApiRateLimited:
        kept = f"its limit of {self._limit} is used up" if self._limit is not None else "the back end asked for a pause"
        return ApiRateLimited(f"{kept}; try again in {math.ceil(seconds)} s", seconds)
