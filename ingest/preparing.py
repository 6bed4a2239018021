"""From an item to a document with its chunks: parse, name, split."""

import asyncio
import json
import logging
from dataclasses import dataclass
from hashlib import sha256

from ingest.checking import Task
from ingest.options import IngestOptions
from ingest.outline import first_heading
from ingest.parsing import ParsedDocument, ParseError
from ingest.parsing.normalising import normalised
from ingest.parsing.sandbox import Parser
from ingest.splitting import SPLITTER_VERSION, fit_title, split
from ingest.summary import Tally
from records.ids import now
from retrieval.active import Collection
from retrieval.changes import Changes, NewVersion
from retrieval.documents import Chunk, Document
from retrieval.embedding.port import Embedder

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Prepared:
    """A document that only wants embedding and writing.

    Attributes:
        receipt: What `Changes.begin` gave, once writing has begun.
        failed: Whether it was given up; the rest of its chunks are then left out.
    """

    task: Task
    version: NewVersion
    chunks: list[Chunk]
    receipt: str = ""
    failed: bool = False


class Preparer:
    """Parses and splits; whatever goes wrong with a document is counted and stops there."""

    def __init__(
        self,
        parser: Parser,
        embedder: Embedder,
        changes: Changes,
        collection: Collection,
        options: IngestOptions,
        tally: Tally,
    ) -> None:
        self._parser = parser
        self._embedder = embedder
        self._changes = changes
        self._collection = collection
        self._options = options
        self._tally = tally

    async def prepare(self, task: Task) -> Prepared | None:
        """The document with its chunks, or None when it is done already: it failed, or nothing changed but bytes."""
        try:
            return await self._prepare(task)
        except ParseError as error:
            self._tally.failed(task.item.uri, error.code, str(error))
        except OSError as error:
            self._tally.failed(task.item.uri, "unreadable", f"the file cannot be read: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - a document that no one foresaw must not stop those behind it
            _log.exception("preparing %s failed", task.item.uri)
            self._tally.failed(task.item.uri, "internal", f"{type(error).__name__}: {error}")
        return None

    async def _prepare(self, task: Task) -> Prepared | None:
        parsed = await self._parse(task)
        prepared = await asyncio.to_thread(self._split, task, parsed)
        if not prepared.chunks:
            raise ParseError("empty", "there is no text in it")
        version = prepared.version
        if version.document.version == task.live and await self._changes.touch(version.document, task.fingerprint):
            self._tally.done(task.item.uri, "unchanged")
            return None
        return prepared

    async def _parse(self, task: Task) -> ParsedDocument:
        item = task.item
        if item.text is not None:
            return ParsedDocument(
                text=normalised(item.text),
                title=item.title,
                media_type=item.media_type or "text/markdown",
                page_starts=(),
                parser="none",
            )
        content = item.path if item.path is not None else item.data
        if content is None:
            raise ValueError("an item without content")
        return await self._parser.parse(content, name=item.name, media_type=item.media_type)

    def _split(self, task: Task, parsed: ParsedDocument) -> Prepared:
        title = fit_title(self._title(task, parsed), self._embedder)
        chunks = split(parsed, title, self._embedder)
        time = now()
        document = Document(
            id=task.document_id,
            tenant=self._collection.tenant,
            collection=self._collection.name,
            uri=task.item.uri,
            title=title,
            media_type=parsed.media_type,
            version=self._version(task, parsed, title),
            acl=tuple(sorted(set(self._options.acl))),
            metadata=task.metadata,
            trust=task.trust,
            size=task.size,
            chunk_count=len(chunks),
            created_at=time,
            updated_at=time,
        )
        new = NewVersion(
            document=document,
            fingerprint=task.fingerprint,
            text=parsed.text,
            page_starts=tuple(parsed.page_starts),
            created_by=self._options.principal.id,
        )
        return Prepared(task=task, version=new, chunks=chunks)

    def _title(self, task: Task, parsed: ParsedDocument) -> str:
        candidates = (task.item.title, parsed.title, first_heading(parsed.text), task.item.name)
        return next((title for each in candidates if each and (title := normalised(each).strip())), task.item.uri)

    def _version(self, task: Task, parsed: ParsedDocument, title: str) -> str:
        digest = sha256(parsed.text.encode("utf-8", "surrogatepass"))
        around = [
            title,
            list(parsed.page_starts),
            sorted(set(self._options.acl)),
            task.metadata,
            task.trust,
            SPLITTER_VERSION,
        ]
        digest.update(json.dumps(around, sort_keys=True).encode())
        return digest.hexdigest()
