"""Whether two answers say the same: how a fresh answer tells whether the one that was kept is right.

Nobody else judges, so this stands for truth: what it takes for different counts as wrong, what it takes for alike as
right. It rather errs on the side of different, which costs hits and no wrong answers.
"""

from collections.abc import Mapping, Sequence

import regex

from retrieval.cache.answers import CachedAnswer, FreshAnswer
from retrieval.cache.disagreements import disagreements
from retrieval.cache.words import normal, stem, words
from retrieval.documents import Source
from retrieval.embedding.port import Embedder

ALIKE = 0.85
"""The cosine from which two texts may say the same; rephrased answers to one question lie above, mostly."""

_ABOUT_QUESTIONS = frozenset({"question type", "comparatives"})
"""Rules that mean nothing between two answers."""

_SPANS = frozenset({"second", "minute", "hour", "day", "night", "week", "month", "year"})
"""What answers count time in: "30 days" is not "30 weeks"."""

_MARKER = regex.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_SENTENCE = regex.compile(r"(?<=[.!?。！？])\s+|\n+")
_SENTENCES = 60
_CHARACTERS = 300

Answer = CachedAnswer | FreshAnswer


class Agreement:
    """Compares answers."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def of(self, fresh: FreshAnswer, kept: Mapping[str, CachedAnswer]) -> dict[str, bool]:
        """For each of the answers kept whether it says what the fresh one says.

        Raises:
            RetrievalError: The texts cannot be embedded.
        """
        said = plain(fresh.text)
        same = {key: plain(each.text) == said and _same_claims(each, fresh) for key, each in kept.items()}
        close = [key for key, each in kept.items() if not same[key] and may_agree(each, fresh)]
        if close:
            texts = [said, *(plain(kept[key].text) for key in close)]
            first, *others = await self._embedder.embed(texts)
            same |= {key: float(first @ other) >= ALIKE for key, other in zip(close, others, strict=True)}
        return same


def may_agree(kept: Answer, fresh: Answer) -> bool:
    """Whether they draw on the same documents, and no sentence plainly contradicts the other's that is most like it."""
    if not _same_sources(kept, fresh):
        return False
    ones, others = sentences(kept.text), sentences(fresh.text)
    return _uncontradicted(ones, others) and _uncontradicted(others, ones)


def plain(text: str) -> str:
    """A text without its citations, as far as its meaning goes."""
    return normal(_MARKER.sub("", text))


def sentences(text: str) -> list[str]:
    """The sentences of a text, without citations."""
    found = [part.strip() for part in _SENTENCE.split(_MARKER.sub("", text)) if part.strip()]
    return [part[:_CHARACTERS] for part in found[:_SENTENCES]]


def cited(answer: Answer) -> list[Source]:
    """The sources that the text names."""
    labels = {int(label) for found in _MARKER.finditer(answer.text) for label in found[1].split(",")}
    return [source for label, source in enumerate(answer.sources, 1) if label in labels]


def _same_claims(kept: Answer, fresh: Answer) -> bool:
    """Whether answers in the same words name the same documents for them."""
    return _documents(cited(kept)) == _documents(cited(fresh))


def _same_sources(kept: Answer, fresh: Answer) -> bool:
    ones, others = _documents(cited(kept)), _documents(cited(fresh))
    if ones or others:
        return bool(ones and others) and (ones <= others or others <= ones)
    ones, others = _documents(kept.sources), _documents(fresh.sources)
    return 2 * len(ones & others) >= len(ones | others)


def _documents(sources: Sequence[Source]) -> frozenset[tuple[str, str]]:
    return frozenset((source.document_id, source.version) for source in sources)


def _uncontradicted(ones: Sequence[str], others: Sequence[str]) -> bool:
    there = set(others)
    return all(one in there or _agrees(one, others) for one in ones)


def _agrees(one: str, others: Sequence[str]) -> bool:
    said = frozenset(words(one))
    nearest = max(others, key=lambda other: _overlap(said, frozenset(words(other))), default="")
    return not set(disagreements(one, nearest)) - _ABOUT_QUESTIONS and not _differ(_spans(one), _spans(nearest))


def _spans(sentence: str) -> frozenset[str]:
    return _SPANS & {stem(word) for word in words(sentence)}


def _differ(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one) and bool(other) and one != other


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / max(1, len(one) + len(other))
