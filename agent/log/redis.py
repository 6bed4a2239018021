"""The event log in Redis: one stream a run, written by whoever holds the run, followed from any process.

An event's ``seq`` is its id in the stream, so Redis itself refuses one that is there already. A script checks the
writer's fence and appends in one step: who has lost the run can add nothing to it. A stream whose run has ended, or
rests for days, is kept in the database, and Redis may forget it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from agent.errors import RunTakenOver
from agent.events import TERMINAL, EventBody
from agent.log.encoding import RunEvent, encode
from agent.log.live import LiveRun
from agent.log.log import EventLogUnavailable, Rewriting
from agent.queue.redis_signals import Signals
from records.cancellation import heeded

_KEPT_SECONDS = 3600
_BATCH = 200
_ATTEMPTS = 4
_BACKOFF_SECONDS = 0.1
_TAKEN = "TAKEN"

_OPEN = """
local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
if fence > tonumber(ARGV[1]) then return redis.error_reply('TAKEN') end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
return 1
"""
_APPEND = """
local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
if fence > tonumber(ARGV[1]) then return redis.error_reply('TAKEN') end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = 0
if last[1] then top = tonumber(string.match(last[1][1], '^%d+')) end
for i = 4, #ARGV, 2 do
  local seq = tonumber(ARGV[2]) + (i - 4) / 2
  if seq > top then redis.call('XADD', KEYS[1], string.format('%d-0', seq), 'type', ARGV[i], 'data', ARGV[i + 1]) end
