"""How documents are to be ingested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from records.principal import PUBLIC, Principal
from retrieval.documents import Trust


class Roots(Protocol):
    """The places that a run looked at, and so may find documents gone from."""

    def covers(self, uri: str) -> bool:
        """Whether a document of this URI would have been found."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """What holds for all documents of a run.

    Attributes:
        principal: On whose behalf; decides the tenant.
        acl: Groups that may read the documents.
        metadata: JSON values attached to each document, over what its source attaches.
        trust: What the documents are; None leaves it to the collection and the source.
        dry_run: Say what would be added, changed and removed by the look of the bytes, and do nothing.
        prune: Remove the documents that are gone from these places.
        language: Of a collection that is new: which words its BM25 leaves out, and how it stems.
    """

    principal: Principal
    collection: str = "default"
    acl: tuple[str, ...] = (PUBLIC,)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    trust: Trust | None = None
    dry_run: bool = False
    prune: Roots | None = None
    language: str = "english"
