"""One thread for heavy calls: urgent ones first, so that a query never waits for a whole ingestion."""

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

URGENT = 0
ROUTINE = 1
_STOP = 2


class PriorityWorker:
    """Runs calls one at a time in its own thread: by priority, then in order of arrival.

    A call whose awaiter is cancelled before its turn never runs. The thread is bounded by its callers: each waits for
    what it submitted.
    """

    def __init__(self, name: str) -> None:
        self._queue: queue.PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any] | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, priority: int, call: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a call; awaiting the future gives its result. Cancelling the future before its turn drops the call."""
        if self._closed:
            raise RuntimeError(f"{self._thread.name} is closed")
        future: Future[T] = Future()
        self._queue.put((priority, next(self._order), future, call))
        return asyncio.wrap_future(future)

    async def aclose(self) -> None:
        """Finish what is queued and end the thread. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._queue.put((_STOP, next(self._order), Future(), None))
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while True:
            _, _, future, call = self._queue.get()
            if call is None:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # it belongs to the awaiter, whatever it is
                future.set_exception(error)
            else:
                future.set_result(result)
            # An idle worker must not keep the last call's texts and vectors alive.
            del future, call
