"""Threads for synchronous tools: a bounded few per tool, so that one that hangs can only starve itself."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Job:
    function: Callable[[], Any]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    outcome: asyncio.Future[tuple[Any, BaseException | None]]

    def run(self) -> None:
        if self.outcome.cancelled():
            return
        try:
            result: tuple[Any, BaseException | None] = (self.context.run(self.function), None)
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            result = (None, error)
        try:
            self.loop.call_soon_threadsafe(self._deliver, result)
        except RuntimeError:
            return  # the loop has ended: nobody waits for the outcome any more

    def _deliver(self, result: tuple[Any, BaseException | None]) -> None:
        if not self.outcome.done():
            self.outcome.set_result(result)


class ToolThreads:
    """At most ``limit`` daemon threads that run one tool's calls; more calls wait their turn.

    A call that is abandoned (timed out, cancelled) keeps its thread until the function returns, because Python cannot
    stop a thread. So the bound belongs to one tool, and daemon threads never hold up the end of the process. Threads
    start when needed and end when idle. An instance may serve several event loops.
    """

    def __init__(self, name: str, limit: int = 16) -> None:
        self._name = name
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._unfinished = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """Run ``function`` in a thread and return what it returns.

        Raises:
            BaseException: What the function raised.
        """
        loop = asyncio.get_running_loop()
        job = _Job(function, contextvars.copy_context(), loop, loop.create_future())
        with self._lock:
            self._unfinished += 1
            self._jobs.put(job)
            if self._threads < min(self._limit, self._unfinished):
                self._start_thread(job)
        value, error = await job.outcome
        if error is not None:
            raise error
        return value

    def _start_thread(self, job: _Job) -> None:
        try:
            threading.Thread(target=self._work, name=f"tool-{self._name}", daemon=True).start()
        except RuntimeError:
            # The machine has no thread left. Another of this tool's may take the job; if none can, it must never run,
            # because its caller is told now that it failed.
            if not self._threads:
                job.outcome.cancel()
                raise
        else:
            self._threads += 1

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            job.run()
            with self._lock:
                self._unfinished -= 1
            # An idle thread must not keep the last call's arguments and result alive.
            del job
