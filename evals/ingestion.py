"""How much of a document's text survives parsing, against reference Markdown made by others.

Usage: python -m evals.ingestion FOLDER [--json] [--worst N]

FOLDER holds documents in any arrangement. A document's reference is found beside it: ``groundtruth/NAME.md`` next to
its ``sources`` folder, or, for PDF, ``expected_outputs/STEM.md`` in its own. A document without one only counts as read
or not.

Measured is the bag of words: a word is a run of letters or digits, in lower case, and Markdown's marks, link targets
and entities are no words. Recall is the share of the reference's words that came through, precision the share of ours
that belong. Both are averaged over documents. Two baselines run beside: markitdown alone, and kreuzberg with liteparse
for PDF, each with its defaults.
"""

import argparse
import asyncio
import html
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from ingest.parsing import ParseError, Parser

_WORD = re.compile(r"[^\W_]+")
_LINK_TARGET = re.compile(r"\]\([^)\s]*(\s+\"[^\"]*\")?\)")
_COMMENT = re.compile(r"<!--.*?-->", re.S)

Read = Callable[[Path], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one document; recall and precision are None without a reference."""

    path: str
    kind: str
    error: str | None
    seconds: float
    recall: float | None
    precision: float | None


def main() -> None:
    """Print the table, or all figures as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--json", action="store_true", help="one JSON object with every figure")
    arguments.add_argument("--worst", type=int, default=0, metavar="N", help="list Cairn's N worst documents")
    options = arguments.parse_args()
    documents = sorted(path for path in options.folder.rglob("*") if path.is_file() and _is_document(path))
    outcomes = asyncio.run(measure(documents, options.folder))
    if options.json:
        print(json.dumps({name: [asdict(outcome) for outcome in runs] for name, runs in outcomes.items()}))
        return
    print_table(outcomes)
    for outcome in sorted(_scored(outcomes["cairn"]), key=_harmonic)[: options.worst]:
        print(f"{outcome.recall:.3f} {outcome.precision:.3f} {outcome.path}")


async def measure(documents: Sequence[Path], folder: Path) -> dict[str, list[Outcome]]:
    """Every document, read by Cairn and by the baselines; paths are told from the folder."""
    async with Parser(processes=1) as parser:

        async def cairn(path: Path) -> str:
            return (await parser.parse(path, name=path.name)).text

        readers: dict[str, Read] = {"cairn": cairn, "markitdown": _markitdown(), "kreuzberg+liteparse": _native}
        return {name: [await _outcome(read, path, folder) for path in documents] for name, read in readers.items()}


def words(text: str) -> Counter[str]:
    """The text's words and how often each occurs."""
    visible = html.unescape(_COMMENT.sub(" ", _LINK_TARGET.sub("]", text)).replace("\\_", "_"))
    return Counter(_WORD.findall(visible.lower()))


def score(text: str, reference: str) -> tuple[float, float]:
    """Word recall and precision of a text."""
    ours, theirs = words(text), words(reference)
    common = (ours & theirs).total()
    return (common / theirs.total() if theirs else 1.0), (common / ours.total() if ours else float(not theirs))


def print_table(outcomes: dict[str, list[Outcome]]) -> None:
    """One line per format and parser; a document that failed scores nothing."""
    print(f"{'parser':<22}{'format':<8}{'files':>6}{'errors':>8}{'scored':>8}{'recall':>8}{'prec.':>8}{'seconds':>9}")
    for name, runs in outcomes.items():
        by_kind: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in runs:
            by_kind[outcome.kind].append(outcome)
        for kind, group in [*sorted(by_kind.items()), ("all", runs)]:
            _print_line(name, kind, group)
    for name, runs in outcomes.items():
        codes = Counter(outcome.error for outcome in runs if outcome.error)
        print(f"{name}: " + (", ".join(f"{code} {count}" for code, count in codes.most_common()) or "no errors"))


def _print_line(name: str, kind: str, group: list[Outcome]) -> None:
    scored = _scored(group)
    recall = f"{fmean(o.recall or 0 for o in scored):8.3f}" if scored else f"{'–':>8}"
    precision = f"{fmean(o.precision or 0 for o in scored):8.3f}" if scored else f"{'–':>8}"
    errors = sum(outcome.error is not None for outcome in group)
    seconds = sum(outcome.seconds for outcome in group)
    print(f"{name:<22}{kind:<8}{len(group):>6}{errors:>8}{len(scored):>8}{recall}{precision}{seconds:>9.2f}")


def _scored(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.recall is not None]


def _harmonic(outcome: Outcome) -> float:
    recall, precision = outcome.recall or 0.0, outcome.precision or 0.0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


async def _outcome(read: Read, path: Path, folder: Path) -> Outcome:
    reference = _reference(path)
    error: str | None = None
    text, started = "", time.perf_counter()
    try:
        text = await read(path)
    except ParseError as refusal:
        error = refusal.code
    except Exception as failure:  # noqa: BLE001 - a baseline may raise anything, and that is a result
        error = type(failure).__name__
    seconds = time.perf_counter() - started
    if error is None and not text.strip():
        error = "empty"
    recall, precision = (None, None) if reference is None else score(text, reference)
    kind = path.suffix.lstrip(".").lower() or "none"
    name = str(path.relative_to(folder))
    return Outcome(path=name, kind=kind, error=error, seconds=seconds, recall=recall, precision=precision)


def _is_document(path: Path) -> bool:
    return path.parent.name not in {"groundtruth", "expected_outputs"} and not path.name.startswith(".")


def _reference(path: Path) -> str | None:
    candidates = [path.parent.parent / "groundtruth" / f"{path.name}.md"]
    if path.suffix.lower() == ".pdf":
        candidates.append(path.parent / "expected_outputs" / f"{path.stem}.md")
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    return found.read_text(errors="replace") if found else None


def _markitdown() -> Read:
    from markitdown import MarkItDown

    converter = MarkItDown()

    async def read(path: Path) -> str:
        return str(converter.convert(path).markdown)

    return read


async def _native(path: Path) -> str:
    if path.suffix == ".pdf":
        from liteparse import LiteParse

        return str(LiteParse(ocr_enabled=False, output_format="markdown", quiet=True).parse(path).text)
    from kreuzberg import ExtractionConfig, extract_file_sync

    result = extract_file_sync(path, None, ExtractionConfig(use_cache=False, output_format="markdown"))
    return str(result.content)


if __name__ == "__main__":
    main()
