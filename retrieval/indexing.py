"""How chunks become points: what is embedded, what BM25 reads, and what a hit carries."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from retrieval.documents import Chunk, Document
from retrieval.embedding.port import Embedder
from retrieval.questions import lexical
from retrieval.vectors.port import Point

_NAMESPACE = UUID("2c0c5f7e-3d0b-4c8b-8f59-0f6c3f0b9d27")


Passage = tuple[Document, Chunk]


async def index_points(embedder: Embedder, document: Document, chunks: Sequence[Chunk]) -> list[Point]:
    """The points that stand for a document's chunks, embedded in one call.

    The same document version always gives the same point ids, so that writing twice changes nothing.
    """
    return await index_passages(embedder, [(document, chunk) for chunk in chunks])


async def index_passages(embedder: Embedder, passages: Sequence[Passage]) -> list[Point]:
    """The same for chunks of several documents: short ones fill a batch together."""
    texts = [searchable_text(document, chunk) for document, chunk in passages]
    vectors = await embedder.embed(texts)
    return [
        Point(
            id=point_id(document, chunk),
            vector=vector,
            text=lexical(text),
            payload=payload_of(document, chunk),
        )
        for (document, chunk), text, vector in zip(passages, texts, vectors, strict=True)
    ]


def searchable_text(document: Document, chunk: Chunk) -> str:
    """What is embedded and indexed for a chunk: what stands above it says what a passage alone may not."""
    return "\n".join([*context_of(document, chunk), chunk.text])


def context_of(document: Document, chunk: Chunk) -> list[str]:
    """Title, headings and the header row of a table above the chunk, outermost first, without repeats."""
    columns = chunk.table_head.partition("\n")[0]
    return list(dict.fromkeys(part for part in (document.title, *chunk.heading_path, columns) if part))


def point_id(document: Document, chunk: Chunk) -> str:
    """The id of the chunk's point."""
    return str(uuid5(_NAMESPACE, "\x1f".join((document.id, document.version, str(chunk.ordinal)))))


def payload_of(document: Document, chunk: Chunk) -> Mapping[str, Any]:
    """Everything that a hit needs to become a source without another look-up."""
    return {
        "tenant": document.tenant,
        "collection": document.collection,
        "document_id": document.id,
        "version": document.version,
        "acl": list(document.acl),
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "heading_path": list(chunk.heading_path),
        "title": document.title,
        "uri": document.uri,
        "trust": document.trust,
        "metadata": dict(document.metadata),
        "text": chunk.text,
        "table_head": chunk.table_head,
    }
