"""A cache of answers over a real record and a real index, with documents that its answers draw on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from records.database import Database
from records.ids import new_id, now
from retrieval.active import Collection
from retrieval.cache.answers import CacheSettings, Consulted, FreshAnswer
from retrieval.cache.cache import AnswerCache
from retrieval.cache.scope import Scope
from retrieval.catalog import Catalog
from retrieval.changes import Changes, NewVersion
from retrieval.documents import Document, Source, document_id
from retrieval.embedding.port import Embedder
from retrieval.vectors.port import VectorStore
from retrieval.vectors.tenanted import TenantedStore
from tests.support.embedder import HashEmbedder
from tests.support.memory import Hands

SETTINGS = CacheSettings(max_error=0.05, shadow=0.0, ttl=timedelta(days=30), max_entries=1000)


class Searcher:
    """A search that brings what it is told to, and counts how often it was asked."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self.asked = 0

    async def __call__(self) -> Sequence[Source]:
        self.asked += 1
        return self.sources


@dataclass
class CacheHouse:
    """A tenant of its own, with a collection."""

    database: Database
    store: VectorStore
    embedder: Embedder = field(default_factory=HashEmbedder)
    settings: CacheSettings = SETTINGS
    hands: Hands = field(default_factory=Hands)
    draw: Callable[[], float] = lambda: 1.0
    tenant: str = field(default_factory=lambda: f"t-{new_id()}")
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalog = Catalog(self.database)
        self.changes = Changes(self.database, self.store)
        self.cache = self.another()

    def another(self, **changes: Any) -> AnswerCache:
        """Another process's cache over the same record and index."""
        parts: dict[str, Any] = {
            "store": TenantedStore(self.store),
            "embedder": self.embedder,
            "settings": self.settings,
            "clock": self.hands,
            "draw": self.draw,
        }
        return AnswerCache(self.database, **(parts | changes))

    def scope(self, **changes: Any) -> Scope:
        scope = Scope(tenant=self.tenant, groups=frozenset(), collection="docs", config="1", language="en")
        return replace(scope, **changes)

    async def put(self, *uris: str, text: str = "Text.", collection: str = "docs", **changes: Any) -> None:
        """Documents that are live; again with another text is another version."""
        place = await self.catalog.ensure(self.tenant, collection, self.embedder)
        versions = [self._version(place, uri, text, changes) for uri in uris]
        receipts = await self.changes.begin(place.index, [each.document for each in versions])
        await self.changes.commit(place, list(zip(receipts, versions, strict=True)))
        self.texts.update({f"{collection}/{uri}": text for uri in uris})

    async def remove(self, uri: str, collection: str = "docs") -> None:
        await self.changes.remove(self.tenant, [document_id(self.tenant, collection, uri)])

    def source(self, uri: str, collection: str = "docs", **changes: Any) -> Source:
        """The passage that a document is, as it was put last."""
        text = self.texts[f"{collection}/{uri}"]
        source = Source(
            document_id=document_id(self.tenant, collection, uri),
            version=text,
            collection=collection,
            uri=uri,
            title=uri,
            heading_path=("Returns", "Periods"),
            page=None,
            start=0,
            end=len(text),
            text=text,
            trust="trusted",
            score=1.0,
            scores={"dense": 0.5},
            metadata={"lang": "en"},
        )
        return replace(source, **changes)

    async def fresh(self, text: str, *uris: str, **changes: Any) -> FreshAnswer:
        """An answer made now from these documents."""
        place = await self.catalog.collection(self.tenant, "docs")
        fresh = FreshAnswer(
            text=text,
            query="query",
            sources=tuple(map(self.source, uris)),
            finish_reason="stop",
            revision=place.revision,
        )
        return replace(fresh, **changes)

    async def keep(self, question: str, text: str, *uris: str, scope: Scope | None = None, **changes: Any) -> Consulted:
        """Ask the cache, and give it a fresh answer whatever it says."""
        consulted = await self.ask(question, scope=scope)
        await self.cache.keep(consulted, await self.fresh(text, *uris, **changes))
        return consulted

    async def ask(
        self, question: str, search: Callable[[], Awaitable[Sequence[Source]]] | None = None, scope: Scope | None = None
    ) -> Consulted:
        return await self.cache.consult(scope or self.scope(), question, search=search or Searcher())

    def _version(self, place: Collection, uri: str, text: str, changes: dict[str, Any]) -> NewVersion:
        document = Document(
            id=document_id(self.tenant, place.name, uri),
            tenant=self.tenant,
            collection=place.name,
            uri=uri,
            title=uri,
            media_type="text/plain",
            version=text,
            acl=("public",),
            metadata={},
            trust="trusted",
            size=len(text),
            chunk_count=1,
            created_at=now(),
            updated_at=now(),
        )
        document = replace(document, **changes)
        return NewVersion(document=document, fingerprint=text, text=text, page_starts=(), created_by="alice")
