"""Who keeps count of requests. Each one reserves its place: whoever comes later waits behind it."""

from collections.abc import Sequence
from typing import Protocol

from tools.limits.rates import Rate


class LimitReached(Exception):
    """There is no place in time.

    Attributes:
        retry_after: Seconds until there may be one.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"there is no place for {retry_after:g} s")
        self.retry_after = retry_after


class LimitsUnavailable(Exception):
    """Nobody can say whether there is a place: whatever keeps count does not answer."""


class RateLimiter(Protocol):
    """Keeps count of requests by bucket, with the generic cell rate algorithm (ITU-T I.371, Annex A).

    A rate is kept whatever other rates the bucket has, and a place is reserved only if all of them have one.
    """

    async def acquire(self, bucket: str, rates: Sequence[Rate], patience: float) -> float:
        """Reserve a place; gives the seconds until then, 0 for at once.

        Args:
            patience: Seconds that may be waited for it.

        Raises:
            LimitReached: It would take longer; nothing was reserved.
            LimitsUnavailable: Whatever keeps count does not answer.
        """
        ...

    async def hold(self, bucket: str, seconds: float) -> None:
        """Let there be no place for so long, also for those that have one. The longest such wish stands.

        Raises:
            LimitsUnavailable: As above.
        """
        ...

    async def held(self, bucket: str) -> float:
        """Seconds for which there is no place because of ``hold``; 0 for none.

        Raises:
            LimitsUnavailable: As above.
        """
        ...