end
if tonumber(ARGV[3]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
redis.call('PUBLISH', KEYS[1], '')
return 1
"""


class Archive(Protocol):
    """Where the events of runs that have ended, or rest, are kept."""

    async def put(self, run_id: str, events: Sequence[RunEvent]) -> None: ...

    async def get(self, run_id: str) -> list[RunEvent]: ...

    async def remove(self, run_id: str) -> None: ...


class RedisEventLog:
    """Streams in Redis. Followers are woken by a message of the run's channel, and read what they lack."""

    def __init__(self, redis: "Redis", signals: Signals, archive: Archive) -> None:
        self._redis = redis
        self._signals = signals
        self._archive = archive
        self._open = redis.register_script(_OPEN)
        self._append = redis.register_script(_APPEND)
        self._live: dict[str, LiveRun] = {}
        self._fences: dict[str, int] = {}
        self._closed = False

    async def open(self, run_id: str, fence: int) -> None:
        """Take the writer's place; what Redis has forgotten is brought back from the archive."""
        await self._run(self._open, run_id, fence)
        if fence == 0:
            return
        live = LiveRun(await self._brought_back(run_id, fence) if fence > 1 else [])
        if live.ended:
            # Whoever wrote the end may have died before it was archived.
            await self._archive.put(run_id, live.events)
        else:
            self._live[run_id], self._fences[run_id] = live, fence

    async def _brought_back(self, run_id: str, fence: int) -> list[RunEvent]:
        events = await self._after(run_id, 0, None)
        if not events:
            events = await self._archive.get(run_id)
            await self._write(run_id, fence, events)
        return events

    async def append(self, run_id: str, bodies: Sequence[EventBody]) -> None:
        """Append events in order; after the terminal one the run's log is archived."""
        live = self._live[run_id]
        events = [encode(run_id, seq, body) for seq, body in enumerate(bodies, len(live.events) + 1)]
        await self._write(run_id, self._fences[run_id], events)
        live.show(events)
        if live.ended:
            await self._let_go(run_id)

    async def rest(self, run_id: str) -> None:
        """Archive what there is; Redis may forget the rest."""
        await self._let_go(run_id)
        for key in _keys(run_id):
            await self._try(lambda key=key: self._redis.expire(key, _KEPT_SECONDS))

    async def abandon(self, run_id: str, body: EventBody) -> None:
        """Tell those who follow in this process; recovery keeps the end later."""
        live = self._live.pop(run_id, None)
        if live is not None:
            live.show([encode(run_id, len(live.events) + 1, body)])

    async def read(self, run_id: str) -> list[RunEvent]:
        """All events of the run so far."""
        return await self._after(run_id, 0, None) or await self._archive.get(run_id)

    async def follow(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """The events with ``seq > after``, those to come included, up to the terminal one.

        Those of a run that is written in this process come from memory, until another process has taken it over.
        """
        position = after
        while not self._closed:
            live = self._live.get(run_id)
            events = live.follow(position) if live is not None else self._follow_elsewhere(run_id, position)
            async for event in events:
                position = event.seq
                yield event
                if event.type in TERMINAL:
                    return
            if live is None and run_id not in self._live:
                return

    async def _follow_elsewhere(self, run_id: str, after: int) -> AsyncIterator[RunEvent]:
        """As ``follow``, from Redis; ends early when this process begins to write the run."""
        async with self._signals.listen(_key(run_id)) as grown:
            position = after
            while not self._closed and run_id not in self._live:
                grown.clear()
                events = await self._after(run_id, position, _BATCH)
                if not events and position == after:
                    kept = await self._archive.get(run_id)
                    if not kept and not await self._is_open(run_id):
                        return
                    if kept and kept[-1].type in TERMINAL and len(kept) <= position:
                        return
                    events = kept[position:]
                for event in events:
                    position = event.seq
                    yield event
                    if event.type in TERMINAL:
                        return
                if not events:
                    await grown.wait()

    async def rewrite(self, run_id: str, change: Rewriting) -> None:
        """Change what is archived, then let Redis forget the run: it is read from the archive."""
        kept = await self.read(run_id)
        changed = change(kept)
        if list(changed) != kept:
            await self._archive.put(run_id, changed)
            await self._forget(run_id)

    async def erase(self, run_id: str) -> None:
        """Forget the run in both places."""
        await self._archive.remove(run_id)
        await self._forget(run_id)

    async def _forget(self, run_id: str) -> None:
        live = self._live.pop(run_id, None)
        if live is not None:
            live.leave()
        await self._try(lambda: self._redis.delete(*_keys(run_id)))

    async def aclose(self) -> None:
        """Let go of all followers."""
        self._closed = True
        for live in self._live.values():
            live.leave()
        self._signals.wake_all()

    async def _is_open(self, run_id: str) -> bool:
        return bool(await self._try(lambda: self._redis.exists(_keys(run_id)[1])))

    async def _write(self, run_id: str, fence: int, events: Sequence[RunEvent]) -> None:
        if events:
            parts = [part for event in events for part in (event.type, event.data)]
            kept = _KEPT_SECONDS if events[-1].type in TERMINAL else 0
            await self._run(self._append, run_id, fence, events[0].seq, kept, *parts)

    async def _let_go(self, run_id: str) -> None:
        live = self._live.pop(run_id, None)
        if live is None:
            return
        live.leave()
        await self._archive.put(run_id, live.events)

    async def _after(self, run_id: str, position: int, count: int | None) -> list[RunEvent]:
        found = await self._try(lambda: self._redis.xrange(_key(run_id), min=f"({position}-0", count=count))
        return [RunEvent(run_id, _seq(key), *_fields(fields)) for key, fields in found]

    async def _run(self, script: Any, run_id: str, *arguments: Any) -> Any:
        try:
            return await self._try(lambda: script(keys=_keys(run_id), args=arguments))
        except ResponseError as error:
            if _TAKEN in str(error):
                raise RunTakenOver(f"run {run_id} was taken up by another worker") from error
            raise

    async def _try(self, act: Any) -> Any:
        """Do it, and again after a lost connection: every command here may be repeated."""
        for attempt in range(_ATTEMPTS):
            try:
                return await heeded(act())
            except (RedisConnectionError, RedisTimeoutError) as error:
                if attempt == _ATTEMPTS - 1:
                    raise EventLogUnavailable(f"Redis cannot be reached: {error}") from error
                await asyncio.sleep(_BACKOFF_SECONDS * 2**attempt)
            except ResponseError:
                raise
            except RedisError as error:
                raise EventLogUnavailable(str(error)) from error
        raise AssertionError


def _key(run_id: str) -> str:
    # The braces keep a run's keys on one node of a cluster, as its scripts need.
    return f"cairn:{{{run_id}}}:log"


def _keys(run_id: str) -> list[str]:
    return [_key(run_id), f"cairn:{{{run_id}}}:fence"]


def _seq(key: bytes) -> int:
    return int(key.partition(b"-")[0])


def _fields(fields: Any) -> tuple[str, bytes]:
    given = dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields
    return given[b"type"].decode(), given[b"data"]
