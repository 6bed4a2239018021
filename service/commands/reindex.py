"""``cairn reindex``: a collection embedded anew beside the live one, then switched."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import DataDir, knowledge_of, load_settings

if TYPE_CHECKING:
    from ingest.reindex import OnReindexed, ReindexSummary
    from service.settings import Settings

_EVERY_SECONDS = 2.0


def reindex(
    collection: Annotated[str, typer.Argument(help="The collection to build anew.")],
    *,
    embedder: Annotated[
        str | None, typer.Option(help="The embedding model to use from now on.", show_default="the one configured")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose collection it is.")] = "default",
    data_dir: DataDir = None,
) -> None:
    """Build a collection's index anew from the stored text, and switch to it when it is complete."""
    retrieval = {"embedder": embedder} if embedder else None
    settings = load_settings(data_dir=data_dir, retrieval=retrieval)
    summary = asyncio.run(_reindex(settings, tenant, collection))
    typer.echo(
        f"The collection {collection!r} was built anew with {summary.collection.embedder}: "
        f"{summary.documents} documents, {summary.chunks} chunks in {summary.seconds:.1f} s."
    )


async def _reindex(settings: "Settings", tenant: str, collection: str) -> "ReindexSummary":
    from ingest.reindex import Reindexer
    from retrieval.changes import Changes

    async with knowledge_of(settings) as knowledge:
        changes = Changes(knowledge.database, knowledge.store)
        reindexer = Reindexer(knowledge.catalog, knowledge.store, knowledge.indexer, changes)
        return await reindexer.reindex(tenant, collection, on_progress=_told())


def _told() -> "OnReindexed":
    """A line every two seconds."""
    import time

    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY_SECONDS:
            last = time.monotonic()
            typer.echo(f"Reindexing: {done} of {total} documents", err=True)

    return tell
