"""A cancellation that comes together with what a task waits for is heeded."""

import asyncio

import pytest

from records.cancellation import heeded


async def lost(arrived: asyncio.Event) -> str:
    """Waits as ``asyncio.wait_for`` of Python 3.11 does: what has arrived wins over a cancellation."""
    try:
        await arrived.wait()
    except asyncio.CancelledError:
        if not arrived.is_set():
            raise
    return "arrived"


async def test_it_is_not_lost() -> None:
    arrived = asyncio.Event()
    plain, heeding = asyncio.create_task(lost(arrived)), asyncio.create_task(heeded(lost(arrived)))
    await asyncio.sleep(0)
    arrived.set()
    plain.cancel()
    heeding.cancel()
    assert await plain == "arrived"
    with pytest.raises(asyncio.CancelledError):
        await heeding


async def test_what_was_heeded_before_does_not_count_again() -> None:
    async def cleaning_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await heeded(asyncio.sleep(0, "cleaned"))
        return "never"

    task = asyncio.create_task(cleaning_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned"


async def test_nothing_changes_for_what_nobody_cancels() -> None:
    assert await heeded(asyncio.sleep(0, "given")) == "given"
    with pytest.raises(ValueError, match="as it is"):
        await heeded(failing())


async def failing() -> None:
    raise ValueError("as it is")
