"""Ingestion through a running service: it holds the data folder, so the documents go to it over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterable
from typing import Any

from ingest.items import UNKNOWN_TYPE, Item, Unreadable
from ingest.options import IngestOptions
from ingest.summary import IngestSummary, OnProgress, Tally
from records.principal import DEFAULT_TENANT
from service.commands.common import CommandError
from service.commands.remote import Remote, RemoteProblem

_AT_ONCE = 4


async def hand_over(
    remote: Remote, items: AsyncIterable[Item | Unreadable], options: IngestOptions, on_progress: OnProgress | None
) -> IngestSummary:
    """Send every item to the service, a few at a time, and prune what is gone.

    Raises:
        CommandError: The service does not answer, or the documents are another tenant's.
    """
    if options.principal.tenant != DEFAULT_TENANT:
        raise CommandError(
            f"the running service takes documents for the tenant of whoever sends them: without --tenant, with "
            f"CAIRN_SERVICE_URL={remote.url} and a key of {options.principal.tenant!r} as CAIRN_API_KEY"
        )
    started = time.perf_counter()
    tally = Tally(on_progress, dry_run=options.dry_run)
    seen: set[str] = set()
    unlisted: list[str] = []
    failure: CommandError | None = None
    slots = asyncio.Semaphore(_AT_ONCE)
    try:
        async with asyncio.TaskGroup() as group:
            async for item in items:
                tally.found += 1
                seen.add(item.uri)
                if isinstance(item, Unreadable):
                    unlisted += [item.uri] if item.whole else []
                    tally.failed(item.uri, item.code, item.reason)
                    continue
                await slots.acquire()
                group.create_task(_send(remote, item, options, tally)).add_done_callback(lambda _: slots.release())
    except* CommandError as refused:
        # The others in flight were told the same.
        failure = _first(refused)
    if failure is not None:
        raise failure
    if options.prune is not None:
        await _prune(remote, options, tally, seen, tuple(unlisted))
    tally.summary.seconds = time.perf_counter() - started
    return tally.summary


def _first(group: BaseExceptionGroup[CommandError]) -> CommandError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _send(remote: Remote, item: Item, options: IngestOptions, tally: Tally) -> None:
    fields: dict[str, Any] = {
        "uri": item.uri,
        "name": item.name,
        "title": item.title,
        "collection": options.collection,
        "metadata": {**item.metadata, **options.metadata},
        "acl": list(options.acl),
        "trust": options.trust,
        "remote": item.remote,
    }
    try:
        if item.text is not None:
            result = await remote.add_text(item.text, fields, dry_run=options.dry_run)
        else:
            data = item.data if item.path is None else await asyncio.to_thread(item.path.read_bytes)
            result = await remote.add(data or b"", item.media_type or UNKNOWN_TYPE, fields, dry_run=options.dry_run)
    except RemoteProblem as problem:
        tally.failed(item.uri, problem.code.removeprefix("document_"), str(problem))
    except OSError as error:
        tally.failed(item.uri, "unreadable", error.strerror or str(error))
    else:
        chunks = result["document"]["chunk_count"] if result["document"] else 0
        tally.done(item.uri, result["outcome"], 0 if result["outcome"] == "unchanged" else chunks)


async def _prune(
    remote: Remote, options: IngestOptions, tally: Tally, seen: set[str], unlisted: tuple[str, ...]
) -> None:
    """Remove the documents under the given roots that no source handed over."""
    roots = options.prune
    gone = [
        document
        async for document in remote.documents(options.collection)
        if roots is not None
        and roots.covers(document["uri"])
        and document["uri"] not in seen
        and not document["uri"].startswith(unlisted)
    ]
    for document in gone:
        if not options.dry_run:
            await remote.remove(document["id"])
        tally.done(document["uri"], "removed")
