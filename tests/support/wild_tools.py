"""Tools that do to their process what the call tells them to, good or bad."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from cairn import ToolContext, ToolError, tool

SECONDS = 4.0


class Item(BaseModel):
    number: int = Field(alias="itemNumber")


def _hold_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(1000)


def _read_nothing() -> None:
    ctypes.string_at(0)


def _eat() -> None:
    len(bytearray(3 << 30))


def _fork_and_exit() -> None:
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(3)


def _refuse() -> None:
    raise ToolError("The shop is closed.")


def _close_everything() -> None:
    os.closerange(0, 256)


def _chatter() -> None:
    os.write(1, b"\0\0\0\2{}" * 10)
    os.close(1)
    sys.stdin.close()


def _miss() -> None:
    DEEDS["no such deed"]()


def _lie() -> object:
    return object()


DEEDS: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "sleep": lambda: time.sleep(1000),
    "hold": _hold_the_interpreter,
    "exit": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(3),
    "abort": os.abort,
    "segfault": _read_nothing,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "eat": _eat,
    "fork": _fork_and_exit,
    "close": _close_everything,
    "chatter": _chatter,
    "key": _miss,
    "refuse": _refuse,
    "lie": _lie,
}


def _do(deed: str) -> Any:
    return DEEDS[deed]() or os.getpid()


@tool(isolation="process", timeout=SECONDS)
def wild_read(deed: str) -> Any:
    """Do it and tell the process."""
    return _do(deed)


@tool(isolation="process", timeout=SECONDS, effect="write")
def wild_write(deed: str) -> Any:
    """Do it and tell the process."""
    return _do(deed)


@tool(isolation="process")
def start_and_wait(note: Path) -> None:
    """Start a process, note its number and one's own, and wait for ever."""
    child = subprocess.Popen(["sleep", "1000"])
    partial = note.with_suffix(".partial")
    partial.write_text(f"{os.getpid()} {child.pid}")
    partial.rename(note)
    child.wait()


@tool(isolation="process")
def announce_and_hang() -> None:
    """Print one's own number, and be deaf to everything from then on."""
    os.write(1, f"{os.getpid()}\n".encode())
    _hold_the_interpreter()


@tool(isolation="process", timeout=SECONDS)
async def fork_and_return(number: int) -> int:
    """Return twice."""
    os.fork()
    return number


@tool(isolation="process")
async def echo(items: list[Item], context: ToolContext) -> dict[str, Any]:
    """Tell what arrived."""
    return {"items": [item.number for item in items], "tenant": context.principal.tenant}


@tool(isolation="process", environment=("WILD_COLOUR",))
def surroundings() -> dict[str, Any]:
    """Tell what the process has."""
    return {"environment": dict(os.environ), "input": sys.stdin.read(), "leads": os.getsid(0) == os.getpid()}


@tool(isolation="process")
class Counter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[int]:
        """Count."""
        self.calls += 1
        return [self.calls, os.getpid()]


def plain() -> int:
    """Where it runs."""
    return os.getpid()
