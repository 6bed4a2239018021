"""Parsed text to chunks: cut at headings and pages, then between paragraphs, sentences, rows, and only then inside.

llama-index-core's node parsers are not used here: they find a chunk's place by searching for its text, which goes wrong
where text repeats, and they import for a second. A source may still be a LlamaIndex reader (see `ingest.sources`).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Protocol

from ingest.outline import Block, Kind, Section, header_row, sections
from retrieval.documents import Chunk

SPLITTER_VERSION = "2"
"""Part of every document's fingerprint: raise it whenever the same text would give other chunks."""

TARGET_TOKENS = 128
"""About how long a chunk gets. On questions about whole articles 128 kept the answer among the first five chunks as
often as 64 and more often than 160 or 200, and put it first as often as 160."""

_STRETCH = 8  # characters a token at most: longer ones are data, not words
_CALL = 16_384  # characters given to the tokenizer at once
_SENTENCE = re.compile(r"(?:(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s)|[。！？｡।؟۔]++[\"'”’»）】」』]*+)\s*+")
_ABBREVIATION = re.compile(r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|Fig|Eq|Sec|cf|al|e\.g|i\.e|etc|approx)\.)$")
_PIPE = re.compile(r"(?<!\\)\|")
_SEAMS = (re.compile(r"\n"), re.compile(r"[;:,，、；：](?=\s|[^\x00-\x7f])"), re.compile(r"\s"))


class Tokenizer(Protocol):
    """What the splitter needs of an embedder."""

    @property
    def window(self) -> int: ...

    def count_tokens(self, text: str) -> int: ...

    def token_spans(self, text: str) -> list[tuple[int, int]]: ...


