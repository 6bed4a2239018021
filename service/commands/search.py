"""``cairn search``: what a question finds, without an answer."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.common import Collection, DataDir, Json, knowledge_of, load_settings
from service.commands.remote import Remote

if TYPE_CHECKING:
    from service.settings import Settings

_WIDTH = 96
_LINES = 4


def search(
    query: Annotated[str, typer.Argument(help="The question.")],
    *,
    collection: Collection = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages to show.")] = 5,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Search the documents and show the passages with their sources."""
    if not query.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUERY")
    settings = load_settings(data_dir=data_dir, collection=collection)
    found = asyncio.run(_search(settings, query, limit))
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    if not found:
        typer.echo(f"Nothing found in the collection {settings.collection!r}.")
    for item in found:
        _show(item)


async def _search(settings: "Settings", query: str, limit: int) -> list[dict[str, Any]]:
    remote = await Remote.find(settings)
    if remote is not None:
        async with remote:
            return await remote.search(query, settings.collection, limit)
    from records.principal import LOCAL

    async with knowledge_of(settings) as knowledge:
        sources = await knowledge.retriever.search(query, principal=LOCAL, collection=settings.collection, limit=limit)
        return [{"label": label, **asdict(source)} for label, source in enumerate(sources, 1)]


def _show(item: dict[str, Any]) -> None:
    import textwrap

    place = " > ".join(item["heading_path"]) + (f", page {item['page']}" if item["page"] else "")
    typer.secho(f"[{item['label']}] {item['title']}", bold=True, nl=False)
    typer.echo(f"  {place}  ({item['score']:.3f})\n    {item['uri']}")
    lines = textwrap.wrap(" ".join(item["text"].split()), _WIDTH)
    shown = lines[:_LINES] + (["…"] if len(lines) > _LINES else [])
    typer.echo("".join(f"    {line}\n" for line in shown))
