"""The event log: one ordered, append-only list of events a run, which any number of readers follow."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import orjson

from agent.events import EventBody
from agent.log.encoding import RunEvent, encode
from agent.log.live import LiveRun
from records.ids import new_id

Rewriting = Callable[[Sequence[RunEvent]], Sequence[RunEvent]]
"""What the events of a run are to become."""


class EventLogUnavailable(OSError):
    """Where events are kept cannot be reached."""


class EventLog(Protocol):
    """Where a run's events are kept. What was appended is there after a crash, and never changes."""

    async def open(self, run_id: str, fence: int) -> None:
        """Make ready for a run's events: from now on readers wait for them. Nothing happens to one that is complete.

        Args:
            fence: The run's; who opened it under a lower one can append nothing any more. Under 0 nobody can yet:
                the run waits for whoever takes it up, in whatever process.

        Raises:
            RunTakenOver: It was opened under a higher one.
        """
        ...

    async def append(self, run_id: str, bodies: Sequence[EventBody]) -> None:
        """Append events in order; they are kept before any reader sees them.

        Raises:
            OSError: They could not be kept (the disk is full, say); no reader saw them.
            RunTakenOver: The run was opened under a higher fence since.
        """
        ...

    async def abandon(self, run_id: str, body: EventBody) -> None:
        """Tell the readers of a run, now and later, how it ended though that cannot be kept.

        Recovery opens the run again, and keeps its end.
        """
        ...

    async def rest(self, run_id: str) -> None:
        """The run comes to rest, perhaps for days: hold nothing for it that its followers don't need."""
        ...

    async def read(self, run_id: str) -> list[RunEvent]:
        """All events of the run so far; none for a run that is not known."""
        ...

    def follow(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """The events with ``seq > after``, those to come included, up to the terminal one.

        They end early when this process stops; whoever follows then comes back with the last ``seq``.
        """
        ...

    async def rewrite(self, run_id: str, change: "Rewriting") -> None:
        """Let the events of a run that has ended say something else: as many, in the same order. All or nothing."""
        ...

    async def erase(self, run_id: str) -> None:
        """Forget the events of a run that has ended, for good."""
        ...

    async def aclose(self) -> None:
        """Let go of everything, followers included."""
        ...


class _File:
    """A run's file, opened with its first event."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._file: int | None = None
        self._size = size

    def write(self, events: Sequence[RunEvent]) -> None:
        """Append the events as a whole.

        Raises:
            OSError: Nothing was appended.
        """
        if self._file is None:
            self._file = self._opened()
        data = to_lines(events)
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # Nobody may find half an event later.
            with suppress(OSError):
                os.truncate(self._file, self._size)
            raise
        self._size += written

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # A process killed inside a write leaves half a line behind; it was never shown, so it goes.
        os.truncate(file, self._size)
        return file


class FileEventLog:
    """A file a run, one JSON line an event, written to the kernel before anybody sees it.

    A write of a few hundred bytes to the page cache takes microseconds, so it is made on the event loop; it outlives
    the process, not a power cut. Readers of a live run share one list: a slow reader costs no memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live: dict[str, LiveRun] = {}
        self._files: dict[str, _File] = {}

    async def open(self, run_id: str, fence: int = 0) -> None:  # noqa: ARG002 - one process writes these files
        """Go on from what is kept of the run. Its file is made with its first event, so this cannot fail for space."""
        live = self._live.get(run_id)
        if live is None or live.ended:
            live = LiveRun(self._load(run_id))
        if live.ended:
            self._live.pop(run_id, None)
            return
        self._live[run_id] = live
        self._files.setdefault(run_id, _File(self._path(run_id), len(to_lines(live.events))))

    async def append(self, run_id: str, bodies: Sequence[EventBody]) -> None:
        """Append events in order; the run's file is closed with its terminal event."""
        live = self._live[run_id]
        events = [encode(run_id, seq, body) for seq, body in enumerate(bodies, len(live.events) + 1)]
        self._files[run_id].write(events)
        live.show(events)
        if live.ended:
            self._close(run_id)
            del self._live[run_id]

    async def abandon(self, run_id: str, body: EventBody) -> None:
        """Show the body to those who follow, and let go of the file; what was shown stays in memory."""
        live = self._live.get(run_id)
        if live is not None and not live.ended:
            live.show([encode(run_id, len(live.events) + 1, body)])
            self._close(run_id)

    async def rest(self, run_id: str) -> None:
        """Close the file; the events stay in memory only while somebody follows."""
        self._close(run_id)
        self._forget(run_id)

    async def read(self, run_id: str) -> list[RunEvent]:
        """All events of the run so far."""
        live = self._live.get(run_id)
        return list(live.events) if live else await asyncio.to_thread(self._load, run_id)

    async def follow(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """The events with ``seq > after``, those to come included, up to the terminal one."""
        live = self._live.get(run_id)
        if live is None:
            kept = await asyncio.to_thread(self._load, run_id)
            live = self._live.get(run_id) or LiveRun(kept)
            if live.ended or not live.events:
                for event in live.events[after:]:
                    yield event
                return
            self._live.setdefault(run_id, live)
        try:
            async for event in live.follow(after):
                yield event
        finally:
            self._forget(run_id)

    async def rewrite(self, run_id: str, change: Rewriting) -> None:
        """Write the file anew beside the old one, and put it in its place."""
        await asyncio.to_thread(self._rewrite, run_id, change)

    async def erase(self, run_id: str) -> None:
        """Remove the file."""
        live = self._live.pop(run_id, None)
        if live is not None:
            live.leave()
        self._close(run_id)
        await asyncio.to_thread(self._path(run_id).unlink, missing_ok=True)

    async def aclose(self) -> None:
        """Close the files of runs that have not ended, and let go of their followers."""
        for run_id in list(self._files):
            self._close(run_id)
        for live in self._live.values():
            live.leave()
        self._live.clear()

    def _close(self, run_id: str) -> None:
        file = self._files.pop(run_id, None)
        if file is not None:
            file.close()

    def _forget(self, run_id: str) -> None:
        """Nothing is held of a run that rests and that nobody follows; nor of one whose end could not be kept."""
        live = self._live.get(run_id)
        if live is not None and run_id not in self._files and not live.followers and not live.ended:
            del self._live[run_id]

    def _path(self, run_id: str) -> Path:
        # The last characters of a UUIDv7 are random: they spread the files evenly.
        return self._folder / run_id[-2:] / f"{run_id}.jsonl"

    def _rewrite(self, run_id: str, change: Rewriting) -> None:
        kept = self._load(run_id)
        changed = change(kept)
        if list(changed) == kept:
            return
        path = self._path(run_id)
        beside = path.with_suffix(f".{new_id()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(to_lines(changed))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _load(self, run_id: str) -> list[RunEvent]:
        try:
            data = self._path(run_id).read_bytes()
        except FileNotFoundError:
            return []
        return from_lines(run_id, data)


def from_lines(run_id: str, data: bytes) -> list[RunEvent]:
    """The events of a run that are whole, of lines of JSON."""
    lines = enumerate(data.split(b"\n")[:-1], 1)
    return list(takewhile(lambda event: event.type, (_event(run_id, seq, line) for seq, line in lines)))


def to_lines(events: Sequence[RunEvent]) -> bytes:
    """A line of JSON for each event."""
    return b"".join(event.data + b"\n" for event in events)


def _event(run_id: str, seq: int, line: bytes) -> RunEvent:
    """The event of a line; without a type when the line is damaged, as a power cut leaves it."""
    try:
        fields = orjson.loads(line)
        return RunEvent(run_id, seq, fields["type"] if fields["seq"] == seq else "", line)
    except (ValueError, KeyError, TypeError):
        return RunEvent(run_id, seq, "", line)
