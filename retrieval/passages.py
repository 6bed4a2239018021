"""From hits to sources: chunks of a document that touch become one passage with one span."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from retrieval.documents import Source, below_head

MAX_CHARACTERS = 4_000
"""Chunks are put together up to this length, so that one document does not fill a model's context."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk that was found: its point's payload, its fused score, and each leg's own."""

    payload: Mapping[str, Any]
    score: float
    scores: Mapping[str, float]

    @property
    def document(self) -> tuple[str, str]:
        """Id and version of the document that it is a part of."""
        return self.payload["document_id"], self.payload["version"]

    def continues(self, run: Sequence["Ranked"]) -> bool:
        """Whether it is the next chunk after the run, or overlaps it, and the two are not too long together."""
        first, last = run[0], run[-1]
        touches = self.payload["ordinal"] == last.payload["ordinal"] + 1 or self.payload["start"] <= last.payload["end"]
        return (
            self.document == last.document
            and touches
            and self.payload["end"] - first.payload["start"] <= MAX_CHARACTERS
        )


def runs_of(chunks: Iterable[Ranked], limit: int) -> list[list[Ranked]]:
    """Chunks in order of rank, as long as they fit into ``limit`` runs of neighbours; the run of the best comes first.

    Within a run chunks are in the order of their document.
    """
    taken: list[Ranked] = []
    runs: list[list[Ranked]] = []
    for chunk in chunks:
        extended = _runs([*taken, chunk])
        if len(extended) > limit:
            break
        taken.append(chunk)
        runs = extended
    rank = {id(chunk): place for place, chunk in enumerate(taken)}
    return sorted(runs, key=lambda run: min(rank[id(chunk)] for chunk in run))


def text_of(run: Sequence[Ranked]) -> str | None:
    """The text from the first chunk to the last; None when there is something between them that no chunk has."""
    text, end = run[0].payload["text"], run[0].payload["end"]
    for chunk in run[1:]:
        start = chunk.payload["start"]
        if start > end:
            return None
        text += chunk.payload["text"][end - start :]
        end = max(end, chunk.payload["end"])
    return str(text)


def readable(payload: Mapping[str, Any]) -> str:
    """A chunk's text as a reader needs it (see ``Source.readable``)."""
    return below_head(payload.get("table_head", ""), payload["text"])


def _runs(chunks: Sequence[Ranked]) -> list[list[Ranked]]:
    runs: list[list[Ranked]] = []
    for chunk in sorted(chunks, key=lambda c: (c.payload["document_id"], c.payload["version"], c.payload["start"])):
        if runs and chunk.continues(runs[-1]):
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs


def to_source(run: Sequence[Ranked], text: str) -> Source:
    """The passage that a run makes, with the score of its best chunk; ``text`` is all of it."""
    first = run[0].payload
    legs = {leg for chunk in run for leg in chunk.scores}
    return Source(
        document_id=first["document_id"],
        version=first["version"],
        collection=first["collection"],
        uri=first["uri"],
        title=first["title"],
        heading_path=_common([tuple(chunk.payload["heading_path"]) for chunk in run]),
        page=first["page"],
        start=first["start"],
        end=max(chunk.payload["end"] for chunk in run),
        text=text,
        table_head=first.get("table_head", ""),
        trust=first["trust"],
        score=max(chunk.score for chunk in run),
        scores={leg: max(chunk.scores[leg] for chunk in run if leg in chunk.scores) for leg in sorted(legs)},
        metadata=first["metadata"],
    )


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    together = zip(*paths, strict=False)
    return tuple(level[0] for level in takewhile(lambda level: len(set(level)) == 1, together))
