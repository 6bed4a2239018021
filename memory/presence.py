"""Whether anything is remembered in a tenant at all: where nothing is, a question costs one look and no search."""

from sqlalchemy import select

from records.database import Database
from records.schema import memory_clocks


class Presence:
    """Knows the tenants that have a memory. Once there was something there always may be."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[str] = set()

    async def of(self, tenant: str) -> bool:
        """Whether something was ever written there."""
        if tenant not in self._known:
            query = select(memory_clocks.c.tenant).where(memory_clocks.c.tenant == tenant)
            async with self._database.read() as connection:
                if (await connection.execute(query)).first() is not None:
                    self._known.add(tenant)
        return tenant in self._known
