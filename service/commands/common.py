"""What the sub-commands share: their options, the settings, and which errors are foreseen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

if TYPE_CHECKING:
    from records.database import Database
    from service.knowledge import Knowledge
    from service.settings import Settings

T = TypeVar("T")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder that everything is kept in.", show_default=".cairn")
]
Collection = Annotated[
    str | None, typer.Option("--collection", help="A named set of documents.", show_default="default")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class CommandError(Exception):
    """The command cannot be carried out; the message says why and what to do."""


def known_errors() -> tuple[type[Exception], ...]:
    """The errors whose message is fit for the user; imported only once one has been raised."""
    from sqlalchemy.exc import OperationalError

    from agent.approvals.signing import SecretError
    from ingest.llama_readers import ReaderUnusable
    from models.errors import ModelError
    from records.database import DatabaseError
    from retrieval.errors import RetrievalError
    from service.memory_schemas import SchemaLoadingError
    from service.owner import DataFolderError
    from tools.errors import ToolLoadingError

    return (
        CommandError,
        DataFolderError,
        DatabaseError,
        ModelError,
        OperationalError,
        OSError,
        ReaderUnusable,
        RetrievalError,
        SchemaLoadingError,
        SecretError,
        ToolLoadingError,
    )


def load_settings(**given: Any) -> "Settings":
    """The settings, with what the command line gave (None is not given) over environment and file.

    Raises:
        CommandError: A value is not allowed, or the file has a field that does not exist or is no TOML.
    """
    from tomllib import TOMLDecodeError

    from service.settings import CONFIG_FILE, Settings

    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CommandError(f"wrong settings: {wrong}") from error
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{CONFIG_FILE} cannot be read: {error}") from error


def require_stores(settings: "Settings", *, shared: bool = False) -> None:
    """A service has its stores for itself, or shares all three with other processes: nothing in between is safe.

    Events in files are seen by no other process, and neither are documents in a data folder.

    Args:
        shared: They must be shared.

    Raises:
        CommandError: A store is missing, or the client of one.
    """
    stores = {
        "CAIRN_DATABASE_URL (PostgreSQL)": settings.on_postgres,
        "CAIRN_REDIS_URL": settings.redis_url is not None,
        "CAIRN_RETRIEVAL__QDRANT_URL": settings.retrieval.qdrant_url is not None,
    }
    missing = " and ".join(name for name, there in stores.items() if not there)
    if missing and shared:
        raise CommandError(f"a worker needs the stores that services share with it: set {missing}")
    if missing and (settings.on_postgres or settings.redis_url is not None):
        raise CommandError(
            "PostgreSQL, Redis and a Qdrant server are what services share, and go together: "
            f"set {missing}, too; without PostgreSQL and Redis a service works alone, on its data folder"
        )
    if not missing and find_spec("redis") is None:
        raise CommandError("Redis needs its client: pip install 'cairn[scale]'")


@contextmanager
def held(settings: "Settings") -> Iterator[None]:
    """Hold the data folder, where anything in it belongs to one process alone."""
    from service.owner import hold

    if not settings.alone:
        yield
        return
    with hold(settings.data_dir):
        yield


@asynccontextmanager
async def knowledge_of(settings: "Settings") -> "AsyncIterator[Knowledge]":
    """Documents and search, opened in this process."""
    from service.knowledge import open_knowledge

    with held(settings):
        async with open_knowledge(settings) as knowledge:
            yield knowledge


def on_database(data_dir: Path | None, action: "Callable[[Database], Awaitable[T]]") -> T:
    """What an action on the database itself gives: it does not need the service, and works beside one."""
    settings = load_settings(data_dir=data_dir)

    async def run() -> T:
        from records.database import Database

        # What was changed where no service looks would change nothing, and say that it had.
        if settings.database_url is None and not (settings.data_dir / "cairn.db").exists():
            raise CommandError(f"{settings.data_dir} holds no database: give --data-dir, or set CAIRN_DATABASE_URL")
        database = await Database.open(settings.records_url)
        try:
            return await action(database)
        finally:
            await database.aclose()

    return asyncio.run(run())


def printable(text: str) -> str:
    """The text without what could make the terminal show something else: what is approved must be what is seen."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
