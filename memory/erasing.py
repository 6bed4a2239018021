"""Erasing elsewhere what was forgotten: in conversations, in answers that were kept, wherever it was written down.

What is to be erased is noted in the transaction that forgets, and is done after it, again and again until every eraser
has nothing left to do: through crashes, and until the runs that know it have ended. Then the note is erased itself.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from sqlalchemy import Row, delete, select
from sqlalchemy.exc import DBAPIError

from memory.records import MemoryVersion
from memory.redaction import SHORTEST, Redaction
from records.database import Database
from records.engine import BUSY
from records.schema import erasures as table
from records.tenancy import Crossing, across_tenants

_YOURS = {"i": "you", "i'm": "you're", "i’m": "you’re", "am": "are", "my": "your", "mine": "yours", "me": "you"}
_TO_HIM = re.compile(r"\b(?:I['’]m|I|am|my|mine|me)\b", re.IGNORECASE)

_PATIENCE = 1000
"""Milliseconds that a write-back waits for those who read."""

_log = structlog.get_logger("cairn.memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was forgotten.

    Attributes:
        principal: The user that it was about, if any: his own conversations are searched for the texts.
        records: Ids of the records.
        texts: What their versions said.
        run_ids: The runs that they came from, or were changed in.
    """

    id: str
    tenant: str
    principal: str | None
    records: tuple[str, ...]
    texts: tuple[str, ...]
    run_ids: tuple[str, ...]
    created_at: datetime

    @property
    def redaction(self) -> Redaction:
        """What takes the texts out."""
        return Redaction(self.texts)


class Eraser(Protocol):
    """Something that keeps what may hold what was forgotten."""

    async def erase(self, erasure: Erasure) -> bool:
        """Erase it; may be done again. False when something is left, as with a run that has not ended."""
        ...


class Erasures:
    """The notes of what is still to be erased.

    Args:
        erasers: Everything that has to; each must have finished.
    """

    def __init__(self, database: Database, erasers: Sequence[Eraser] = ()) -> None:
        self._database = database
        self._erasers = erasers
        # One at a time: whoever comes second finds it done.
        self._erasing = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """Whether there is anything that erases."""
        return bool(self._erasers)

    async def carry_out(self, tenant: str, erasure_id: str) -> bool:
        """Do what was noted, as far as it can be done now; gives whether nothing is left."""
        query = select(table).where(table.c.tenant == tenant, table.c.id == erasure_id)
        async with self._erasing:
            async with self._database.read() as connection:
                row = (await connection.execute(query)).first()
            return row is None or await self._done(_erasure(row))

    async def tend(self) -> None:
        """Go on with what is left."""
        query = across_tenants(select(table).order_by(table.c.id), Crossing.UPKEEP)
        async with self._erasing:
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).all()
            done = [await self._done(_erasure(row)) for row in rows]
        if any(done):
            await write_back(self._database)

    async def _done(self, erasure: Erasure) -> bool:
        done = True
        for eraser in self._erasers:
            try:
                done = await eraser.erase(erasure) and done
            except Exception as error:  # noqa: BLE001 - it is done again, and keeps nobody from erasing the rest
                _log.error("what was forgotten could not be erased everywhere", exc_info=error, erasure=erasure.id)
                done = False
        if done:
            async with self._database.statement() as connection:
                mine = (table.c.tenant == erasure.tenant, table.c.id == erasure.id)
                await connection.execute(delete(table).where(*mine))
        return done


def note(erasure_id: str, tenant: str, versions: Sequence[MemoryVersion], moment: datetime) -> Any:
    """What notes that all of these, versions of records that are being forgotten, are to be erased elsewhere."""
    users = {version.subject.id for version in versions if version.subject.type == "user"}
    texts = dict.fromkeys(text for version in versions for text in _texts(version))
    runs = dict.fromkeys(run for version in versions for run in (version.content.run_id, version.changed_run))
    return table.insert().values(
        tenant=tenant,
        id=erasure_id,
        principal=users.pop() if len(users) == 1 else None,
        records=list(dict.fromkeys(version.id for version in versions)),
        texts=list(texts),
        run_ids=[run for run in runs if run is not None],
        created_at=moment,
    )


async def write_back(database: Database) -> None:
    """Have SQLite's log, which holds what was written last, written back; who reads meanwhile keeps it until later."""
    if database.dialect != "sqlite":
        return
    try:
        # Nobody of this process writes meanwhile, and whoever reads holds it up no longer than that.
        async with database.statement() as connection:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout = {_PATIENCE}")
            try:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY}")
    except DBAPIError as error:
        _log.warning("what was forgotten is in the database's log until it is written back", exc_info=error)


def _texts(version: MemoryVersion) -> Iterable[str]:
    text = version.content.text
    yield text
    # As an answer says it to him.
    yield _TO_HIM.sub(lambda word: _YOURS[word[0].lower()], text)
    yield from _said(version.content.value)


def _said(value: Any) -> Iterable[str]:
    """The texts in a record's value that say something by themselves: one word may be anybody's."""
    match value:
        case str():
            if len(value.split()) > 1 and len(value) > SHORTEST:
                yield value
        case Mapping():
            for each in value.values():
                yield from _said(each)
        case list() | tuple():
            for each in value:
                yield from _said(each)


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        id=row.id,
        tenant=row.tenant,
        principal=row.principal,
        records=tuple(row.records),
        texts=tuple(row.texts),
        run_ids=tuple(row.run_ids),
        created_at=row.created_at,
    )
