"""The process that owns the embedded store: one thread, one socket, one request at a time.

Every call into the engine holds the interpreter's lock, so threads would gain nothing here, and in the service they
would stop the event loop. Searches go before writes, and a write is one bounded batch, so neither waits long.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

from records.confinement import die_with
from retrieval.errors import RetrievalError, StoreLocked
from retrieval.vectors.edge_search import find
from retrieval.vectors.edge_shards import Shards
from retrieval.vectors.frames import Decoder, encode

READS = frozenset({"find", "search", "search_whole", "payloads", "near", "scroll", "count", "ping"})
WRITES = frozenset({"create", "drop", "index_fields", "upsert", "delete", "flush", "compact"})

_RECEIVE = 1 << 20

Request = tuple[int, str, tuple[Any, ...]]


class Owner:
    """Answers ``(id, operation, arguments)`` with ``(id, True, value)`` or ``(id, False, (error, message))``."""

    def __init__(self, connection: socket.socket, shards: Shards) -> None:
        self._connection = connection
        self._shards = shards
        self._decoder = Decoder()
        self._reads: deque[Request] = deque()
        self._writes: deque[Request] = deque()
        self._idle = False

    def serve(self) -> None:
        """Answer until the other end closes the connection."""
        while self._receive():
            for _ in range(len(self._reads)):
                self._answer(self._reads.popleft())
            if self._writes:
                self._answer(self._writes.popleft())
            elif not self._reads:
                self._idle = not self._load_next()

    def _receive(self) -> bool:
        wait = self._idle and not self._writes
        try:
            data = self._connection.recv(_RECEIVE, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for request in self._decoder.feed(data):
            (self._reads if request[1] in READS else self._writes).append(request)
        return bool(data)

    def _answer(self, request: Request) -> None:
        number, operation, arguments = request
        try:
            reply = encode((number, True, self._run(operation, arguments)))
        except RetrievalError as error:
            reply = encode((number, False, (type(error).__name__, str(error))))
        except Exception as error:  # noqa: BLE001 -- the engine raises bare Exception; whoever asked is told
            reply = encode((number, False, ("RetrievalError", f"The embedded store failed to {operation}: {error}")))
        with contextlib.suppress(ConnectionError):
            self._connection.sendall(reply)

    def _run(self, operation: str, arguments: tuple[Any, ...]) -> Any:
        if operation == "ping":
            return None
        if operation not in READS | WRITES:
            raise RetrievalError(f"The embedded store has no operation {operation!r}")
        if operation == "find":
            return find(self._shards, *arguments)
        return getattr(self._shards, operation)(*arguments)

    def _load_next(self) -> bool:
        try:
            return self._shards.load_next()
        except Exception:  # noqa: BLE001 -- whoever asks for that index is told; the others must not suffer
            return True


def hold(root: Path, wait: float) -> IO[str]:
    """Take the folder's lock, waiting for up to ``wait`` seconds; it is held as long as the file is open.

    Raises:
        StoreLocked: Another process that is alive holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = (root / ".lock").open("a+", encoding="ascii")
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreLocked(_held_by(root, lock)) from None
            time.sleep(0.02)
        else:
            lock.truncate(0)
            lock.write(str(os.getppid()))
            lock.flush()
            return lock


def _held_by(root: Path, lock: IO[str]) -> str:
    lock.seek(0)
    holder = lock.read().strip() or "unknown"
    return (
        f"Another process (pid {holder}) is using the store in {root}. "
        "Talk to that service over HTTP, stop it, or choose another data folder."
    )


def main(parent: int, root: str, lock_wait: float) -> None:
    """Own the store under ``root`` for the process ``parent``, which speaks through standard input."""
    die_with(parent)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    with socket.socket(fileno=0) as connection, contextlib.ExitStack() as held:
        try:
            held.enter_context(hold(Path(root), lock_wait))
            shards = Shards(Path(root))
        except (RetrievalError, OSError, ValueError) as error:
            name = type(error).__name__ if isinstance(error, RetrievalError) else "StoreUnavailable"
            connection.sendall(encode((0, False, (name, f"{error}"))))
            return
        connection.sendall(encode((0, True, shards.specs())))
        Owner(connection, shards).serve()
        shards.close()
