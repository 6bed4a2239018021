"""``cairn ingest``: documents in, with a progress bar and a summary."""

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.common import Collection, CommandError, DataDir, Json, knowledge_of, load_settings
from service.commands.progress import progress, report
from service.commands.remote import Remote

if TYPE_CHECKING:
    from ingest.items import Item, Unreadable
    from ingest.options import IngestOptions
    from ingest.summary import IngestSummary
    from service.settings import Settings


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs, http(s) URLs, or - for standard input.")],
    *,
    collection: Collection = None,
    tenant: Annotated[str, typer.Option(help="Whose documents they are.")] = "default",
    acl: Annotated[
        list[str] | None, typer.Option(help="A group that may read them; may be repeated.", show_default="everybody")
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="key=value, kept and filterable; may be repeated.")] = None,
    reader: Annotated[str | None, typer.Option(help="module:Class of a LlamaIndex reader, given each PATH.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Trust what they say like your own words; else they are untrusted.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents that are gone from the given paths.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also fetch URLs of private and local addresses.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Ingest documents: what is new or changed goes in, what is the same is left alone.

    Exit code 0 when all went well, 3 when some documents failed (the others are in).
    """
    settings = load_settings(data_dir=data_dir, collection=collection)
    from ingest.options import IngestOptions
    from ingest.sources import PathRoots
    from records.principal import PUBLIC, Principal

    options = IngestOptions(
        principal=Principal(tenant=tenant),
        collection=settings.collection,
        acl=tuple(acl or (PUBLIC,)),
        metadata=dict(_pair(text) for text in metadata or ()),
        trust="trusted" if trust else None,
        dry_run=dry_run,
        prune=PathRoots(tuple(paths)) if prune else None,
        language=settings.retrieval.language,
    )
    summary = asyncio.run(
        _ingest(settings, lambda: _items(paths, reader, allow_private=allow_private), options, quiet=as_json)
    )
    if as_json:
        typer.echo(json.dumps(summary.to_json(), ensure_ascii=False))
    else:
        report(summary)
    raise typer.Exit(summary.exit_code)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise CommandError(f"--metadata takes key=value, not {text!r}")
    return key, value


def _items(paths: Sequence[str], reader: str | None, *, allow_private: bool) -> "AsyncIterable[Item | Unreadable]":
    if reader is not None:
        from ingest.llama_readers import read_with

        return read_with(reader, paths)
    from ingest.fetching import Fetcher
    from ingest.sources import read_paths

    return read_paths(paths, fetcher=Fetcher(allow_private=allow_private))


async def _ingest(
    settings: "Settings",
    items: "Callable[[], AsyncIterable[Item | Unreadable]]",
    options: "IngestOptions",
    *,
    quiet: bool,
) -> "IngestSummary":
    remote = await Remote.find(settings)
    if remote is not None:
        from service.commands.handover import hand_over

        named = " holds the data folder" if settings.service_url is None else " was named"
        typer.echo(f"The service at {remote.url}{named}; handing the documents to it.", err=True)
        async with remote:
            with progress(quiet=quiet) as on_progress:
                return await hand_over(remote, items(), options, on_progress)
    async with knowledge_of(settings) as knowledge:
        with progress(quiet=quiet) as on_progress:
            return await knowledge.ingestor.ingest(items(), options, on_progress)
