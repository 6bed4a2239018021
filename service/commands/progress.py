"""What a person sees of an ingestion: a progress bar or lines while it runs, and a summary at its end."""

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ingest.summary import IngestSummary, OnProgress


def progress(*, quiet: bool = False) -> "AbstractContextManager[OnProgress | None]":
    """A bar on a terminal, lines elsewhere, nothing when ``quiet``; gives what to call for each document."""
    if quiet:
        return nullcontext()
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Bar(AbstractContextManager["OnProgress"]):
    """A progress bar on the terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("Ingesting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "OnProgress":
        self._bar.start()

        def update(progress: Any) -> None:
            name = progress.uri.rsplit("/", 1)[-1]
            self._bar.update(self._task, completed=progress.done, total=progress.found, description=name)

        return update

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class _Lines(AbstractContextManager["OnProgress"]):
    """A line every two seconds, for logs and pipes."""

    _EVERY = 2.0

    def __enter__(self) -> "OnProgress":
        last = time.monotonic()

        def update(progress: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= self._EVERY:
                last = time.monotonic()
                typer.echo(f"Ingesting: {progress.done} of {progress.found} documents", err=True)

        return update

    def __exit__(self, *_: object) -> None: ...


def report(summary: "IngestSummary") -> None:
    """Print the summary, and each failure with its reason."""
    counts = [
        f"{count} {word}"
        for word, count in (
            ("added", summary.added),
            ("changed", summary.changed),
            ("unchanged", summary.unchanged),
            ("removed", summary.removed),
            ("failed", len(summary.failed)),
        )
        if count
    ]
    found = ", ".join(counts) or "none found"
    if summary.dry_run:
        typer.echo(f"Nothing was done. It would be: {found}")
    else:
        typer.echo(f"Documents: {found}; {summary.chunks} chunks in {summary.seconds:.1f} s")
    for failure in summary.failed:
        typer.secho(f"  failed: {failure.uri}: {failure.reason} ({failure.code})", fg="red", err=True)
