"""Rates as an operator writes them: so many requests in a second, a minute, an hour or a day."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeAlias

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_TEXT = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(second|minute|hour|day)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds, as a bucket that holds ``burst`` of them and fills evenly.

    Attributes:
        burst: How many may be sent at once after a rest; as many as ``requests`` if None. A back end that counts
            strictly may then see up to twice as many in one of its windows; with 1 they are sent at even distances.

    Raises:
        ValueError: One of them is not positive.
    """

    requests: int
    seconds: float
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.requests < 1 or not self.seconds > 0 or (self.burst is not None and self.burst < 1):
            raise ValueError("a rate takes at least one request, in more than no time, and a burst of at least one")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rate that is written ``10/second``, ``600/minute``, ``1000/hour`` or ``5000/day``.

        Raises:
            ValueError: It is written otherwise.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"the rate {text!r} cannot be read; write it as 10/second, 600/minute, 1000/hour or 5000/day"
            )
        return cls(int(found[1]), _UNITS[found[2]])

    @property
    def interval(self) -> float:
        """Seconds in which the bucket fills by one request."""
        return self.seconds / self.requests

    @property
    def tolerance(self) -> float:
        """Seconds by which a request may come before its time, so that ``burst`` of them fit in at once."""
        return ((self.burst or self.requests) - 1) * self.interval

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _UNITS.items() if seconds == self.seconds), f"{self.seconds:g} s")
        return f"{self.requests}/{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The rates that a connector keeps, all of them at once.

    Attributes:
        per_tenant: Each tenant has its own; else they share one.
        name: Connectors with the same name share a limit; the base URL when None.
    """

    rates: tuple[Rate, ...]
    per_tenant: bool = False
    name: str | None = None

    @classmethod
    def of(cls, *rates: Rate | str, per_tenant: bool = False, name: str | None = None) -> Self:
        """The limit of these rates: ``RateLimit.of("10/second", "5000/day", per_tenant=True)``.

        Raises:
            ValueError: One cannot be read, or there is none.
        """
        read = tuple(rate if isinstance(rate, Rate) else Rate.parse(rate) for rate in rates)
        if not read:
            raise ValueError("a limit has at least one rate")
        return cls(rates=read, per_tenant=per_tenant, name=name)

    def __str__(self) -> str:
        return ", ".join(map(str, self.rates))


Rates: TypeAlias = RateLimit | Rate | str | Iterable[Rate | str]
"""A limit, as it may be given: ``"10/second"``, or several rates."""


def rate_limit(given: Rates) -> RateLimit:
    """The limit that is given.

    Raises:
        ValueError: A rate cannot be read.
    """
    if isinstance(given, RateLimit):
        return given
    return RateLimit.of(*([given] if isinstance(given, Rate | str) else given))
