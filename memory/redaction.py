"""Taking words out of texts: a marker stands where they stood, so that the shape of what was said stays."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

MARKER = "[forgotten]"

SHORTEST = 3
"""Characters of a text that is looked for: what is shorter stands everywhere, and says nothing by itself."""

_END = " \t\r\n.!?,;:…\"'“”‘’"
_WORD = re.compile(r"[A-Za-z0-9]+")
_SPACE = r"(?:\s|\\{1,3}[nrt])+"
_BEGIN = r"(?:(?<!\w)|(?<=\\[nrt]))"


@dataclass(frozen=True)
class Redaction:
    """The texts to take out: whole words, however they are spaced, whatever their case, written in JSON or plainly."""

    texts: tuple[str, ...]
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        forms = {form for text in self.texts for form in _forms(text)}
        parts = [
            _SPACE.join(map(re.escape, form.split())) for form in sorted(forms, key=lambda form: (-len(form), form))
        ]
        pattern = re.compile(rf"{_BEGIN}(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE) if parts else None
        object.__setattr__(self, "_pattern", pattern)

    @property
    def marks(self) -> Sequence[Sequence[str]]:
        """For each text some words in lower case, all of which stand wherever it stands: to look for with LIKE."""
        found = []
        for text in self.texts:
            words = sorted(
                {word.lower() for word in _WORD.findall(_trimmed(text))}, key=lambda word: (-len(word), word)
            )
            if len(_trimmed(text)) >= SHORTEST:
                found.append(words[:3])
        return found

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the texts stand."""
        return [] if self._pattern is None else [match.span() for match in self._pattern.finditer(text)]

    def text(self, text: str) -> str:
        """A text without them."""
        return text if self._pattern is None else self._pattern.sub(MARKER, text)

    def data(self, value: Any) -> Any:
        """JSON data without them in any of its texts; the same object when there is nothing to take out."""
        match value:
            case str():
                return self.text(value)
            case dict():
                fields = {key: self.data(each) for key, each in value.items()}
                return value if all(fields[key] is value[key] for key in value) else fields
            case list() | tuple():
                items = [self.data(each) for each in value]
                return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        return value

    def pieces(self, pieces: Sequence[str]) -> tuple[list[str], "Moves"]:
        """Pieces of one text without them, also where they stand across pieces; and where each place has moved to."""
        whole = "".join(pieces)
        spans = self.spans(whole)
        changed, start = [], 0
        for piece in pieces:
            changed.append(_cut(whole, start, start + len(piece), spans))
            start += len(piece)
        return changed, Moves(spans)


class Moves:
    """Where places in a text have moved to, now that a marker stands for each of these spans."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._spans = spans

    def of(self, place: int) -> int:
        """The new place; what stood within a span goes to its marker's begin."""
        before = bisect_right(self._starts, place)
        moved = place + sum(len(MARKER) - (end - start) for start, end in self._spans[:before])
        if before and place < self._spans[before - 1][1]:
            start, end = self._spans[before - 1]
            return moved - (len(MARKER) - (end - start)) - (place - start)
        return moved


def _cut(whole: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> str:
    """A piece of the text; the marker stands in the piece that a span begins in."""
    said, place = [], start
    for first, last in spans:
        if last <= start or first >= end:
            continue
        said.append(whole[place : max(first, place)])
        if first >= start:
            said.append(MARKER)
        place = min(last, end)
    said.append(whole[place:end])
    return "".join(said)


def _forms(text: str) -> Iterator[str]:
    plain = _trimmed(text)
    if len(plain) < SHORTEST or plain.lower() in MARKER:
        return
    for form in (plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]):
        yield form
        # JSON within JSON, as the arguments of a call are written.
        yield json.dumps(form)[1:-1]


def _trimmed(text: str) -> str:
    return text.strip(_END)
