"""What the tools of the chat do with long-term memory: on behalf of whoever asks, and on nothing but what is his."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import select

from memory.extraction import Extractor
from memory.heard import Heard, heard, runs_of
from memory.learning import learn
from memory.memory import Memory
from memory.own_words import own_clauses
from memory.reading import Filter
from memory.records import Draft, MemoryVersion, Subject
from memory.store import Written
from models.extractive.words import terms
from records.principal import Principal
from records.schema import memory_records as records

_SHOWN = 50
_TOLD_CHARACTERS = 300
_LOOKED_AT = 500
_RECALLED_TOKENS = 2000
_SAID_ENOUGH = 0.8
_LIKE_IT = 0.5
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_FORGETS = re.compile(
    r"\b(?:forget|delete|erase|remove|wipe|clear|drop|unlearn|vergiss|vergessen|lösche?n?|entferne?n?)\b", re.IGNORECASE
)
_KEEPS = re.compile(
    r"\b(?:don['’]t|do not|never|nicht) (?:ever )?(?:forget|delete|erase|remove)\b|\bvergiss nicht\b", re.I
)
_EVERYTHING = re.compile(
    r"\b(?:everything|all|anything|what(?:ever)?) (?:that )?you (?:know|remember|have \w+|keep|stored?|saved)"
    r" (?:about|of|on) me\b|\b(?:everything|all) about me\b|\ball (?:of )?(?:my|your) memor(?:y|ies)\b"
    r"|\balles,? was du (?:über|von) (?:mich|mir)\b|\balles über mich\b",
    re.IGNORECASE,
)
_SLOT_NAMES = {
    "city": "live living home town moved reside place",
    "country": "live living home moved reside place",
    "name": "called",
    "job": "work profession",
    "employer": "work company",
    "diet": "eat vegan vegetarian",
    "birth": "born birthday",
    "language of answers": "language",
}
"""What slots are also spoken of as, where what was said does not have their names."""

_TOLD = re.compile(
    r"^\W*(?:(?:please|can you|could you|would you|bitte)\s+)*(?:remember|merke? dir)(?:,?\s+(?:that|dass))?[\s,:]*",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"^\W*(?:(?:please|can you|could you|would you|i want you to|bitte|kannst du)\s+)*"
    r"(?:forget|delete|erase|remove|wipe|clear|drop|unlearn|vergiss|lösche?|entferne?)\b"
    r"(?:\s+(?:(?:what|everything|all) you (?:know|remember|have stored) (?:about|of)|(?:the |my |your )?memor(?:y|ies)"
    r"(?: that| about| of)?|about|that|the fact that|dass|bitte))*[\s,:]*",
    re.IGNORECASE,
)


class Call(Protocol):
    """What a tool tells of the call that it serves."""

    @property
    def principal(self) -> Principal: ...
    @property
    def run_id(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def perhaps_done(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What became of a wish to forget.

    Attributes:
        erased: How many records are gone.
        candidates: What may have been meant, where that is none or more than one.
    """

    erased: int
    candidates: Sequence[Mapping[str, Any]] = field(default=())


@dataclass(frozen=True, slots=True)
class _Meant:
    """The records that words may mean, and whether they say as much or are only like it."""

    records: Sequence[MemoryVersion]
    certain: bool = True