class Parsed(Protocol):
    """What the splitter needs of a parsed document."""

    @property
    def text(self) -> str: ...

    @property
    def page_starts(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class _Unit:
    """A piece that is cut no further unless it is too long for a chunk of its own."""

    start: int
    end: int
    tokens: int
    opens: bool
    """Whether a block begins here, so that a cut before it is a good one."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that has a header row: its span, and as many leading cells of that row as there is room for."""

    start: int
    end: int
    header: str
    is_whole: bool
    tokens: int
    """Of the header."""

    @property
    def head(self) -> str:
        """The header with a delimiter row that fits it, however wide the table's own is padded."""
        return f"{self.header}\n|{' --- |' * len(_PIPE.findall(self.header.removesuffix('|')))}"


def split(parsed: Parsed, title: str, tokenizer: Tokenizer, *, target: int = TARGET_TOKENS) -> list[Chunk]:
    """The chunks of a parsed document, in order.

    ``parsed.text[c.start:c.end] == c.text`` for each; spans advance without overlapping, and together hold every
    character that is not white space. What is embedded of a chunk (`retrieval.indexing.searchable_text`: title, heading
    path, a table's header row, text) fits into the tokenizer's window (`fit_title` first makes the title short enough),
    so that nothing of it goes unembedded.
    """
    splitter = _Splitter(parsed.text, title, tokenizer, target)
    pages = list(parsed.page_starts)
    chunks: list[Chunk] = []
    for section in sections(parsed.text, pages):
        path = splitter.fit_path(section.path)
        tables = splitter.tables(section)
        for start, end in splitter.pieces(section, path, tables):
            chunks.append(
                Chunk(
                    ordinal=len(chunks),
                    text=parsed.text[start:end],
                    start=start,
                    end=end,
                    heading_path=path,
                    page=max(1, bisect_right(pages, start)) if pages else None,
                    table_head=_head_above(tables, parsed.text, chunks[-1].end if chunks else 0, start),
                )
            )
    return chunks


def fit_title(title: str, tokenizer: Tokenizer) -> str:
    """The title on one line, and cut to a quarter of the window."""
    return _trim(" ".join(title.split()), tokenizer.window // 4, tokenizer)


def _trim(text: str, tokens: int, tokenizer: Tokenizer) -> str:
    text = text[: tokens * _STRETCH]
    spans = tokenizer.token_spans(text)
    return text if len(spans) <= tokens else text[: spans[tokens][0]].rstrip()


class _Splitter:
    def __init__(self, text: str, title: str, tokenizer: Tokenizer, target: int) -> None:
        self._text = text
        self._tokenizer = tokenizer
        self._target = target
        self._special = tokenizer.count_tokens("")
        self._title_tokens = self._tokens(title)

    def fit_path(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The heading path, shortened from the outside until it takes a quarter of the window at most."""
        budget = self._tokenizer.window // 4
        path = tuple(_trim(heading, max(8, budget // 2), self._tokenizer) for heading in path)
        while path and sum(map(self._tokens, path)) > budget:
            path = path[1:]
        return path

    def tables(self, section: Section) -> list[_Table]:
        """The section's tables; a header takes a quarter of the window at most."""
        found: list[_Table] = []
        for block in section.blocks:
            row = header_row(self._text, block)
            header = _leading_cells(row, _trim(row, self._tokenizer.window // 4, self._tokenizer)) if row else ""
            if header:
                start, end = _strip(self._text, block.start, block.end)
                found.append(_Table(start, end, header, header == row, self._tokens(header)))
        return found

    def pieces(self, section: Section, path: tuple[str, ...], tables: Sequence[_Table]) -> Iterator[tuple[int, int]]:
        """Spans of the section's chunks, each short enough to be embedded below any of the tables' headers."""
        context = self._title_tokens + sum(map(self._tokens, path)) + max((t.tokens for t in tables), default=0)
        room = max(1, self._tokenizer.window - self._special - context)
        limit = min(room, max(1, self._target * 5 // 4))
        units = [small for unit in self._units(section.blocks) for small in self._fit(unit, limit)]
        for group in _pack(units, self._target, limit):
            yield from self._shrink(group[0].start, group[-1].end, room)

    def _tokens(self, text: str) -> int:
        return max(0, self._tokenizer.count_tokens(text) - self._special)

    def _units(self, blocks: Sequence[Block]) -> Iterator[_Unit]:
        """The blocks' sentences and lines with their length in tokens, tokenized many at a time."""
        batch: list[tuple[int, int, bool]] = []
        for block in blocks:
            for index, (start, end) in enumerate(_short(self._text, _atoms(self._text, block))):
                if batch and end - batch[0][0] > _CALL:
                    yield from self._measure(batch)
                    batch = []
                batch.append((start, end, index == 0))
        if batch:
            yield from self._measure(batch)

    def _measure(self, batch: Sequence[tuple[int, int, bool]]) -> Iterator[_Unit]:
        offset = batch[0][0]
        starts = [start for start, _ in self._tokenizer.token_spans(self._text[offset : batch[-1][1]])]
        for start, end, opens in batch:
            tokens = bisect_left(starts, end - offset) - bisect_left(starts, start - offset)
            yield _Unit(start, end, tokens, opens)

    def _fit(self, unit: _Unit, limit: int) -> Iterator[_Unit]:
        """The unit, or, when it is too long for a chunk, its parts cut at the best seams."""
        if unit.tokens <= limit and unit.end - unit.start <= limit * _STRETCH:
            yield unit
            return
        spans = self._tokenizer.token_spans(self._text[unit.start : unit.end])
        starts = [start + unit.start for start, _ in spans]
        position, opens = unit.start, unit.opens
        while position < unit.end:
            first = bisect_left(starts, position)
            reach = min(position + limit * _STRETCH, starts[first + limit] if first + limit < len(starts) else unit.end)
            cut = unit.end if reach >= unit.end else _seam(self._text, position, max(reach, position + 1))
            start, end = _strip(self._text, position, cut)
            if start < end:
                yield _Unit(start, end, bisect_left(starts, cut) - first, opens)
            position, opens = cut, False

    def _shrink(self, start: int, end: int, room: int) -> Iterator[tuple[int, int]]:
        """The span, halved until it really fits: text cut inside a word may have more tokens than before."""
        if end - start <= 1 or self._tokens(self._text[start:end]) <= room:
            yield start, end
            return
        middle = _seam(self._text, start, (start + end + 1) // 2)
        for half in (_strip(self._text, start, middle), _strip(self._text, middle, end)):
            if half[0] < half[1]:
                yield from self._shrink(*half, room)


def _leading_cells(row: str, beginning: str) -> str:
    """The cells of a row that its beginning has whole."""
    if beginning == row:
        return row
    pipes = [match.end() for match in _PIPE.finditer(beginning, 1)]
    return beginning[: pipes[-1]] if pipes else ""


def _head_above(tables: Sequence[_Table], text: str, before: int, start: int) -> str:
    """The head of the table that goes on at ``start``, where a chunk begins; the one before it ends at ``before``.

    The rest of a row gets no head that lacks columns: it could not be told which of them it has.
    """
    last = bisect_left(tables, start, key=lambda table: table.start) - 1
    if last < 0 or start >= tables[last].end:
        return ""
    return tables[last].head if tables[last].is_whole or "\n" in text[before:start] else ""


def _atoms(text: str, block: Block) -> Iterator[tuple[int, int]]:
    """Spans of the sentences (or lines) of a block, without the white space around them."""
    if block.kind is Kind.PROSE:
        cuts = [match.end() for match in _SENTENCE.finditer(text, block.start, block.end) if _ends(text, match)]
    elif block.kind is Kind.LINES:
        cuts = [match.end() for match in re.compile(r"\n").finditer(text, block.start, block.end)]
    else:
        cuts = []
    for left, right in pairwise([block.start, *cuts, block.end]):
        start, end = _strip(text, left, right)
        if start < end:
            yield start, end


def _short(text: str, atoms: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same spans, those cut that are too long to be tokenized at once."""
    for first, end in atoms:
        start = first
        while start < end:
            cut = end if end - start <= _CALL else _seam(text, start, start + _CALL)
            left, right = _strip(text, start, cut)
            if left < right:
                yield left, right
            start = cut


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether a full stop ends its sentence: not before a small letter, nor after an abbreviation."""
    following = text[match.end() : match.end() + 1]
    if following.islower():
        return False
    return text[match.start()] != "." or not _ABBREVIATION.search(text, max(0, match.start() - 8), match.start() + 1)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _seam(text: str, start: int, reach: int) -> int:
    """The best place to cut in the second half of ``text[start:reach]``: line, clause, word, else right at its end."""
    half = (start + reach + 1) // 2
    for seam in _SEAMS:
        cut = max((match.end() for match in seam.finditer(text, half, reach)), default=start)
        if cut > start:
            return cut
    return max(reach, start + 1)


def _pack(units: Sequence[_Unit], target: int, limit: int) -> Iterator[list[_Unit]]:
    """Runs of units of about equal length, near the target, ending where a block ends when one is near."""
    total = sum(unit.tokens for unit in units)
    goal = total if total <= limit else total / ceil(total / target)
    run: list[_Unit] = []
    tokens = done = 0
    end = goal
    for unit in units:
        too_long = tokens + unit.tokens > limit or (bool(run) and unit.end - run[0].start > limit * _STRETCH)
        if run and (too_long or _ends_well(done + tokens, unit, end, goal)):
            yield run
            done += tokens
            # The ends lie at multiples of the goal, so that no short rest is left over.
            end = (round(done / goal) + 1) * goal if goal else 0
            run, tokens = [], 0
        run.append(unit)
        tokens += unit.tokens
    if run:
        yield run


def _ends_well(reached: int, following: _Unit, end: float, goal: float) -> bool:
    """Whether a run had better end here than after the following unit."""
    if reached + following.tokens <= end:
        return False
    return reached + following.tokens / 2 >= end or (following.opens and reached >= end - 0.3 * goal)
