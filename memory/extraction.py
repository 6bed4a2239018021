"""What a user says of himself in conversation and is worth remembering: read from his own words, without a model.

Nobody learns from himself here: not from the agent's answer, not from documents, not from tools' results. What is read
is about the user who said so and nobody else; what becomes of it is for ``memory.policy`` to decide.
"""

import re
from collections.abc import Awaitable, Sequence
from typing import Protocol

from memory.own_words import MAX_MESSAGE, own_clauses
from memory.phrases import Said, say
from memory.records import Draft, Subject
from records.principal import Principal
from retrieval.documents import Source

MAX_DRAFTS = 5
"""Of one message, at most."""

_PERHAPS = re.compile(
    r"\b(?:I|we)['’]?(?:m|ve|d|re)?\b|\bmy\b|\bme\b|\bremember\b|\bforget\b|\bnote\b|\bfrom now on\b|\bfuture\b"
    r"|\bforward\b|\b(?:always|never)\b|\bich\b|\bmein|\bmich\b|\bmir\b|\bdir\b|\bvergiss\b|\bab jetzt\b|\bsofort\b"
    r"|\bnun an\b|\bkünftig\b|\bzukunft\b|\b(?:immer|stets|nie)\b",
    re.IGNORECASE,
)


class Extracts(Protocol):
    """What finds in a message what is worth remembering. It proposes; it keeps nothing."""

    @property
    def repeatable(self) -> bool:
        """Whether it finds the same in a message each time."""
        ...

    def drafts(
        self,
        principal: Principal,
        *,
        message: str,
        answer: str,
        run_id: str,
        session_id: str,
        sources: Sequence[Source] = (),
    ) -> Sequence[Draft] | Awaitable[Sequence[Draft]]:
        """What the principal's message holds that is worth remembering of him; nothing of what others said.

        Args:
            answer: What the agent said to it: never learnt from.
            sources: What the run had read: what the message has from there is not the user's own.
        """
        ...


class Extractor:
    """Reads by patterns, in microseconds where there is nothing to read."""

    repeatable = True

    def drafts(
        self,
        principal: Principal,
        *,
        message: str,
        answer: str = "",  # noqa: ARG002 - nothing is learnt from it
        run_id: str | None = None,
        session_id: str | None = None,  # noqa: ARG002
        sources: Sequence[Source] = (),
    ) -> Sequence[Draft]:
        """See ``Extracts``: each with the trust ``stated``, its kind, and its slot where a user has one of that."""
        if len(message) > MAX_MESSAGE or _PERHAPS.search(message) is None:
            return []
        kept = _said(message)
        if kept and sources:
            kept = _said(message, [source.text for source in sources])
        return [stated(principal, said, run_id) for said in kept[:MAX_DRAFTS]]


def _said(message: str, read: Sequence[str] = ()) -> list[Said]:
    found = map(say, own_clauses(message, read))
    return list(dict.fromkeys(said for said in found if said is not None))


def stated(principal: Principal, said: Said, run_id: str | None) -> Draft:
    """What a principal has said of himself."""
    subject = Subject("user", principal.id)
    return Draft(subject=subject, kind=said.kind, text=said.text, slot=said.slot, trust="stated", run_id=run_id)
