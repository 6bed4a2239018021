"""Citations in streamed text: ``[3]`` or ``[1, 2]`` after a claim points at the sources with those labels."""

import re
from collections.abc import Iterator, Sequence

from agent.events import Citation
from retrieval.documents import Source

_MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_BOUNDARY = re.compile(r"[.!?。！？]+[\"'”’)]*(?:\s+|(?<=[。！？]))|\n+")


class CitationReader:
    """Reads released text as it comes and finds the citations in it.

    A citation's span is the claim in front of its marker: the sentence that ends there, or what follows the marker
    before it. What is found depends on the text alone, not on how it was cut into pieces.

    Attributes:
        cited: Whether any was found.
    """

    def __init__(self) -> None:
        self.cited = False
        self._parts: list[str] = []
        self._scanned = 0
        self._claim = (0, 0)
        self._after_marker = 0

    @property
    def text(self) -> str:
        """All the text read so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def read(self, piece: str, sources: Sequence[Source]) -> list[Citation]:
        """Add a piece of the answer; give the citations that it completes. Unknown labels are passed over."""
        self._parts.append(piece)
        if "]" not in piece:
            return []
        text = self.text
        found: list[Citation] = []
        for marker in _MARKER.finditer(text, self._scanned):
            self._scanned = marker.end()
            self._claim = self._claim_before(text, marker.start())
            self._after_marker = marker.end()
            found.extend(self._citations(marker[1], sources))
        self.cited = self.cited or bool(found)
        return found

    def _claim_before(self, text: str, marker: int) -> tuple[int, int]:
        between = text[self._after_marker : marker]
        if self._after_marker and not between.strip(" \t,;"):
            return self._claim
        end = self._after_marker + len(between.rstrip())
        start = self._after_marker
        for boundary in _BOUNDARY.finditer(text, self._after_marker, end):
            if boundary.end() < end:
                start = boundary.end()
        while start < end and text[start] in " \t\n.,;:!?*-":
            start += 1
        return start, end

    def _citations(self, labels: str, sources: Sequence[Source]) -> Iterator[Citation]:
        start, end = self._claim
        for label in dict.fromkeys(int(number) for number in labels.split(",")):
            if 1 <= label <= len(sources):
                source = sources[label - 1]
                yield Citation(
                    label=label, start=start, end=end, document_id=source.document_id, version=source.version
                )
