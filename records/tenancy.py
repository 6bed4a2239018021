"""Whose rows a statement may reach: the one check that every statement passes on its way to the database.

A table with a column ``tenant`` belongs to tenants, one with a ``run_id`` instead to runs. Whatever reaches such a
table names the tenant (or the run) with a bound value, or says for which of a few reasons it must do without:
``across_tenants``. Anything else is a mistake in the program, and is refused before the database has seen it.

The text that goes to the driver is what is checked, so it does not matter what it was made with. Each text is read
once: after that the check is a look-up.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Executable, MetaData, event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

from records.clauses import Unconfined, confine
from records.schema import metadata

__all__ = ["Confined", "Crossing", "Unconfined", "across_tenants", "guard", "require_confined"]

_OPTION = "across_tenants"
_REMEMBERED = 2000

E = TypeVar("E", bound=Executable)


class Crossing(StrEnum):
    """Why a statement may do without a tenant; docs/tenants.md tells each, and a test who makes use of it."""

    SCHEMA = "schema"
    """Migrations."""
    IDENTITY = "identity"
    """Who asks is what the statement finds out: the tenant of a key is known once the key is."""
    CLAIMS = "claims"
    """A worker takes up, keeps and ends runs of every tenant. What it does for one is done in its tenant's name."""
    UPKEEP = "upkeep"
    """What is out of time is closed or purged, whosever it is."""
    INDEX = "index"
    """The index follows the record: orders to remove points are carried out for every tenant."""
    OPERATOR = "operator"
    """Who has the data folder, or the database, asks about all tenants on the command line; so do kill switches."""


def across_tenants(statement: E, why: Crossing) -> E:
    """The statement, let through though it names no tenant."""
    marked: E = statement.execution_options(**{_OPTION: why})
    return marked


def owners(schema: MetaData) -> Mapping[str, str]:
    """For each table whose rows belong to somebody the column that says to whom."""
    named = {table.name: [name for name in ("tenant", "run_id") if name in table.c] for table in schema.tables.values()}
    return {table: columns[0] for table, columns in named.items() if columns}


_OWNERS = owners(metadata)


def require_confined(sql: str) -> None:
    """Check the text of a statement.

    Raises:
        Unconfined: It could reach the rows of more than one tenant.
    """
    why = _complaint(sql)
    if why is not None:
        raise Unconfined(why)


def guard(engine: Engine) -> None:
    """Let through the engine only what is confined to a tenant, or marked."""
    # The events of the dialect: to listen to those of the engine costs each statement five times as much.
    event.listen(engine, "do_execute", _check)
    event.listen(engine, "do_executemany", _check)
    event.listen(engine, "do_execute_no_params", _check_bare)


class Confined:
    """SQLite's own connection, for statements that name their tenant."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement; see ``require_confined``."""
        require_confined(sql)
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        """Execute a statement once for each row of values."""
        require_confined(sql)
        return self._connection.executemany(sql, rows)


def _check(
    _cursor: DBAPICursor | None, statement: str, _values: object, context: ExecutionContext | None = None
) -> None:
    compiled = getattr(context, "compiled", None)
    # As it was compiled: how many values a list has, or an insert rows, makes no other statement of it.
    why = _complaint(statement if compiled is None else compiled.string)
    if why is not None and (context is None or not isinstance(context.execution_options.get(_OPTION), Crossing)):
        raise Unconfined(why)


def _check_bare(cursor: DBAPICursor | None, statement: str, context: ExecutionContext | None = None) -> None:
    _check(cursor, statement, None, context)


@lru_cache(_REMEMBERED)
def _complaint(sql: str) -> str | None:
    try:
        confine(sql, _OWNERS)
    except Unconfined as refused:
        return f"{refused}: name the tenant, or see records.tenancy.across_tenants; {' '.join(sql.split())[:300]}"
    return None
