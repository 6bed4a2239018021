"""What became of answers that were given again: how often, how lately, and whether they were right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update

from records.database import Database
from records.schema import cache_entries as entries

_HALF_LIFE = timedelta(days=7)
"""After so long, having been given once counts half."""

_AT_ONCE = 500
_MINE = (entries.c.tenant == bindparam("whose"), entries.c.id == bindparam("entry"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison said of an entry, and the least score at which it may be given from now on."""

    id: str
    right: bool
    least: float


class Outcomes:
    """Counts in the table of answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, tenant: str, verdicts: Sequence[Verdict]) -> None:
        """Count what comparisons said of entries."""
        if not verdicts:
            return
        counted = (
            update(entries)
            .where(*_MINE)
            .values(
                times_right=entries.c.times_right + bindparam("was_right"),
                times_wrong=entries.c.times_wrong + bindparam("was_wrong"),
                least=bindparam("new_least"),
            )
        )
        rows = [
            {
                "whose": tenant,
                "entry": each.id,
                "was_right": int(each.right),
                "was_wrong": int(not each.right),
                "new_least": each.least,
            }
            for each in sorted(verdicts, key=lambda each: each.id)
        ]
        async with self._database.write() as connection:
            await connection.execute(counted, rows)

    async def used(self, tenant: str, times: Mapping[str, int], at: datetime) -> None:
        """Count how often entries were given since the last time."""
        ids = sorted(times)
        for start in range(0, len(ids), _AT_ONCE):
            await self._used(tenant, {key: times[key] for key in ids[start : start + _AT_ONCE]}, at)

    async def _used(self, tenant: str, times: Mapping[str, int], at: datetime) -> None:
        mine = (entries.c.tenant == tenant, entries.c.id.in_(times))
        locked = select(entries.c.id, entries.c.worth).where(*mine).order_by(entries.c.id).with_for_update()
        values = {"hits": entries.c.hits + bindparam("times"), "worth": bindparam("now_worth")}
        async with self._database.write() as connection:
            rows = [
                {"whose": tenant, "entry": key, "times": times[key], "now_worth": _sum(worth, times[key], at)}
                for key, worth in await connection.execute(locked)
            ]
            if rows:
                await connection.execute(update(entries).where(*_MINE).values(values), rows)


def worth_of(times: int, at: datetime) -> float:
    """What being given so often at a time is worth, as a logarithm to base 2.

    It is not what is old that fades but what is new that counts more, so that the order needs no renewal (forward
    decay: Cormode et al. 2009, doi 10.1109/ICDE.2009.65).
    """
    return at.timestamp() / _HALF_LIFE.total_seconds() + math.log2(times)


def _sum(worth: float, times: int, at: datetime) -> float:
    added = worth_of(times, at)
    return max(worth, added) + math.log2(1 + 2 ** -abs(worth - added))
