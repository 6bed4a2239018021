"""A process that ingests and kills itself on the way: ``python -m tests.support.dying_ingest FOLDER MOMENT [reindex]``.

A moment is ``before`` or ``after``, a call of the store, and which of them: ``after:upsert:2``.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from ingest.items import Item
from ingest.options import IngestOptions
from ingest.parsing.sandbox import Parser
from ingest.pipeline import Ingestor
from records.database import Database
from records.principal import Principal
from retrieval.catalog import Catalog
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import IndexSpec, Point
from tests.support.embedder import HashEmbedder

BATCH = 8
OTHER = HashEmbedder("other", dimension=16, window=128)


class DyingStore:
    """Hands every call on to a real store, and dies at its moment."""

    def __init__(self, store: EdgeStore, moment: str) -> None:
        self._store = store
        self._when, self._call, number = moment.split(":")
        self._left = int(number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(self, index: str, spec: IndexSpec) -> None:
        await self._around("create", self._store.create(index, spec))

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        await self._around("upsert", self._store.upsert(index, points))

    async def drop(self, index: str) -> None:
        await self._around("drop", self._store.drop(index))

    async def delete(self, index: str, where: Any) -> None:
        await self._around("delete", self._store.delete(index, where))

    async def _around(self, name: str, call: Any) -> None:
        self._left -= name == self._call
        mine = name == self._call and self._left == 0
        if mine and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await call
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)


def corpus(edition: int) -> list[Item]:
    """Five documents: one stays, three change with the edition (one of them is long), one is new in each."""
    long = "\n\n".join(f"Paragraph {n} of edition {edition} says something of its own." for n in range(60))
    return [
        Item(uri="doc:stays", name="stays", text="# Stays\n\nThe same in every edition."),
        Item(uri="doc:short", name="short", text=f"# Short\n\nThis is edition {edition}."),
        Item(uri="doc:long", name="long", text=f"# Long\n\n{long}"),
        Item(uri="doc:last", name="last", text=f"# Last\n\nThe end of edition {edition}."),
        Item(uri=f"doc:new-{edition}", name="new", text=f"# New\n\nOnly edition {edition} has this."),
    ]


async def given(items: Sequence[Item]) -> AsyncIterator[Item]:
    """The items one after the other."""
    for item in items:
        yield item


async def main(folder: Path, moment: str, *, reindex: bool) -> None:
    """Ingest the second edition, or reindex with another embedder, until the moment comes."""
    database = await Database.open(f"sqlite+aiosqlite:///{folder / 'cairn.db'}")
    store: Any = DyingStore(await EdgeStore.open(folder / "vectors"), moment)
    embedder = OTHER if reindex else HashEmbedder()
    ingestor = Ingestor(Catalog(database), store, embedder, Parser(), batch=BATCH)
    if reindex:
        await ingestor.reindexer().reindex("default", "default")
    else:
        await ingestor.ingest(given(corpus(2)), IngestOptions(principal=Principal()))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], reindex="reindex" in sys.argv[3:]))
