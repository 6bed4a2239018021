"""What tools may note down for later calls in the same session: a few small JSON values by name."""

import asyncio
from typing import Any, Protocol


class Scratch(Protocol):
    """The notes of one session, as one call sees them.

    What is written is kept at once, also when the call fails after that. A call that is made again, because nobody
    knows what came of it, finds what it found the first time. Calls of one turn run at the same time: if they use the
    same name, the last to write it wins.
    """

    async def get(self, name: str, default: Any = None) -> Any:
        """The value with this name."""
        ...

    async def set(self, name: str, value: Any) -> None:
        """Keep a value.

        Raises:
            ScratchRefused: It is no JSON, or too large, or there are too many.
        """
        ...

    async def delete(self, name: str) -> None:
        """Keep it no longer. Nothing happens if there is none."""
        ...

    @property
    def blocking(self) -> "BlockingScratch":
        """The same for a tool that is not async, and so runs in a thread."""
        ...


class ScratchRefused(ValueError):
    """It cannot be noted down; the message says why. It proves nothing of what else the tool has done."""


class NoScratch:
    """Where there is nothing to write on: in a tool's own process, or outside of a run."""

    async def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - as below, it is the port's
        """Refuse."""
        raise _none()

    async def set(self, name: str, value: Any) -> None:  # noqa: ARG002
        """Refuse."""
        raise _none()

    async def delete(self, name: str) -> None:  # noqa: ARG002
        """Refuse."""
        raise _none()

    @property
    def blocking(self) -> "BlockingScratch":
        """Refuse."""
        raise _none()


class BlockingScratch:
    """A scratch for a thread beside the event loop that it belongs to."""

    def __init__(self, scratch: Scratch, loop: asyncio.AbstractEventLoop) -> None:
        self._scratch = scratch
        self._loop = loop

    def get(self, name: str, default: Any = None) -> Any:
        """As ``Scratch.get``."""
        return asyncio.run_coroutine_threadsafe(self._scratch.get(name, default), self._loop).result()

    def set(self, name: str, value: Any) -> None:
        """As ``Scratch.set``."""
        asyncio.run_coroutine_threadsafe(self._scratch.set(name, value), self._loop).result()

    def delete(self, name: str) -> None:
        """As ``Scratch.delete``."""
        asyncio.run_coroutine_threadsafe(self._scratch.delete(name), self._loop).result()


def _none() -> ScratchRefused:
    return ScratchRefused("there is no scratch here: a tool in a process of its own, or outside of a run, has none")