class MemoryInChat:
    """Recalls, remembers and forgets for the tools of the chat (``tools.memory``)."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._extractor = Extractor()

    async def known(self, asker: str, topic: str, context: Call) -> Sequence[Mapping[str, Any]]:
        """What is remembered of the asker, or of him and the topic, and what waits for his consent."""
        mine = Subject("user", asker)
        if topic.strip():
            recalled = await self._memory.recall(context.principal, topic, _RECALLED_TOKENS)
            return [shown(each.version) for each in recalled if each.version.subject == mine]
        moment = self._memory.store.clock()
        found = await self._mine(context.principal, mine)
        return [shown(each) for each in found if each.is_live(moment) or each.status == "proposed"][:_SHOWN]

    async def learn(self, asker: str, text: str, context: Call) -> Sequence[Mapping[str, Any]]:
        """What the asker has just said that is worth remembering; else the text, if it is in his words or he agrees.

        A model chooses what it calls a tool with. So what the asker himself says goes first; a text that he did not say
        is only proposed, as something that was concluded.
        """
        said = await self._heard(context)
        principal, run = context.principal, context.run_id
        drafts = self._extractor.drafts(principal, message=said.message, run_id=run)
        if not drafts:
            text = _TOLD.sub("", text, count=1) or text
            found = self._extractor.drafts(principal, message=f"Remember that {text}", run_id=run)
            his = bool(found) and _in_words_of(text, [said.message, *said.before])
            plain = Draft(subject=Subject("user", asker), kind="fact", text=text, trust="inferred", run_id=run)
            drafts = found[:1] if his else [plain]
        written = [await learn(self._memory, principal, draft, run) for draft in drafts]
        return [_told(each) for each in written if each is not None]

    async def asked_to_forget(self, context: Call) -> bool:
        """Whether the asker has lately said so in words of his own, or calls the tool himself."""
        said = await self._heard(context)
        wished = (_KEEPS.sub(" ", " ".join(_plain(each))) for each in (said.message, *said.before))
        return said.calls or any(map(_FORGETS.search, wished))

    async def forget(self, asker: str, text: str, context: Call) -> Forgetting:
        """Erase the one record that the text means, or all of the asker's; where it is not clear which, none.

        Made again after it was perhaps done, it erases nothing more.
        """
        mine = Subject("user", asker)
        if _EVERYTHING.search(text) and await self._says_everything(context):
            return Forgetting(erased=len(await self._memory.forget_subject(context.principal, mine)))
        found = await self._mine(context.principal, mine)
        if matter := _matter(text, found):
            return Forgetting(erased=await self._erase(context.principal, matter))
        if context.perhaps_done and await self._forgotten_since(context):
            return Forgetting(erased=1)
        meant = await self._meant(text, found, context)
        if not meant.certain or len(meant.records) != 1:
            return Forgetting(erased=0, candidates=[shown(each) for each in meant.records[:_SHOWN]])
        return Forgetting(erased=await self._erase(context.principal, meant.records))

    async def _erase(self, principal: Principal, versions: Sequence[MemoryVersion]) -> int:
        for version in versions:
            await self._memory.forget(principal, version.id, expected_version=version.version)
        return len(versions)

    async def _mine(self, principal: Principal, mine: Subject) -> Sequence[MemoryVersion]:
        return await self._memory.reader.list(principal, _LOOKED_AT, where=Filter(subject=mine))

    async def _meant(self, text: str, found: Sequence[MemoryVersion], context: Call) -> "_Meant":
        """The records that the text may mean: of those that stand first, then of those that did."""
        ids = {each.lower() for each in _ID.findall(text)}
        if ids:
            return _Meant([each for each in found if each.id in ids])
        wanted = _ORDER.sub("", text)
        words = set(terms(wanted))
        if not words:
            return _Meant(await self._last_said(found, context))
        standing = [each for each in found if each.status in {"active", "proposed"}]
        for group in (standing, [each for each in found if each not in standing]):
            exact = [each for each in group if _folded(each.content.text) == _folded(wanted)]
            if exact:
                return _Meant(exact[:1])
            if all_of := [each for each in group if words <= _words_of(each)]:
                return _Meant(all_of)
        like = [each for each in standing if len(words & _words_of(each)) >= _LIKE_IT * len(words)]
        return _Meant(like, certain=False)

    async def _last_said(self, found: Sequence[MemoryVersion], context: Call) -> Sequence[MemoryVersion]:
        """`Forget that`: what was said last in the session, of what is remembered."""
        runs = await runs_of(
            self._memory.store.database, context.principal, context.session_id, before=context.run_id, limit=1
        )
        return [each for each in found if each.content.run_id in runs]

    async def _says_everything(self, context: Call) -> bool:
        said = await self._heard(context)
        return said.calls or _EVERYTHING.search(" ".join(_plain(said.message))) is not None

    async def _heard(self, context: Call) -> Heard:
        return await heard(self._memory.store.database, context.principal, context.run_id, context.session_id)

    async def _forgotten_since(self, context: Call) -> bool:
        """Whether the asker has forgotten anything since the run began."""
        begun = datetime.fromtimestamp((UUID(context.run_id).int >> 80) / 1000, UTC)  # a UUIDv7 begins with its time
        principal = context.principal
        whose = (records.c.tenant == principal.tenant, records.c.forgotten_by == principal.id)
        query = select(records.c.id).where(*whose, records.c.forgotten_at >= begun).limit(1)
        async with self._memory.store.database.read() as connection:
            return await connection.scalar(query) is not None


def shown(version: MemoryVersion) -> Mapping[str, Any]:
    """A record as a user is told of it: a long one by its beginning."""
    text = version.content.text
    return {
        "text": text if len(text) <= _TOLD_CHARACTERS else f"{text[:_TOLD_CHARACTERS]}…",
        "kind": version.kind,
        "since": version.created_at.date().isoformat(),
        "id": version.id,
        "version": version.version,
        "status": version.status,
        "trust": version.content.trust,
    }


def _matter(text: str, found: Sequence[MemoryVersion]) -> Sequence[MemoryVersion]:
    """`Forget where I live`: all that was ever said of the one slot that the text names, if it names no more."""
    wanted = set(terms(_ORDER.sub("", text)))
    named = [each for each in found if wanted and wanted <= _names_of(each.content.slot)]
    return named if len({(each.kind, each.content.slot) for each in named}) == 1 else []


def _names_of(slot: str | None) -> set[str]:
    return set() if slot is None else set(terms(f"{slot} {_SLOT_NAMES.get(slot, '')}"))


def _told(written: Written) -> Mapping[str, Any]:
    return {**shown(written.version), "outcome": written.outcome}


def _plain(message: str) -> Sequence[str]:
    """A message without what it quotes. A question may be an order, too: `Can you forget that I like tea?` is one."""
    return own_clauses(message.replace("?", "."))


def _in_words_of(text: str, said: Sequence[str]) -> bool:
    """Whether what was said has (nearly) all the words of the text that carry meaning."""
    wanted = set(terms(text))
    had = {word for message in said for clause in _plain(message) for word in terms(clause)}
    return bool(wanted) and len(wanted & had) >= _SAID_ENOUGH * len(wanted)


def _words_of(version: MemoryVersion) -> set[str]:
    return set(terms(f"{version.content.text} {version.content.slot or ''}"))


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
