"""Fields that bodies of requests share."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


_DEPTH = 20


def _storable(value: Any, depth: int = 0) -> Any:
    """Refuse what not every store and every client's JSON can hold."""
    if depth > _DEPTH:
        raise ValueError(f"nested more than {_DEPTH} levels deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and Infinity are not JSON")
    if isinstance(value, str):
        value.encode()
    children = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for child in children:
        _storable(child, depth + 1)
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_storable)]
