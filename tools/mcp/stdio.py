"""A server that is a program of this machine: its process, with what it may use, and the pipes to it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_log = structlog.get_logger("cairn.mcp")

_GRACE_SECONDS = 1.0
_END_SECONDS = 4.0
_COMPLAINTS = 2000
_INHERITED = ("PATH", "LANG")
_PACKAGES = str(Path(__file__).resolve().parents[2])
_START = (
    "import sys; sys.path.insert(0, {packages!r}); from tools.isolation.supervisor import main; "
    "main({parent}, {memory}, sys.argv[1:])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is started.

    Attributes:
        command: The program and its arguments.
        environment: All the variables that it sees, but for the path and the language.
        memory_bytes: What each of its processes may write to.
        line_bytes: The longest message that it may send.
        hide: Takes credentials out of what it complains about.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None
    memory_bytes: int
    line_bytes: int
    hide: Callable[[str], str] = field(repr=False)


@asynccontextmanager
async def running(name: str, launch: Launch, ended: Callable[[], None]) -> "AsyncIterator[TransportStreams]":
    """The program as a transport; it and all that it has started are gone after the block.

    Args:
        name: The server's, for the log.
        launch: How it is started.
        ended: Called when it says no more.

    Raises:
        OSError: It cannot be started.
    """
    import anyio
    from mcp.shared.message import SessionMessage

    process = await _start(launch)
    complaints = bytearray()
    arrived, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, departing = anyio.create_memory_object_stream[SessionMessage](0)
    assert process.stdout is not None  # noqa: S101 - it was started with pipes
    assert process.stderr is not None  # noqa: S101
    assert process.stdin is not None  # noqa: S101
    stdout, stderr, stdin = process.stdout, process.stderr, process.stdin

    async def read() -> None:
        from mcp_types import jsonrpc_message_adapter

        try:
            async with arrived:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    while line := await _line(name, stdout):
                        try:
                            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                        except ValueError:
                            _log.debug("a server wrote what is no message", server=name, size=len(line))
                            continue
                        await arrived.send(SessionMessage(message))
        finally:
            ended()

    async def write() -> None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with departing:
                async for message in departing:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    stdin.write(text.encode() + b"\n")
                    await stdin.drain()

    async def listen() -> None:
        while piece := await stderr.read(4096):
            complaints.extend(piece)
            del complaints[:-_COMPLAINTS]

    pumps = [asyncio.create_task(pump()) for pump in (read, write, listen)]
    try:
        yield incoming, outgoing
    finally:
        try:
            await asyncio.shield(_end(process))
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for stream in (arrived, incoming, outgoing, departing):
                stream.close()
            said = launch.hide(complaints.decode("utf-8", "replace")).strip()
            _log.info("a server's process has ended", server=name, status=process.returncode, stderr=said)


async def _start(launch: Launch) -> asyncio.subprocess.Process:
    own = {variable: os.environ[variable] for variable in _INHERITED if variable in os.environ}
    start = _START.format(packages=_PACKAGES, parent=os.getpid(), memory=launch.memory_bytes)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", start, *launch.command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**own, **launch.environment},
        cwd=launch.folder,
        limit=launch.line_bytes,
        start_new_session=True,
    )


async def _line(name: str, stdout: asyncio.StreamReader) -> bytes:
    """The next line; nothing at the end, and after a line that is too long, which nobody can read on from."""
    try:
        return await stdout.readline()
    except ValueError:
        _log.warning("a server's message is too long; its process is ended", server=name)
        return b""


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it as the specification has it: its input closes, and what has not left soon after that is made to."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
