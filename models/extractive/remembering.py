"""An answer from what is remembered of whoever asks: his own words, given back as such."""

import re
from collections.abc import Sequence

from models.extractive.ranking import Ranked
from models.messages import Passage, Remembered

_OF_HIMSELF = re.compile(r"\b(?:my|mine|me|i|i'm|i've)\b", re.IGNORECASE)
_LIKELY = 1.0
_SAID = {"stated": "You told me", "inferred": "I gathered", "imported": "I was told"}


def asks_of_himself(question: str) -> bool:
    """Whether a question is about whoever asks it; documents know nothing of him."""
    return _OF_HIMSELF.search(question) is not None


def as_passages(memories: Sequence[Remembered]) -> tuple[Passage, ...]:
    """Memories as a ranker takes them; the label is the memory's place."""
    return tuple(Passage(label=place, title=memory.kind, text=memory.text) for place, memory in enumerate(memories))


def remembered_answer(ranked: Sequence[Ranked], memories: Sequence[Remembered], rival: float) -> str | None:
    """The memory that answers, if one does better than the documents' best sentence (its log-odds are ``rival``)."""
    best = max(ranked, key=lambda each: each.confidence, default=None)
    if best is None or best.confidence < max(_LIKELY, rival):
        return None
    memory = memories[best.sentence.label]
    said = _SAID.get(memory.trust, "It is noted of you, by I cannot say whom")
    return f"{said} on {memory.since}: “{memory.text.strip()}”"
