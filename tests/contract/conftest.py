"""A database without rows of each kind: SQLite, and PostgreSQL where a server can be reached."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from records.database import Database
from tests.support.postgres import fresh_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a database without rows."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cairn.db"
        return
    async with fresh_postgres() as url:
        yield url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await Database.open(url)
    yield opened
    await opened.aclose()
