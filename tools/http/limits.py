"""What one API may cost, and when it is left alone for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one API may cost.

    Attributes:
        connect: Seconds to make a connection.
        read: Seconds between two pieces of an answer.
        total: Seconds for a request with all its attempts, waiting for a free connection included.
        attempts: How often a request that may be repeated is sent.
        backoff: Seconds before the second attempt where the back end does not say; they double with each further one.
        concurrency: Requests at a time, to one host.
        response_bytes: The largest answer that is read, uncompressed; a larger one is an error.
        failures: Failures in a row after which a host is left alone,
        rest: and for how many seconds.
    """

    connect: float = 5.0
    read: float = 15.0
    total: float = 25.0
    attempts: int = 3
    backoff: float = 0.2
    concurrency: int = 16
    response_bytes: int = 4 << 20
    failures: int = 5
    rest: float = 15.0


class CircuitBreaker:
    """Leaves a host alone that failed several times in a row; after a rest, one request tries whether it is back.

    Source: M. Nygard, Release It!, "Circuit Breaker".
    """

    def __init__(self, failures: int, rest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = failures
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._closed_at = 0.0

    def admits(self) -> bool:
        """Whether a request may be sent. The one that ends a rest starts the next, so that no second one follows it."""
        if self._failures < self._allowed:
            return True
        now = self._clock()
        if now < self._closed_at:
            return False
        self._closed_at = now + self._rest
        return True

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._allowed:
            self._closed_at = self._clock() + self._rest
