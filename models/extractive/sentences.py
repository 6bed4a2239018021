"""Passages cut into what can be quoted: sentences, list items and table rows, in the documents' own words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.extractive.words import word_count
from models.messages import Passage

PASSAGE_CHARACTERS = 20_000
PASSAGE_SENTENCES = 200
_LIST_WORDS = 60
_LEAD_WORDS = 25

_END = re.compile(
    r"[.!?…]{1,8}[\"'”’)\]]{0,4}(?=\s+[\"'“‘(\[¿¡]*[^\s\"'“‘(\[a-z])|[。！？]{1,8}[」』”’）]*|[!?…]{1,8}[\"'”’)]{0,4}\s"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|mt|jr|sr|vs|no|nos|vol|fig|approx|inc|ltd|co|corp|gen|col|lt|sgt|rev|hon|e\.g|i\.e"
    r"|etc|cf|al|ca|c|p|pp|u\.s|u\.k|a\.m|p\.m|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec)|(?:^|[\s.(])(?-i:[A-Z]))\.$",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s{0,12}(?:[-*+•‣◦–]|\(?\d{1,3}[.)]|[a-z]\))\s+(?=\S)")
_STEP = re.compile(r"^\s*\(?\d{1,3}[.)]\s")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_MARKUP = (
    (re.compile(r"!\[[^\]\n]{0,200}\]\([^)\n]{0,500}\)"), ""),
    (re.compile(r"\[([^\]\n]{1,200})\]\([^)\n]{0,500}\)"), r"\1"),
    (re.compile(r"(\*\*|__)(?=\S)([^\n]{1,500}?)\1"), r"\2"),
    (re.compile(r"(?<!\w)([*_])(?=\S)([^*_\n]{1,300})\1(?!\w)"), r"\2"),
    (re.compile(r"`([^`\n]{1,200})`"), r"\1"),
    (re.compile(r"\\([|*_#\[\]])"), r"\1"),
    (re.compile(r"<br\s*/?>", re.IGNORECASE), " "),
    # A number in brackets in a document would read as a citation of ours.
    (re.compile(r"\[(?=\d{1,3}(?:\s*,\s*\d{1,3})*\])([\d,\s]+)\]"), r"(\1)"),
    (re.compile(r"\s+"), " "),
)


Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """Something that can be quoted.

    Attributes:
        text: The words to show; a table row carries its header cells, a list item the line that leads to it.
        label: The passage it stands in, as a citation names it.
        rank: Position of that passage among the results, from 0.
        position: Position within the passage, from 0.
        context: Title and headings that it stands under.
        cells: For a table's row, its header cells and cells; empty for anything else.
    """

    text: str
    label: int
    rank: int
    position: int
    context: str = ""
    cells: Cells = ()


@dataclass(frozen=True, slots=True)
class _Block:
    kind: str
    lines: tuple[str, ...]


def quotable(passages: Sequence[Passage]) -> list[Sentence]:
    """Every quotable piece of the passages, in order; the same words are listed once, where they rank best."""
    found: dict[str, Sentence] = {}
    for rank, passage in enumerate(passages):
        above = " ".join(dict.fromkeys((passage.title, *passage.heading_path)))
        under = passage.heading_path[-1] if passage.heading_path else ""
        for position, (text, heading, cells) in enumerate(_pieces(passage.text[:PASSAGE_CHARACTERS], under)):
            if position >= PASSAGE_SENTENCES:
                break
            context = f"{above} {heading}".strip() if heading not in above else above
            sentence = Sentence(
                text=text, label=passage.label, rank=rank, position=position, context=context, cells=cells
            )
            found.setdefault(text, sentence)
    return list(found.values())


def row_text(cells: Cells) -> str:
    """A table's row, or some of its cells, as a sentence, such as `Country: Germany; Express: €14.90`."""
    text = "; ".join(f"{name}: {cell}" if name and name != cell else cell for name, cell in cells)
    return text if text.endswith((".", "!", "?", "。")) else f"{text}."


def split_sentences(text: str) -> list[str]:
    """Cut prose into sentences; abbreviations and initials do not end one."""
    parts: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if _ABBREVIATION.search(text, max(start, end.end() - 12), end.end()):
            continue
        parts.append(text[start : end.end()].strip())
        start = end.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def plain(text: str) -> str:
    """A text without Markdown's marks, on one line."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def _pieces(text: str, heading: str) -> Iterator[tuple[str, str, Cells]]:
    lead = ""
    for block in _blocks(text):
        if block.kind == "heading":
            heading, lead = plain(block.lines[0]), ""
        elif block.kind == "table":
            yield from ((row_text(row), heading, row) for row in _rows(block.lines))
            lead = ""
        elif block.kind == "list":
            steps = f"{heading}:" if heading and all(map(_STEP.match, block.lines)) else ""
            yield from ((item, heading, ()) for item in _items(lead or steps, block.lines))
            lead = ""
        else:
            sentences = split_sentences(plain(" ".join(block.lines)))
            lead = sentences.pop() if sentences and sentences[-1].endswith((":", "：")) else ""
            yield from ((sentence, heading, ()) for sentence in sentences if any(map(str.isalnum, sentence)))


def _blocks(text: str) -> Iterator[_Block]:
    """Group lines of one kind; a blank line ends prose but not a list."""
    kind, lines = "", list[str]()
    for line in (*text.splitlines(), ""):
        now = _kind(line, kind)
        if now == "more":
            lines[-1] = f"{lines[-1]} {line.strip()}"
            continue
        if lines and (now != kind or now in ("", "heading")) and not (kind == "list" and now == ""):
            yield _Block(kind, tuple(lines))
            lines = []
        if now == "heading" and (match := _HEADING.match(line)):
            lines = [match[1]]
        elif now:
            lines.append(line.strip())
        kind = now or (kind if lines else "")
    if lines:
        yield _Block(kind, tuple(lines))


def _kind(line: str, before: str) -> str:
    if not line.strip():
        return ""
    if _HEADING.match(line):
        return "heading"
    if line.lstrip().startswith("|") or (before == "table" and line.count("|") > 1):
        return "table"
    if _BULLET.match(line):
        return "list"
    return "more" if before == "list" and line[0].isspace() else "prose"


def _items(lead: str, lines: Sequence[str]) -> list[str]:
    items = [plain(_BULLET.sub("", line)) for line in lines]
    items = [item for item in items if any(map(str.isalnum, item))]
    if not lead:
        return items
    items = [item.rstrip(".;, ") for item in items]
    whole = f"{lead} {'; '.join(items)}."
    if word_count(whole) <= _LIST_WORDS:
        return [whole]
    return [f"{lead} {item}." for item in items] if word_count(lead) <= _LEAD_WORDS else items


def _rows(lines: Sequence[str]) -> list[Cells]:
    rows = [_cells(line) for line in lines if not _RULE.match(line)]
    has_header = len(lines) > 1 and _RULE.match(lines[1]) is not None
    header = rows[0] if has_header and rows else []
    body = rows[1:] if has_header else rows
    # A passage may begin inside a row: of which columns the rest is, cannot be told.
    torn = bool(body) and len(body[0]) < len(header)
    paired = [_paired([] if torn and row is body[0] else header, row) for row in body]
    return [row for row in paired if row]


def _paired(header: Sequence[str], row: Sequence[str]) -> Cells:
    return tuple((header[i] if i < len(header) else "", cell) for i, cell in enumerate(row) if cell)


def _cells(line: str) -> list[str]:
    return [plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]
