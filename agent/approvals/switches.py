"""Kill switches: what an operator has stopped, from one moment to the next and without a restart."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, select

from records.database import Database
from records.ids import now
from records.schema import switches
from records.tenancy import Crossing, across_tenants

ALL = "*"
"""Stands for every tenant, and for every tool."""

FRESH_SECONDS = 1.0
"""How old what a gate knows of the switches may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A tool of a tenant that may not be called."""

    tenant: str
    tool: str
    reason: str
    set_by: str
    created_at: datetime


class Switches:
    """The table of switches, read at most once a second.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: tuple[float, Sequence[Switch]] | None = None

    async def stop(self, *, tenant: str = ALL, tool: str = ALL, reason: str, set_by: str) -> None:
        """Let the tool not be called any more; its reason is renewed when it was stopped before."""
        switch = Switch(tenant=tenant, tool=tool, reason=reason, set_by=set_by, created_at=now())
        async with self._database.write() as connection:
            await connection.execute(delete(switches).where(switches.c.tenant == tenant, switches.c.tool == tool))
            await connection.execute(switches.insert().values(**asdict(switch)))
        self._known = None

    async def resume(self, *, tenant: str = ALL, tool: str = ALL) -> bool:
        """Take back one switch; gives whether there was one. Others go on to hold."""
        query = delete(switches).where(switches.c.tenant == tenant, switches.c.tool == tool)
        async with self._database.write() as connection:
            lifted = (await connection.execute(query)).rowcount > 0
        self._known = None
        return lifted

    async def all(self) -> Sequence[Switch]:
        """Every switch that is set, the oldest first."""
        async with self._database.read() as connection:
            every = across_tenants(select(switches), Crossing.OPERATOR)
            rows = await connection.execute(every.order_by(switches.c.created_at))
            return [Switch(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for it

    async def of(self, tenant: str, tool: str) -> Switch | None:
        """The switch that stops this tool for this tenant, as of a second ago at most."""
        moment = self._clock()
        if self._known is None or moment - self._known[0] >= FRESH_SECONDS:
            self._known = (moment, await self.all())
        return next(
            (switch for switch in self._known[1] if switch.tenant in {tenant, ALL} and switch.tool in {tool, ALL}), None
        )
