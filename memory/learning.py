"""Learning from a conversation: what an extractor finds is proposed, once a run, however often it is asked for."""

import hashlib
import inspect
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import select

from memory.correcting import correct
from memory.errors import MemoryStoreError
from memory.extraction import MAX_DRAFTS, Extractor, Extracts
from memory.memory import Memory
from memory.policy import verdict
from memory.records import Draft
from memory.store import Written
from records.principal import Principal
from records.schema import memory_versions as versions
from retrieval.documents import Source

_log = structlog.get_logger("cairn.memory")
_RANDOM = (1 << 62) - 1


async def remember(
    memory: Memory,
    extractor: Extracts,
    principal: Principal,
    *,
    message: str,
    answer: str,
    run_id: str,
    session_id: str,
    sources: Sequence[Source] = (),
) -> Sequence[Written]:
    """Propose what a run's message tells of its asker, and correct what it takes back.

    Called again for the same run it writes nothing more: not after a crash, and not when what it has written was
    changed, superseded or forgotten meanwhile. What cannot be kept is left out.

    Raises:
        DatabaseError: The database cannot be reached; some of it may be written, and the next call does the rest.
    """
    if not extractor.repeatable and await _has_concluded(memory, principal, run_id):
        extractor = Extractor()
    found = extractor.drafts(
        principal, message=message, answer=answer, run_id=run_id, session_id=session_id, sources=sources
    )
    drafts = await found if inspect.isawaitable(found) else found
    written = [await learn(memory, principal, draft, run_id) for draft in drafts[:MAX_DRAFTS]]
    corrected = await correct(memory, principal, message, run_id, session_id, sources)
    return [each for each in (*written, *corrected) if each is not None]


async def learn(memory: Memory, principal: Principal, draft: Draft, run_id: str) -> Written | None:
    """Propose a draft as a run's; None where it is not to be kept, or was forgotten since the run proposed it."""
    decided = verdict(principal, draft)
    if decided == "reject":
        return None
    try:
        return await memory.store.write(
            principal, draft, proposed=decided == "queue", record_id=learnt_id(run_id, draft)
        )
    except MemoryStoreError as error:
        _log.info("something was not remembered", reason=str(error), run_id=run_id)
        return None


async def _has_concluded(memory: Memory, principal: Principal, run_id: str) -> bool:
    """Whether the run has left a record of something that was concluded: their ids begin as its own does."""
    begins = run_id[: len("01234567-89ab-7def-")]
    is_its = (versions.c.record_id >= f"{begins}8", versions.c.record_id < f"{begins}c", versions.c.run_id == run_id)
    query = select(versions.c.record_id).where(
        versions.c.tenant == principal.tenant, *is_its, versions.c.trust == "inferred"
    )
    async with memory.store.database.read() as connection:
        return await connection.scalar(query.limit(1)) is not None


def learnt_id(run_id: str, draft: Draft) -> str:
    """The id of the record that a run makes of a draft: always the same one, which sorts by the time of the run."""
    said = "\x1f".join(
        (run_id, draft.subject.type, draft.subject.id, draft.kind, draft.slot or "", draft.text.casefold())
    )
    digest = int.from_bytes(hashlib.sha256(said.encode("utf-8", "replace")).digest()[:16], "big")
    try:
        begun = UUID(run_id).int & ~_RANDOM
    except ValueError:
        begun = (digest & ~_RANDOM & ~(0xF << 76) & ~(0b11 << 62)) | (0x7 << 76) | (0b10 << 62)
    return str(UUID(int=begun | (digest & _RANDOM)))
