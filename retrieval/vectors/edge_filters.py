"""Filters from the one vocabulary (``qdrant_client.models``, here in its REST form) to Qdrant Edge's own types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qdrant_edge as edge

from retrieval.errors import RetrievalError

Condition = Mapping[str, Any]

_CLAUSES = ("must", "should", "must_not")


def to_edge(where: Condition) -> Any:
    """The Edge filter that means the same as a ``Filter`` dumped to JSON without its empty fields.

    Raises:
        RetrievalError: It holds a condition that the embedded store does not translate, or a malformed value.
    """
    try:
        return _filter(where)
    except (TypeError, ValueError) as error:
        raise RetrievalError(f"The filter cannot be used: {error}") from error


def _filter(where: Condition) -> Any:
    _only(where, _CLAUSES)
    must, should, must_not = (_conditions(where.get(clause) or []) or None for clause in _CLAUSES)
    return edge.Filter(must=must, should=should, must_not=must_not)


def _conditions(given: Condition | list[Condition]) -> list[Any]:
    return [_condition(each) for each in ([given] if isinstance(given, Mapping) else given)]


def _condition(condition: Condition) -> Any:
    for mark, build in _BUILDERS.items():
        if mark in condition:
            return build(condition)
    return _filter(condition)


def _field(condition: Condition) -> Any:
    _only(condition, ("key", "match", "range", "is_empty", "is_null"))
    tests = {name: value for name, value in condition.items() if name != "key"}
    if "match" in tests:
        tests["match"] = _match(tests["match"])
    if "range" in tests:
        tests["range"] = _range(tests["range"])
    return edge.FieldCondition(condition["key"], **tests)


def _match(match: Condition) -> Any:
    _only(match, ("value", "any", "except"))
    if "any" in match:
        return edge.MatchAny(match["any"])
    if "except" in match:
        return edge.MatchExcept(match["except"])
    value = match["value"]
    return edge.MatchValue(_boolean(value) if isinstance(value, bool) else value)


def _boolean(value: bool) -> Any:  # noqa: FBT001
    """A boolean that Edge does not take for the integer 0 or 1, as it takes Python's own."""
    import numpy as np

    return np.bool_(value)


def _range(bounds: Condition) -> Any:
    _only(bounds, ("gt", "gte", "lt", "lte"))
    kind = edge.RangeDateTime if any(isinstance(bound, str) for bound in bounds.values()) else edge.RangeFloat
    return kind(**bounds)


def _has_id(condition: Condition) -> Any:
    return edge.HasIdCondition(set(condition["has_id"]))


def _nested(condition: Condition) -> Any:
    nested = condition["nested"]
    return edge.NestedCondition(nested["key"], _filter(nested["filter"]))


def _only(given: Condition, known: tuple[str, ...]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise RetrievalError(f"The embedded store does not filter by {', '.join(unknown)}; it knows {', '.join(known)}")


_BUILDERS: dict[str, Callable[[Condition], Any]] = {
    "key": _field,
    "has_id": _has_id,
    "is_empty": lambda condition: edge.IsEmptyCondition(condition["is_empty"]["key"]),
    "is_null": lambda condition: edge.IsNullCondition(condition["is_null"]["key"]),
    "nested": _nested,
}
