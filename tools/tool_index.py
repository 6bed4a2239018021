"""How well each of a set of tools fits a question: by its words, by its meaning, and by what it takes to call it.

An answer often takes two tools: the one that tells what was asked takes an id, which another one has to find first
("orders of Ada": find the customer, list the orders). The finder's own text has little to do with the question. So a
tool that finds things of a kind is worth almost as much as the best tool that asks for the id of such a thing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.extractive.parameters import words_of
from models.extractive.vectors import VectorCache, Vectors
from models.extractive.words import stem, terms
from models.messages import ToolSpec

Scores = NDArray[np.float64]

_LEXICAL = 0.4
_FINDER = 0.9
_LISTER = 0.45
_EXAMPLES = 32
_K1, _B = 1.2, 0.75
_ID_WORDS = frozenset({"id", "ids", "uuid", "key", "slug", "code", "number", "no", "ref", "identifier"})
_SEARCH_WORDS = frozenset(
    {"query", "q", "search", "name", "text", "term", "keyword", "keywords", "title", "email", "filter"}
)


class ToolIndex:
    """What can be prepared of a set of tools before there is a question."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._words = Bm25([terms(text_of(spec)) for spec in tools])
        self._texts = [(index, text) for index, spec in enumerate(tools) for text in _shown_as(spec)]
        self._owners = np.array([index for index, _ in self._texts], dtype=np.intp)
        self._finders = _finders(tools)
        self._size = len(tools)
        self._embedded: Vectors | None = None

    async def scores(self, question: str, vectors: VectorCache) -> Scores:
        """How well each tool fits, about 0 to 1, in the tools' order."""
        if not self._size:
            return np.zeros(0)
        if self._embedded is None:
            self._embedded = await vectors.of([text for _, text in self._texts])
        [asked] = await vectors.of([question])
        meaning = np.full(self._size, -1.0)
        np.maximum.at(meaning, self._owners, self._embedded @ asked)
        fit = _LEXICAL * _scaled(self._words.scores(terms(question))) + (1 - _LEXICAL) * _scaled(meaning)
        found = fit.copy()
        for asking, finder, worth in self._finders:
            found[finder] = max(found[finder], worth * fit[asking])
        return found


class Bm25:
    """Okapi BM25 over a few hundred short texts (Robertson and Zaragoza 2009, with the idf of Lucene)."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._counts = [Counter(text) for text in texts]
        self._lengths = [len(text) for text in texts]
        self._mean = sum(self._lengths) / max(len(texts), 1) or 1.0
        known = Counter(term for counts in self._counts for term in counts)
        self._idf = {term: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for term, n in known.items()}

    def scores(self, wanted: Sequence[str]) -> Scores:
        """The score of each text for the terms."""
        asked = [term for term in dict.fromkeys(wanted) if term in self._idf]
        scores = [
            sum(self._idf[term] * self._weight(counts[term], length) for term in asked if term in counts)
            for counts, length in zip(self._counts, self._lengths, strict=True)
        ]
        return np.array(scores, dtype=np.float64)

    def _weight(self, count: int, length: int) -> float:
        return count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / self._mean))


def text_of(spec: ToolSpec) -> str:
    """All that a tool says of itself, its arguments and examples included."""
    described = [f"{_spoken(name)} {_described(schema)}" for name, schema in _properties(spec).items()]
    return " ".join((f"{_spoken(spec.name)}: {spec.description}", *described, *spec.examples[:_EXAMPLES]))


def _shown_as(spec: ToolSpec) -> list[str]:
    return [f"{_spoken(spec.name)}: {spec.description}", *spec.examples[:_EXAMPLES]]


def _finders(tools: Sequence[ToolSpec]) -> list[tuple[int, int, float]]:
    """Who needs whom: a tool that takes an id, one that finds such ids without having one, and what that is worth."""
    needed = [_ids_needed(spec) for spec in tools]
    free = [index for index, spec in enumerate(tools) if not needed[index] and spec.effect == "read"]
    named = {index: {stem(word) for word in words_of(tools[index].name)} for index in free}
    searches = {index: any(_SEARCH_WORDS & set(words_of(name)) for name in _properties(tools[index])) for index in free}
    return [
        (asking, finder, _FINDER if searches[finder] else _LISTER)
        for asking, kinds in enumerate(needed)
        for finder in free
        if any(kind <= named[finder] for kind in kinds)
    ]


def _ids_needed(spec: ToolSpec) -> list[frozenset[str]]:
    """What the tool asks the id of: ``order_id`` of an order."""
    required = spec.parameters.get("required", ())
    split = [words_of(name) for name in required if isinstance(name, str)]
    return [frozenset(map(stem, words[:-1])) for words in split if len(words) > 1 and words[-1] in _ID_WORDS]


def _properties(spec: ToolSpec) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec.parameters.get("properties", {})
    return found


def _described(schema: Any) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _spoken(name: str) -> str:
    return " ".join(words_of(name))


def _scaled(scores: Any) -> Scores:
    """The scores from 0 to 1; all 0 when they do not differ."""
    values = np.asarray(scores, dtype=np.float64)
    spread = float(values.max() - values.min())
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
