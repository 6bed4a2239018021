"""How a process that carries out runs stops: those runs first, then what is left to do."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.services import Services

_DRAIN_SECONDS = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping(services: "Services", leave: Callable[[int], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM let runs end or hand them over, close streams, then ``leave``; a second does not wait."""
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []

    async def end(number: int) -> None:
        try:
            await services.runs.aclose(_DRAIN_SECONDS)
            await services.events.aclose()
            await services.closing.aclose()
        finally:
            leave(number)

    def stop(number: int) -> None:
        if ending:
            leave(number)
        else:
            ending.append(loop.create_task(end(number)))

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
