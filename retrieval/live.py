"""What the record says of documents, remembered for as long as their collection stays as it is."""

from collections.abc import Iterable, Mapping

from records.principal import Principal
from retrieval.active import ActiveDocument, ActiveVersions, Collection

Version = tuple[str, str]
"""Id and version of a document."""

_DOCUMENTS = 50_000
_COLLECTIONS = 256


class LiveDocuments:
    """Which version of a document is live, without asking the record twice while a collection's revision is the same.

    A search reads the collection anyway, so what is remembered is as true as the record was during that search: it is
    only used by whoever has just read the revision that it belongs to.
    """

    def __init__(self, record: ActiveVersions) -> None:
        self._record = record
        self._known: dict[tuple[str, str], tuple[int, dict[str, ActiveDocument | None]]] = {}

    async def of(self, place: Collection, document_ids: Iterable[str]) -> Mapping[str, ActiveDocument | None]:
        """At least these documents of the collection; None for one that is not live."""
        known = self._at(place)
        unknown = [key for key in document_ids if key not in known]
        if unknown:
            active = await self._record.active(place.tenant, place.name, unknown)
            known |= {key: active.get(key) for key in unknown}
        return known

    def _at(self, place: Collection) -> dict[str, ActiveDocument | None]:
        """What is known at the collection's revision; of one that is over nothing is kept."""
        key = place.tenant, place.name
        revision, known = self._known.get(key, (-1, {}))
        if revision > place.revision:
            return {}
        if revision < place.revision or len(known) > _DOCUMENTS:
            known = {}
            self._known.pop(key, None)
            self._known[key] = place.revision, known
            if len(self._known) > _COLLECTIONS:
                del self._known[next(iter(self._known))]
        return known


class Live:
    """Which versions are live in a collection and may be read by one principal."""

    def __init__(self, documents: LiveDocuments, principal: Principal, place: Collection) -> None:
        self._documents = documents
        self._principal = principal
        self._place = place

    async def of(self, found: Iterable[Version]) -> set[Version]:
        """Those that are live and may be read."""
        asked = set(found)
        known = await self._documents.of(self._place, {document_id for document_id, _ in asked})
        return {(key, version) for key, version in asked if self._is_live(known[key], version)}

    def _is_live(self, active: ActiveDocument | None, version: str) -> bool:
        return active is not None and active.version == version and self._principal.may_read(active.acl)
