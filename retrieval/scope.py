"""The filter that every search is made under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from records.principal import Principal

if TYPE_CHECKING:
    from qdrant_client.models import FieldCondition, Filter

    Conditions = Filter | Mapping[str, Any]
else:
    Conditions = Any


def scope(principal: Principal, conditions: Conditions | None) -> Filter:
    """What the principal may find in a collection's index, which holds nothing else, narrowed by conditions.

    Args:
        principal: Its tenant, and the groups of which a document must name at least one, unless it reads all.
        conditions: Metadata that must be equal (a list: equal to one of them), or a filter over point payloads.
    """
    from qdrant_client.models import FieldCondition, Filter, MatchAny, MatchValue

    must: list[Any] = [FieldCondition(key="tenant", match=MatchValue(value=principal.tenant))]
    if not principal.reads_all:
        must.append(FieldCondition(key="acl", match=MatchAny(any=principal.readable)))
    if isinstance(conditions, Filter):
        must.append(conditions)
    elif conditions:
        must.extend(_equal(f"metadata.{key}", value) for key, value in conditions.items())
    return Filter(must=must)


def _equal(key: str, value: Any) -> FieldCondition:
    from qdrant_client.models import FieldCondition, MatchAny, MatchValue, Range

    if isinstance(value, list | tuple | set | frozenset):
        return FieldCondition(key=key, match=MatchAny(any=list(value)))
    if isinstance(value, float):
        # Equality is defined for keywords, whole numbers and booleans only.
        return FieldCondition(key=key, range=Range(gte=value, lte=value))
    return FieldCondition(key=key, match=MatchValue(value=value))
