"""An ingestion that is killed leaves readers whole documents, and the next one completes it."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ingest.options import IngestOptions
from records.principal import Principal
from records.schema import outbox
from tests.support.dying_ingest import BATCH, OTHER, corpus, given
from tests.support.everyones import everyones
from tests.support.store import House, open_house

pytestmark = pytest.mark.slow

ALICE = Principal()
URIS = {edition: {item.uri for item in corpus(edition)} for edition in (1, 2)}


async def in_the_index(house: House) -> Counter[tuple[str, str]]:
    """How many points there are of each document's versions."""
    collection = await house.catalog.collection(ALICE.tenant, "default")
    points, _ = await house.store.scroll(collection.index, None, 10_000)
    return Counter((str(point.payload["document_id"]), str(point.payload["version"])) for point in points)


async def in_the_record(house: House) -> dict[tuple[str, str], int]:
    page = await house.catalog.documents(ALICE)
    return {(document.id, document.version): document.chunk_count for document in page.documents}


async def open_orders(house: House) -> int:
    async with house.database.read() as connection:
        return int(await connection.scalar(everyones(select(func.count()).select_from(outbox))) or 0)


async def die(folder: Path, moment: str, *what: str) -> None:
    module = ("-m", "tests.support.dying_ingest", str(folder), moment, *what)
    process = await asyncio.create_subprocess_exec(sys.executable, *module, env={**os.environ, "PYTHONPATH": "."})
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "moment",
    ["after:upsert:1", "after:upsert:3", "before:delete:1", "after:delete:1"],
)
async def test_readers_see_whole_documents_after_a_kill_and_the_next_run_completes(tmp_path: Path, moment: str) -> None:
    async with open_house(tmp_path, batch=BATCH) as house:
        await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))

    await die(tmp_path, moment)

    async with open_house(tmp_path, batch=BATCH) as house:
        index, record = await in_the_index(house), await in_the_record(house)
        assert {key: index[key] for key in record} == record

        summary = await house.ingestor.ingest(given(corpus(2)), IngestOptions(principal=ALICE))

        assert not summary.failed
        assert {document.uri for document in (await house.catalog.documents(ALICE)).documents} == URIS[1] | URIS[2]
        assert await in_the_index(house) == await in_the_record(house)
        assert await open_orders(house) == 0
        again = await house.ingestor.ingest(given(corpus(2)), IngestOptions(principal=ALICE))
        assert (again.unchanged, again.chunks) == (5, 0)


async def test_the_first_ingestion_killed_before_its_index_is_known_starts_afresh(tmp_path: Path) -> None:
    await die(tmp_path, "after:create:1")
    async with open_house(tmp_path) as house:
        summary = await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))
        assert summary.added == 5
        assert await in_the_index(house) == await in_the_record(house)


@pytest.mark.parametrize("moment", ["after:upsert:2", "before:drop:2"])
async def test_a_reindexing_that_is_killed_leaves_one_whole_index_and_the_next_one_completes(
    tmp_path: Path, moment: str
) -> None:
    """Killed while it builds, or after the switch before the old index is dropped."""
    async with open_house(tmp_path) as house:
        await house.ingestor.ingest(given(corpus(1)), IngestOptions(principal=ALICE))

    await die(tmp_path, moment, "reindex")

    async with open_house(tmp_path, OTHER) as house:
        switched = moment.startswith("before:drop")
        collection = await house.catalog.collection(ALICE.tenant, "default")
        assert collection.embedder == ("other" if switched else "hash")
        assert await in_the_index(house) == await in_the_record(house)

        await house.ingestor.reindexer().reindex(ALICE.tenant, "default")

        collection = await house.catalog.collection(ALICE.tenant, "default")
        assert (collection.embedder, await house.store.indexes()) == ("other", [collection.index])
        assert await in_the_index(house) == await in_the_record(house)
