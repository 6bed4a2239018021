"""The outline of a Markdown text: its sections under their headings, and the blocks inside them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

_BEGINNING = 4096
_LONGEST_HEADING = 400
_LINE = re.compile(r"[^\n]+\n?|\n")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])[ \t]")
_NO_TITLE = re.compile(r"\s*(?:[-*+•>|]|\d{1,9}[.)]|$)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*`]{1,3}(?=\S)|(?<=\S)[*`]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)|\{#[^}]*\}")


class Kind(IntEnum):
    """What a block is made of, and so where it may be cut."""

    PROSE = 0
    """Sentences."""
    LINES = 1
    """Lines that mean something each: a table's rows, code."""
    HEADING = 2


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list item, table, code block or heading: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


@dataclass(slots=True)
class Section:
    """Blocks under one heading, on one page."""

    path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)

    @property
    def bare(self) -> bool:
        """Whether nothing but headings stands in it."""
        return not self.blocks or self.blocks[-1].kind is Kind.HEADING


def sections(text: str, page_starts: Sequence[int] = ()) -> Iterator[Section]:
    """The sections of the text in order; together their blocks hold everything in it but blank lines.

    Headings are CommonMark's, with ``#`` or underlined, but not inside fenced or indented code. A heading without a
    body joins the section after it. No section crosses a page.
    """
    return _Reader(page_starts).read(text)


class _Reader:
    def __init__(self, page_starts: Sequence[int]) -> None:
        self._pages = list(page_starts)
        self._headings: list[tuple[int, str]] = []
        self._section = Section(())
        self._block: Block | None = None
        self._title = ""  # the block's only line, while an underline would make it a heading
        self._fence = ""

    def read(self, text: str) -> Iterator[Section]:
        pages = iter([*self._pages, len(text) + 1])
        page = next(pages)
        for match in _LINE.finditer(text):
            start, end, line = match.start(), match.end(), match.group().rstrip()
            if start >= page:
                while start >= page:
                    page = next(pages)
                yield from self._turn(self._section.path)
            yield from self._take(line, start, end)
        yield from self._turn(())

    def _take(self, line: str, start: int, end: int) -> Iterator[Section]:
        if self._fence:
            self._extend(Kind.LINES, start, end)
            if _closes(self._fence, line):
                self._close()
                self._fence = ""
        elif not line:
            self._close()
        elif fence := _FENCE.match(line):
            self._close()
            self._fence = fence.group(1)
            self._extend(Kind.LINES, start, end)
        elif len(line) <= _LONGEST_HEADING and (heading := _HEADING.match(line)):
            self._close()
            yield from self._head(len(heading.group(1)), heading.group(2) or "", start, end)
        elif self._block is not None and self._title and (underline := _UNDERLINE.match(line)):
            begin, self._block = self._block.start, None
            yield from self._head(1 if underline.group(1)[0] == "=" else 2, self._title, begin, end)
        else:
            self._add(line, start, end)

    def _add(self, line: str, start: int, end: int) -> None:
        kind = Kind.LINES if line.lstrip().startswith("|") else Kind.PROSE
        if _ITEM.match(line) or (self._block is not None and self._block.kind is not kind):
            self._close()
        first = self._block is None
        self._extend(kind, start, end)
        titled = first and len(line) <= _LONGEST_HEADING and not line.startswith("    ") and not _NO_TITLE.match(line)
        self._title = line.strip() if titled else ""

    def _extend(self, kind: Kind, start: int, end: int) -> None:
        self._block = Block(kind, self._block.start if self._block is not None else start, end)

    def _close(self) -> None:
        if self._block is not None:
            self._section.blocks.append(self._block)
        self._block, self._title = None, ""

    def _head(self, level: int, title: str, start: int, end: int) -> Iterator[Section]:
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._headings.append((level, plain(title)))
        path = tuple(heading for _, heading in self._headings if heading)
        if self._section.bare:
            self._section.path = path
        else:
            yield from self._turn(path)
        self._section.blocks.append(Block(Kind.HEADING, start, end))

    def _turn(self, path: tuple[str, ...]) -> Iterator[Section]:
        """Hand out the section that ends here and begin one under ``path``."""
        self._close()
        done, self._section = self._section, Section(path)
        if done.blocks:
            yield done


def _closes(fence: str, line: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]} and len(line) - len(line.lstrip()) <= 3


def plain(heading: str) -> str:
    """A heading's words without its Markdown."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", heading)).split())


def header_row(text: str, block: Block) -> str:
    """A table's header row; `""` when its cells are empty, and for a block without a delimiter row (GFM 0.29, 4.10)."""
    header, _, rows = text[block.start : block.end].partition("\n")
    rule = rows.partition("\n")[0]
    is_table = header.lstrip().startswith("|") and "-" in rule and not rule.strip("|:- \t\r")
    return header.strip() if is_table and header.strip("| \t\r") else ""


def first_heading(text: str) -> str | None:
    """The text's first heading, if it begins with one (or nearly so)."""
    for section in sections(text[:_BEGINNING]):
        if section.path:
            return section.path[0]
    return None
