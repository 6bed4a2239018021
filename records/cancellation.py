"""Cancellations that are not lost on the way."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heeded(awaited: Awaitable[T]) -> T:
    """What it gives, unless the task was cancelled meanwhile.

    ``asyncio.wait_for`` of Python 3.11 loses a cancellation that comes together with what it waits for
    (https://github.com/python/cpython/issues/86296), and redis-py sends every command through it. A task that waits
    for the next thing then, instead of ending, does so for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    given = await awaited
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return given
