"""``cairn cache``: what the semantic cache holds, what it would decide about a question and why, emptying it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.common import CommandError, DataDir, Json, knowledge_of, load_settings, printable
from service.commands.remote import Remote, ask

if TYPE_CHECKING:
    from retrieval.cache.cache import AnswerCache
    from service.settings import Settings

app = typer.Typer(no_args_is_help=True, help="See what the cache of answers holds and decides; empty it.")

Of = Annotated[str | None, typer.Option("--collection", help="Only answers from this set of documents.")]


@app.command()
def stats(*, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what is kept, from which score it is given again, and what has happened so far."""

    async def here(settings: "Settings", cache: "AnswerCache") -> dict[str, Any]:
        from records.principal import DEFAULT_TENANT
        from service.schemas.cache import stats_body

        found = await cache.stats(DEFAULT_TENANT)
        return stats_body(found, enabled=settings.cache.enabled).model_dump(mode="json")

    told = _with_cache(load_settings(data_dir=data_dir), lambda service: service.cache("GET"), here)
    if as_json:
        typer.echo(json.dumps(told))
        return
    where = ", ".join(f"{count} of {printable(name)}" for name, count in told["collections"].items())
    unsure = "nothing but the same words yet: too little was compared"
    rows = {
        "cache": "on" if told["enabled"] else "off",
        "answers": f"{told['entries']}" + (f" ({where})" if where else ""),
        "unindexed": told["unindexed"] or None,
        "allowed": f"{told['max_error']:.1%} wrong of those given again",
        "given from": unsure if told["threshold"] > 1 else f"probability {told['threshold']:.3f}",
        **{name: told["counts"].get(name, 0) for name in ("exact", "near", "missed", "stored")},
        **{name: told["counts"].get(name) for name in ("checked", "wrong", "stale", "complaints")},
    }
    for name, value in rows.items():
        if value is not None:
            typer.echo(f"{name + ':':<12}{value}")


@app.command()
def explain(
    question: Annotated[str, typer.Argument(help="The question.")],
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", help="A named set of documents.", show_default="the service's")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that would answer.", show_default="the service's")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show what would be decided about a question, step by step. The running service knows with what it answers."""
    given = {"question": question, "collection": collection, "model": model}
    body = {name: value for name, value in given.items() if value is not None}
    told = ask(data_dir, lambda service: service.cache("POST", "/explain", json=body))
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.secho(_outcome(told), bold=True)
    for number, step in enumerate(told["decision"], 1):
        typer.echo(f"  {number}. {_line(step)}")
    if told["kept"] is not None:
        typer.echo(f"  → {_line(told['kept']['answer'])}")
        typer.echo(f"    {told['kept']['entry_id']}, made {told['kept']['created_at'][:19]}Z")
    for each in told["neighbours"]:
        against = f"  against it: {', '.join(each['disagreements'])}" if each["disagreements"] else ""
        typer.echo(f"  {each['similarity']:.2f}  {_line(each['question'] or each['entry_id'])}{against}")


@app.command()
def purge(
    *,
    collection: Of = None,
    entry: Annotated[str | None, typer.Option(help="Only the answer with this id, as `explain` shows it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete answers: all, or some. Questions are answered afresh then; what was learnt of them stays."""
    if collection is None and entry is None and not yes:
        typer.confirm("Delete every answer that is kept", abort=True)
    given = {"collection": collection, "entry_id": entry}
    params = {name: value for name, value in given.items() if value is not None}

    async def here(settings: "Settings", cache: "AnswerCache") -> dict[str, Any]:
        from records.principal import DEFAULT_TENANT

        del settings
        return {"entries": await cache.purge(DEFAULT_TENANT, collection, entry)}

    settings = load_settings(data_dir=data_dir)
    done = _with_cache(settings, lambda service: service.cache("DELETE", params=params), here)
    if as_json:
        typer.echo(json.dumps(done))
        return
    typer.echo(f"{done['entries']} answer{'' if done['entries'] == 1 else 's'} deleted.")


def _with_cache(
    settings: "Settings",
    there: Callable[[Remote], Awaitable[dict[str, Any]]],
    here: "Callable[[Settings, AnswerCache], Awaitable[dict[str, Any]]]",
) -> dict[str, Any]:
    """What the running service says of its cache, or without one what the stores do."""

    async def run() -> dict[str, Any]:
        service = await Remote.find(settings)
        if service is not None:
            async with service:
                return await there(service)
        if settings.alone and not (settings.data_dir / "cairn.db").exists() and settings.database_url is None:
            raise CommandError(f"{settings.data_dir} holds no database: give --data-dir, or set CAIRN_DATABASE_URL")
        from retrieval.cache.cache import AnswerCache

        async with knowledge_of(settings) as knowledge:
            cache = AnswerCache(knowledge.database, knowledge.store, knowledge.embedder, settings.cache.cache())
            return await here(settings, cache)

    return asyncio.run(run())


def _outcome(told: Mapping[str, Any]) -> str:
    if told["outcome"] == "miss":
        return f"It would be answered afresh: {told['reason']}."
    how = "the same words were asked" if told["decided_by"] == "exact" else "it is near one that was asked"
    return f"It would be answered as before: {how}."


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
