"""When the call that is under way has to be over, for whoever would rather not wait for what comes too late."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

_ENDS: ContextVar[float] = ContextVar("cairn_call_ends", default=inf)


@contextmanager
def call_ends_at(when: float | None) -> Iterator[None]:
    """Let the block know when it has to be over, by the loop's clock; None for never."""
    token = _ENDS.set(inf if when is None else when)
    try:
        yield
    finally:
        _ENDS.reset(token)


def seconds_left() -> float:
    """Seconds until the call under way has to be over; infinite outside of a call."""
    return _ENDS.get() - asyncio.get_running_loop().time()
