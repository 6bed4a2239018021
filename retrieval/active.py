"""What the retriever must know from SQL, the record, before it believes the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection as it was set up.

    Attributes:
        embedder: Name of the model that embedded it; another one is refused.
        dimension: Length of its vectors.
        language: Language of its BM25 tokenizer.
        index: The index that is searched now (``cairn reindex`` builds another one beside it and switches).
        trusted: Whether files ingested into it are trusted; what comes from elsewhere (uploads, URLs) is not.
        revision: Goes up whenever another version of a document, or none, is live, or others may read it: two reads of
            a collection that have the same saw the same documents.
    """

    tenant: str
    name: str
    embedder: str
    dimension: int
    language: str
    index: str
    trusted: bool = False
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ActiveDocument:
    """The version of a document that is live, and who may read it now."""

    version: str
    acl: tuple[str, ...]


class ActiveVersions(Protocol):
    """The record of which collections there are and which versions of their documents are live."""

    async def collection(self, tenant: str, name: str) -> Collection:
        """The collection.

        Raises:
            CollectionNotFound: The tenant has none of this name.
        """
        ...

    async def active(self, tenant: str, collection: str, document_ids: Sequence[str]) -> Mapping[str, ActiveDocument]:
        """The live version of each of these documents; a deleted or unknown one is left out."""
        ...

    async def excerpt(self, tenant: str, document_id: str, version: str, start: int, end: int) -> str | None:
        """The code points ``start`` to ``end`` of a version's parsed text; None when the version is no longer kept."""
        ...
