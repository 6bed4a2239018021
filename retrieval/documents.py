"""The nouns of retrieval: a document, its chunks, and the source that an answer points at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

Trust = Literal["trusted", "untrusted"]

_NAMESPACE = UUID("6f2d1a52-2f9b-4a53-9a0e-6d3c5f0f7c11")


def document_id(tenant: str, collection: str, uri: str) -> str:
    """The id of the document at ``uri``: the same tenant, collection and URI always give the same id."""
    return str(uuid5(_NAMESPACE, "\x1f".join((tenant, collection, uri))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that was ingested, as it stands now.

    Attributes:
        version: SHA-256 (hex) of the parsed text and of everything else that its points hold (title, ACL, metadata,
            trust, splitter); what a source and a citation refer to. Points of one version never change.
        acl: Groups that may read it; ``("public",)`` when nothing else was said.
        metadata: What the ingester attached; filterable.
        size: Bytes of the original.
    """

    id: str
    tenant: str
    collection: str
    uri: str
    title: str
    media_type: str
    version: str
    acl: tuple[str, ...]
    metadata: Mapping[str, Any]
    trust: Trust
    size: int
    chunk_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document's parsed text: ``text == parsed_text[start:end]``, spans in code points.

    Attributes:
        ordinal: Position among the document's chunks, from 0.
        heading_path: Headings above the passage, outermost first.
        page: Page on which it starts, from 1, where the format has pages.
        table_head: Header row and delimiter row of the table inside which it begins, a line each; not part of ``text``.
            Columns at the right are left out where they would take too much of the embedder's window.
    """

    ordinal: int
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    table_head: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A retrieved passage with its provenance: everything needed to find it again and to check it.

    Attributes:
        version: The document's version that the span refers to.
        start: First code point of the passage in that version's parsed text.
        end: One past its last code point.
        table_head: Head of the table inside which the passage begins (see ``Chunk``); it stands above the span.
        score: Fused score, higher is better; comparable within one result only.
        scores: Score of each leg that found it (``dense``, ``bm25``, ``rerank``).
    """

    document_id: str
    version: str
    collection: str
    uri: str
    title: str
    heading_path: tuple[str, ...]
    page: int | None
    start: int
    end: int
    text: str
    table_head: str = ""
    trust: Trust
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def readable(self) -> str:
        """The passage as a reader needs it: rows below the head of their table."""
        return below_head(self.table_head, self.text)


def below_head(table_head: str, text: str) -> str:
    """A text that begins inside a table, below the head of that table; any other as it is."""
    return f"{table_head}\n{text}" if table_head else text
