"""How far a memory may be believed: as far as the least of what it came from."""

from collections.abc import Iterable
from typing import Literal, get_args

TrustClass = Literal["stated", "inferred", "imported", "untrusted"]
"""From the most to the least: said by a person, concluded by a model, taken over from elsewhere, from anybody."""

TRUST: tuple[TrustClass, ...] = get_args(TrustClass)


def least(claimed: TrustClass, lineage: Iterable[TrustClass]) -> TrustClass:
    """The trust of what was taken from all of these."""
    return max((claimed, *lineage), key=TRUST.index)


def at_least(one: TrustClass, other: TrustClass) -> bool:
    """Whether the one may be believed no less than the other."""
    return TRUST.index(one) <= TRUST.index(other)
