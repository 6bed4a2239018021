"""Processes for tools that must be killable: a few per tool, each with one call at a time."""

import asyncio
import os
import pickle
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import orjson
from pydantic import TypeAdapter

from tools.isolation.job import LENGTH, Job
from tools.outcome import CallTimedOut, ToolError
from tools.results import ToolContext, ToolResult

_PROCESSES = 4
_START_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_LARGEST_ANSWER = 64 << 20
_INHERITED = ("PATH", "HOME", "LANG")
_PACKAGES = str(Path(__file__).resolve().parents[2])
_START = """
import sys
sys.path[:] = {path!r}
from tools.isolation.worker import main
main({parent!r})
"""
_RESULT = TypeAdapter(ToolResult)
_BROKEN = (EOFError, OSError, ValueError, LookupError, TypeError)  # what a dead or a lying process leaves to read


class ToolCrashed(Exception):
    """The tool's process ended, or answered with nonsense, in the midst of a call."""


class ToolProcesses:
    """The processes of one tool, started when first needed, used again while they behave, and ended when idle.

    A call that takes too long or is cancelled ends its process at once, with whatever that has started. An instance may
    serve several event loops; each has processes of its own.

    Args:
        timeout: Seconds that one call may take, from when a process has taken it.
        environment: Names of variables that the tool sees, besides the few that every program needs.
    """

    def __init__(self, job: Job, timeout: float, environment: Sequence[str] = ()) -> None:
        self._job = job
        self._timeout = timeout
        self._environment = (*_INHERITED, *environment)
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Run the tool in a process.

        Raises:
            ToolError: It was not started: no process was free in time, or none could be made ready.
            CallTimedOut: It took too long, and its process is gone.
            ToolCrashed: Its process ended or answered with nonsense, and is gone.
        """
        try:
            # What runs apart has only the credentials that it was given by name.
            request = pickle.dumps((dict(arguments), replace(context, subject_token=None)))
        except Exception as error:
            raise ToolError(f"its arguments cannot be handed to a process: {error}") from error
        pool = self._pools.setdefault(asyncio.get_running_loop(), _Pool())
        await self._wait_for_turn(pool)
        try:
            return await self._answer(pool, request)
        finally:
            pool.slots.release()

    async def _wait_for_turn(self, pool: "_Pool") -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await pool.slots.acquire()
        except TimeoutError:
            raise ToolError("it was not started: all its processes are busy") from None

    async def _answer(self, pool: "_Pool", request: bytes) -> ToolResult:
        process = pool.take() or await _ToolProcess.start(self._job, self._environment)
        try:
            answer = await process.ask(request, self._timeout)
        except BaseException:
            await asyncio.shield(process.kill())
            raise
        pool.give_back(process)
        return answer


class _Pool:
    """One event loop's processes."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_PROCESSES)
        self.idle: list[_ToolProcess] = []

    def take(self) -> "_ToolProcess | None":
        while self.idle:
            if (process := self.idle.pop()).is_alive:
                return process
        return None

    def give_back(self, process: "_ToolProcess") -> None:
        self.idle.append(process)
        asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._retire, process, process.calls)

    def _retire(self, process: "_ToolProcess", calls: int) -> None:
        if process in self.idle and process.calls == calls:
            self.idle.remove(process)
            process.slay()


class _ToolProcess:
    """One process, and the conversation with it."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls = 0
        self._process = process
        self._reader = reader
        self._writer = writer
        self._ended = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, job: Job, environment: Sequence[str]) -> Self:
        """A process that has loaded the tool.

        Raises:
            ToolError: It does not start, or the tool cannot be loaded in it.
        """
        path = [_PACKAGES, *(entry for entry in sys.path if Path(entry).is_absolute() and entry != _PACKAGES)]
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-c", _START.format(path=path, parent=os.getpid())),
                    stdin=theirs.fileno(),
                    env={name: os.environ[name] for name in environment if name in os.environ},
                    start_new_session=True,
                )
            except OSError as error:
                writer.transport.abort()
                raise ToolError(f"its process does not start: {error}") from error
            except BaseException:
                writer.transport.abort()
                raise
        started = cls(process, reader, writer)
        try:
            await started._greet(job)
        except BaseException:
            await asyncio.shield(started.kill())
            raise
        return started

    @property
    def is_alive(self) -> bool:
        return not self._ended.done()

    async def ask(self, request: bytes, seconds: float) -> ToolResult:
        """Have it run the tool.

        Raises:
            CallTimedOut: It took too long.
            ToolCrashed: It ended, or answered with nonsense.
        """
        self.calls += 1
        try:
            async with asyncio.timeout(seconds):
                await self._send(request)
                return _RESULT.validate_json(await self._receive())
        except TimeoutError:
            raise CallTimedOut from None
        except _BROKEN:
            await self.kill()
            raise ToolCrashed(self._cause_of_death()) from None

    def slay(self) -> None:
        """End the process and whatever it started, without waiting for it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.transport.abort()

    async def kill(self) -> None:
        """End the process and whatever it started; returns when it is gone."""
        self.slay()
        await asyncio.shield(self._ended)

    async def _watch(self) -> None:
        # The end of the stream does not tell: a process that the tool forked may hold its other end.
        try:
            await self._process.wait()
        finally:  # also when the event loop ends, which cancels this
            self.slay()
            await self._process.wait()

    async def _greet(self, job: Job) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._send(pickle.dumps(job))
                greeting = orjson.loads(await self._receive())
        except _BROKEN:
            raise ToolError("its process does not start") from None
        if not greeting["ready"]:
            raise ToolError(f"it cannot be loaded in its process: {greeting['error']}")

    async def _send(self, body: bytes) -> None:
        self._writer.write(LENGTH.pack(len(body)) + body)
        await self._writer.drain()

    async def _receive(self) -> bytes:
        size = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))[0]
        if size > _LARGEST_ANSWER:
            raise ValueError("the answer is larger than any may be")
        return await self._reader.readexactly(size)

    def _cause_of_death(self) -> str:
        status = self._process.returncode or 0
        how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        return f"its process ended ({how})"
