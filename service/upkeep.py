"""What goes on beside the requests, for as long as the service does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

_log = structlog.get_logger("cairn.service")


@asynccontextmanager
async def every(seconds: float, act: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do something now and then while the block goes on; what fails once is done again."""

    async def ticking() -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await act()
            except Exception as error:  # noqa: BLE001 - the next time it may work
                _log.error("upkeep failed", exc_info=error)

    async with background(ticking()):
        yield


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something go on while the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
