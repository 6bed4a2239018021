"""Limits of one process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tools.limits.port import LimitReached
from tools.limits.rates import Rate

_MANY = 1000
_EXACT = 1e-6
"""Seconds; less is what sums of fractions are off by."""


@dataclass(slots=True)
class _Bucket:
    """When each rate's bucket is full again ("theoretical arrival time"), and until when nothing may be sent."""

    full_at: dict[Rate, float] = field(default_factory=dict)
    held_until: float = float("-inf")

    def is_over(self, moment: float) -> bool:
        return self.held_until <= moment and all(each <= moment for each in self.full_at.values())


class LocalLimits:
    """Keeps count in memory.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._many = _MANY

    async def acquire(self, bucket: str, rates: Sequence[Rate], patience: float) -> float:
        """Reserve a place, as the port says."""
        moment = self._clock()
        kept = self._bucket(bucket, moment)
        places = [kept.full_at.get(rate, moment) - rate.tolerance for rate in rates]
        at = max([moment, kept.held_until, *places])
        wait = at - moment if at - moment > _EXACT else 0.0
        if wait > patience:
            raise LimitReached(wait)
        for rate in rates:
            kept.full_at[rate] = max(kept.full_at.get(rate, at), at) + rate.interval
        return wait

    async def hold(self, bucket: str, seconds: float) -> None:
        """Let there be no place for so long."""
        moment = self._clock()
        kept = self._bucket(bucket, moment)
        kept.held_until = max(kept.held_until, moment + seconds)

    async def held(self, bucket: str) -> float:
        """Seconds for which there is no place because of ``hold``."""
        kept = self._buckets.get(bucket)
        return max(kept.held_until - self._clock(), 0.0) if kept is not None else 0.0

    def _bucket(self, name: str, moment: float) -> _Bucket:
        if len(self._buckets) >= self._many:
            self._buckets = {each: kept for each, kept in self._buckets.items() if not kept.is_over(moment)}
            self._many = max(_MANY, 2 * len(self._buckets))
        return self._buckets.setdefault(name, _Bucket())
