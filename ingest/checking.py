"""Which of the items are new or changed: by a fingerprint over their bytes, before anything is parsed."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ingest.items import Item, Unreadable
from ingest.options import IngestOptions
from ingest.parsing import parser_version
from ingest.splitting import SPLITTER_VERSION
from ingest.summary import Tally
from retrieval.active import Collection
from retrieval.catalog import Catalog
from retrieval.documents import Document, Trust, document_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An item that has to be ingested.

    Attributes:
        size: Bytes of the original.
        new: Whether there was no such document before.
        live: The version that readers see, None when there is none or another one may be on its way.
    """

    item: Item
    document_id: str
    fingerprint: str
    size: int
    trust: Trust
    metadata: dict[str, Any]
    new: bool
    live: str | None


class Checker:
    """Sorts out what has not changed, and remembers what it saw."""

    def __init__(self, catalog: Catalog, collection: Collection, options: IngestOptions, tally: Tally) -> None:
        self._catalog = catalog
        self._collection = collection
        self._options = options
        self._tally = tally
        self._seen: dict[str, str] = {}
        self._unlisted: list[str] = []

    async def check(self, items: Sequence[Item | Unreadable]) -> list[Task]:
        """Those of the items that are new or changed, in order; the others are counted."""
        readable = [item for item in items if isinstance(item, Item)]
        self._tally.found += len(items)
        digests = await asyncio.to_thread(lambda: [_digest(item) for item in readable])
        for item in items:
            if isinstance(item, Unreadable):
                self._refuse(item)
        ids = [self._id(item.uri) for item in readable]
        known = await self._catalog.fingerprints(self._collection.tenant, ids)
        tasks = []
        for item, digest, own_id in zip(readable, digests, ids, strict=True):
            if isinstance(digest, Unreadable):
                self._refuse(digest)
            elif task := self._task(item, digest, own_id, known.get(own_id)):
                tasks.append(task)
        return tasks

    def is_gone(self, document: Document) -> bool:
        """Whether no source handed the document over, though all were read to their end."""
        return document.id not in self._seen and not any(document.uri.startswith(uri) for uri in self._unlisted)

    def _task(self, item: Item, digest: tuple[str, int], own_id: str, known: tuple[str, str] | None) -> Task | None:
        trust, metadata = self._trust(item), {**item.metadata, **self._options.metadata}
        fingerprint = self._fingerprint(item, digest[0], trust, metadata)
        before, live = known or (None, None)
        if earlier := self._seen.get(own_id):
            before, live = earlier, None
        self._seen[own_id] = fingerprint
        if before == fingerprint:
            self._tally.done(item.uri, "unchanged")
            return None
        if self._options.dry_run:
            self._tally.done(item.uri, "added" if before is None else "changed")
            return None
        return Task(
            item=item,
            document_id=own_id,
            fingerprint=fingerprint,
            size=digest[1],
            trust=trust,
            metadata=metadata,
            new=before is None,
            live=live,
        )

    def _refuse(self, unreadable: Unreadable) -> None:
        if unreadable.whole:
            self._unlisted.append(unreadable.uri)
        self._seen.setdefault(self._id(unreadable.uri), "")
        self._tally.failed(unreadable.uri, unreadable.code, unreadable.reason)

    def _id(self, uri: str) -> str:
        return document_id(self._collection.tenant, self._collection.name, uri)

    def _trust(self, item: Item) -> Trust:
        if self._options.trust is not None:
            return self._options.trust
        return "trusted" if self._collection.trusted and not item.remote else "untrusted"

    def _fingerprint(self, item: Item, digest: str, trust: Trust, metadata: dict[str, Any]) -> str:
        """A hash of all that decides what readers get. The embedder is the collection's, which is checked apart."""
        parts = {
            "content": digest,
            "acl": sorted(set(self._options.acl)),
            "metadata": metadata,
            "trust": trust,
            "title": item.title,
            "name": item.name,
            "media_type": item.media_type,
            "parser": parser_version() if item.text is None else "",
            "splitter": SPLITTER_VERSION,
        }
        return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _digest(item: Item) -> tuple[str, int] | Unreadable:
    try:
        return item.digest()
    except FileNotFoundError:
        return Unreadable(uri=item.uri, code="not_found", reason="the file has gone")
    except OSError as error:
        return Unreadable(uri=item.uri, code="unreadable", reason=f"the file cannot be read: {error.strerror}")
