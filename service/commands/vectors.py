"""``cairn vectors``: the indexes themselves."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import CommandError, DataDir, load_settings

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Move indexes between stores.")


@app.callback()
def _vectors() -> None:
    """A group with one command for now; typer would swallow its name otherwise."""


@app.command()
def move(
    collection: Annotated[str, typer.Argument(help="The collection to copy.")],
    *,
    to: Annotated[str, typer.Option(help="Where to: edge (the embedded store), or the URL of a Qdrant server.")],
    source: Annotated[str, typer.Option("--from", help="Where from, likewise.")] = "edge",
    tenant: Annotated[str, typer.Option(help="Whose collection it is.")] = "default",
    data_dir: DataDir = None,
) -> None:
    """Copy a collection's index from one store to another; repeating it is harmless. Then point the settings there."""
    if to == source:
        raise CommandError("the two stores are the same")
    settings = load_settings(data_dir=data_dir)
    count = asyncio.run(_move(settings, tenant, collection, source, to))
    typer.echo(f"Moved {count} points of {collection!r} to {to}. Set CAIRN_RETRIEVAL__QDRANT_URL accordingly.")


async def _move(settings: "Settings", tenant: str, collection: str, source: str, to: str) -> int:
    from records.database import Database
    from retrieval.catalog import Catalog
    from retrieval.vectors.move import move as move_index
    from service.commands.common import held
    from service.knowledge import open_store

    with held(settings):
        database = await Database.open(settings.records_url)
        here = await open_store(settings, None if source == "edge" else source)
        there = await open_store(settings, None if to == "edge" else to)
        try:
            found = await Catalog(database).collection(tenant, collection)
            return await move_index(found.index, here, there)
        finally:
            for part in (there, here, database):
                await part.aclose()
