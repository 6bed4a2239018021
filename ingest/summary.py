"""What an ingestion did: events while it runs, a summary at its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["added", "changed", "unchanged", "removed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A document that was not ingested.

    Attributes:
        code: A stable word: a ``ParseErrorCode``, or what the source or the pipeline says.
        reason: A sentence for people, with the way out where there is one.
    """

    uri: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One document is done.

    Attributes:
        found: Documents that the sources have handed over so far; it grows while the run goes on.
        done: How many of them are done.
    """

    uri: str
    outcome: Outcome
    chunks: int
    failure: Failure | None
    found: int
    done: int


OnProgress = Callable[[Progress], None]


@dataclass(slots=True, kw_only=True)
class IngestSummary:
    """Counts of documents by what became of them, and of the chunks that were written."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    chunks: int = 0
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """0 when all went well, 3 when some documents failed (the others are in)."""
        return 3 if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """The summary for machines: ``failed`` is a count, the reasons are in ``failures``."""
        return {
            "added": self.added,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "failed": len(self.failed),
            "failures": [{"uri": f.uri, "code": f.code, "reason": f.reason} for f in self.failed],
            "chunks": self.chunks,
            "seconds": round(self.seconds, 3),
            "dry_run": self.dry_run,
        }


class Tally:
    """Counts while documents are found and done, and tells whoever listens."""

    def __init__(self, on_progress: OnProgress | None, *, dry_run: bool) -> None:
        self.summary = IngestSummary(dry_run=dry_run)
        self.found = 0
        self._done = 0
        self._on_progress = on_progress

    def done(self, uri: str, outcome: Outcome, chunks: int = 0) -> None:
        """Count a document."""
        setattr(self.summary, outcome, getattr(self.summary, outcome) + 1)
        self.summary.chunks += chunks
        self._tell(uri, outcome, chunks, None)

    def failed(self, uri: str, code: str, reason: str) -> None:
        """Count a document that failed, and keep why."""
        failure = Failure(uri=uri, code=code, reason=reason)
        self.summary.failed.append(failure)
        self._tell(uri, "failed", 0, failure)

    def _tell(self, uri: str, outcome: Outcome, chunks: int, failure: Failure | None) -> None:
        self._done += outcome != "removed"
        if self._on_progress is not None:
            self._on_progress(
                Progress(uri=uri, outcome=outcome, chunks=chunks, failure=failure, found=self.found, done=self._done)
            )
