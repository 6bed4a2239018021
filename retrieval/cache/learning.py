"""What the cache learns, kept: one experience for each tenant, into which every process puts what it has seen.

A process learns at once and writes now and then. What it writes is not its own state but what it has seen since the
last time, applied to the state that the record has by then, so that two processes lose nothing of each other. What a
process had not written when it was killed is lost, whatever it was: a smaller sample, not another one.
"""

import asyncio
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from records.database import Database
from records.ids import now
from records.schema import cache_experience as table
from retrieval.cache.experience import Experience

Lesson = Callable[[Experience], None]
"""Something that was seen, to be learnt from."""

_TENANTS = 256
"""Experiences held in memory, of about 100 kB each."""

_LESSONS = 64
"""Lessons after which they are written; an earlier ``save_due`` writes what has waited for ``_SECONDS``."""

_SECONDS = 30.0
_WAITING = 4096
"""Lessons that wait while the record does not take them; further ones are dropped."""

_log = structlog.get_logger("cairn.cache")


@dataclass(slots=True)
class _Pending:
    lessons: list[Lesson] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    since: float = field(default_factory=time.monotonic)


class Learning:
    """The experience of each tenant.

    Args:
        model: The embedder that it was gained with; another one's is another experience.
        begin: Makes one that knows nothing.
    """

    def __init__(self, database: Database, model: str, begin: Callable[[], Experience]) -> None:
        self._database = database
        self._model = model
        self._begin = begin
        self._known: OrderedDict[str, Experience] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, tenant: str) -> Experience:
        """What is known of a tenant's questions."""
        if tenant not in self._known:
            async with self._locks[tenant]:
                if tenant not in self._known:
                    experience = self._read(await self._row(tenant))
                    for lesson in self._pending[tenant].lessons if tenant in self._pending else ():
                        lesson(experience)
                    self._put(tenant, experience)
        self._known.move_to_end(tenant)
        return self._known[tenant]

    def count(self, tenant: str, *happened: str) -> None:
        """Count what happened."""
        self._pending.setdefault(tenant, _Pending()).counts.update(happened)

    def learn(self, tenant: str, lesson: Lesson) -> None:
        """Learn from something."""
        pending = self._pending.setdefault(tenant, _Pending())
        if (known := self._known.get(tenant)) is not None:
            lesson(known)
        if len(pending.lessons) < _WAITING:
            pending.lessons.append(lesson)

    async def counts(self, tenant: str) -> Mapping[str, int]:
        """How often what happened, in every process, as far as they have written it."""
        row = await self._row(tenant)
        unwritten = self._pending[tenant].counts if tenant in self._pending else Counter()
        return Counter(row.counts if row is not None else {}) + unwritten

    async def save_due(self, tenant: str | None = None) -> None:
        """Write what has waited long enough, or is much; of one tenant, or of all."""
        for each in list(self._pending) if tenant is None else [tenant]:
            pending = self._pending.get(each)
            if pending and (len(pending.lessons) >= _LESSONS or time.monotonic() - pending.since >= _SECONDS):
                await self.save(each)

    @property
    def unwritten(self) -> list[str]:
        """The tenants of which something was learnt that is not written yet."""
        return list(self._pending)

    async def save(self, tenant: str) -> None:
        """Write what was learnt of a tenant, and take over what others have written."""
        async with self._locks[tenant]:
            pending = self._pending.pop(tenant, None)
            if pending is None:
                return
            try:
                while not await self._merge(tenant, pending):
                    pass
            except BaseException:
                self._restore(tenant, pending)
                raise

    async def _merge(self, tenant: str, pending: _Pending) -> bool:
        """Write what the record has with these lessons added; False if somebody else has written meanwhile."""
        row = await self._row(tenant)
        experience = self._read(row)
        for lesson in pending.lessons:
            lesson(experience)
        version = 0 if row is None else row.version
        values = {
            "version": version + 1,
            "learnt": experience.dump(),
            "counts": dict(Counter(row.counts if row is not None else {}) + pending.counts),
            "updated_at": now(),
        }
        if not await self._write(tenant, version, values):
            return False
        # What was learnt while this was written is not in it yet.
        for lesson in self._pending[tenant].lessons if tenant in self._pending else ():
            lesson(experience)
        self._put(tenant, experience)
        return True

    async def _write(self, tenant: str, version: int, values: Mapping[str, Any]) -> bool:
        mine = (table.c.tenant == tenant, table.c.model == self._model, table.c.version == version)
        async with self._database.write() as connection:
            if version:
                return (await connection.execute(update(table).where(*mine).values(values))).rowcount > 0
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            first = dialect.insert(table).values(tenant=tenant, model=self._model, **values).on_conflict_do_nothing()
            return await connection.scalar(first.returning(table.c.version)) is not None

    def _restore(self, tenant: str, pending: _Pending) -> None:
        """Put back what could not be written, before what has been learnt since."""
        since = self._pending.get(tenant)
        if since is not None:
            pending.lessons = [*pending.lessons, *since.lessons][:_WAITING]
            pending.counts += since.counts
        pending.since = time.monotonic()
        self._pending[tenant] = pending

    async def _row(self, tenant: str) -> Row[Any] | None:
        query = select(table).where(table.c.tenant == tenant, table.c.model == self._model)
        async with self._database.read() as connection:
            return (await connection.execute(query)).one_or_none()

    def _read(self, row: Row[Any] | None) -> Experience:
        experience = self._begin()
        if row is not None:
            experience.load(row.learnt)
        return experience

    def _put(self, tenant: str, experience: Experience) -> None:
        self._known[tenant] = experience
        self._known.move_to_end(tenant)
        while len(self._known) > _TENANTS:
            self._known.popitem(last=False)
