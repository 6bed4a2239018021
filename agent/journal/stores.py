"""The journal and the table of runs, as they are written best on a database."""

from agent.journal.journal import SqlJournal
from agent.journal.postgres import PostgresJournal, PostgresRunStore
from agent.journal.record import RunStore
from agent.journal.sqlite import SqliteJournal, SqliteRunStore
from agent.webhooks.notices import Notices
from records.database import Database


def open_journal(database: Database, notices: Notices | None = None) -> SqlJournal:
    """The journal for this database; ``notices`` says who is told of approvals that are asked for."""
    kind = PostgresJournal if database.dialect == "postgresql" else SqliteJournal
    return kind(database, notices)


def open_run_store(database: Database, worker: str, notices: Notices | None = None) -> RunStore:
    """The table of runs for this database; ``worker`` is the name of this process."""
    kind = PostgresRunStore if database.dialect == "postgresql" else SqliteRunStore
    return kind(database, worker, notices)
