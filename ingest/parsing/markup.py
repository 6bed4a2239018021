"""Web pages to Markdown: what a reader would see, in the order of the page."""

import re
from collections.abc import Iterator
from typing import Any

from ingest.parsing.decoding import decoded
from ingest.parsing.extracted import Extracted
from ingest.parsing.tables import pipe_table

_BLOCKS = frozenset(
    """
    address article aside blockquote body caption center details dialog dd div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section summary table tbody td
    tfoot th thead tr ul
    """.split()  # noqa: SIM905 - a paragraph is easier to read than a column
)
_UNSEEN = frozenset(
    """
    audio base canvas colgroup datalist embed head iframe link map meta noembed noframes object script style svg
    template title video
    """.split()  # noqa: SIM905
)
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_GENERATED_ALT = re.compile(
    r"\s*(Description automatically generated.*|AI-generated content may be incorrect\.?)", re.I
)
_SPACES = re.compile(r"[ \t\n\r\f\v\u200b]+")
_BREAK = "\ue000"  # a line break while spaces are being folded; a private-use character that no page means
_BREAKS = re.compile(rf" ?{_BREAK} ?")
_MOST_SPANNED = 64  # columns or rows; a cell that claims more is a mistake or an attack


def web_page(data: bytes, _media_type: str) -> Extracted:
    """A page as Markdown: headings, lists, tables with spanned cells repeated, code in fences, links, no furniture.

    Raises:
        lxml.etree.LxmlError: it is no HTML at all.
    """
    return page_of(decoded(data))


def page_of(source: str) -> Extracted:
    """The same for HTML that is text already."""
    from lxml import html

    source = re.sub(r"^\s*<\?xml[^>]*\?>", "", source.replace("\0", "").replace(_BREAK, ""))
    if not source.strip():
        return Extracted(pages=("",))
    root = html.document_fromstring(
        source, parser=html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    )
    title = root.findtext(".//title")
    body = root.find("body")
    text = "\n\n".join(_Page(root).blocks(body if body is not None else root))
    return Extracted(pages=(text,), title=title)


class _Page:
    """One page on its way to Markdown."""

    def __init__(self, root: Any) -> None:
        self._holding_blocks = _ancestors_of_blocks(root)

    def blocks(self, element: Any) -> list[str]:
        """The Markdown blocks in an element; text between blocks becomes a paragraph."""
        blocks: list[str] = []
        run: list[str] = [element.text or ""]
        for child in element:
            if self._is_block(child):
                blocks += [_folded("".join(run)), *self._block(child)]
                run = []
            elif not _is_unseen(child):
                run.append(self._inline(child))
            run.append(child.tail or "")
        return [block for block in [*blocks, _folded("".join(run))] if block]

    def _is_block(self, element: Any) -> bool:
        return not _is_unseen(element) and (element.tag in _BLOCKS or element in self._holding_blocks)

    def _block(self, element: Any) -> list[str]:
        match element.tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                heading = " ".join(" ".join(self.blocks(element)).split())
                return [f"{'#' * int(element.tag[1])} {heading}"] if heading else []
            case "ul" | "ol" | "menu":
                return ["\n".join(self._items(element))]
            case "table":
                return self._table(element)
            case "pre":
                code = "".join(element.itertext()).strip("\n")
                return [f"```\n{code}\n```"] if code.strip() else []
            case "blockquote":
                lines = "\n\n".join(self.blocks(element)).split("\n")
                return ["\n".join(f"> {line}".rstrip() for line in lines)] if any(lines) else []
            case _:
                return self.blocks(element)

    def _inline(self, element: Any) -> str:
        if element.tag == "br":
            return _BREAK
        if element.tag == "img":
            return f" {alternative_text(element.get('alt'))} "
        inner = [element.text or ""]
        for child in element:
            if not _is_unseen(child):
                inner.append(self._inline(child))
            inner.append(child.tail or "")
        text = "".join(inner)
        if element.tag == "a":
            return _link(text, element.get("href") or "")
        return f"`{text}`" if element.tag in ("code", "kbd", "samp") and text.strip() and "`" not in text else text

    def _items(self, element: Any) -> Iterator[str]:
        """The lines of a list; what belongs to an item is indented below it."""
        number = 0
        for child in element:
            if not isinstance(child.tag, str) or _is_unseen(child):
                continue
            number += 1
            mark = f"{number}. " if element.tag == "ol" else "- "
            lines = "\n".join(self._block(child) if child.tag in ("ul", "ol") else self.blocks(child)).split("\n")
            if child.tag in ("ul", "ol"):  # a list in a list without an item: widespread, if not valid
                number, mark = number - 1, "    "
            if any(lines):
                yield mark + lines[0]
                yield from (" " * len(mark) + line for line in lines[1:])

    def _table(self, table: Any) -> list[str]:
        caption = [block for child in table.findall("caption") for block in self.blocks(child)]
        rows = list(_rows_of(table))
        if _is_layout(table, rows):
            return caption + [block for row in rows for cell in _cells_of(row) for block in self.blocks(cell)]
        grid = _grid([[(" ".join(self.blocks(cell)), *_spans(cell)) for cell in _cells_of(row)] for row in rows])
        return [*caption, pipe_table(grid)]


def alternative_text(alt: str | None) -> str:
    """What the author says a picture shows; nothing when it is a file's name or a machine's guess."""
    text = (alt or "").strip()
    return "" if _GENERATED_ALT.search(text) or re.fullmatch(r"\S+\.\w{3,4}", text) else text


def _ancestors_of_blocks(root: Any) -> set[Any]:
    """Inline elements that hold a block, such as a link around a card."""
    found: set[Any] = set()
    for element in root.iter(*_BLOCKS):
        parent = element.getparent()
        while parent is not None and parent not in found:
            found.add(parent)
            parent = parent.getparent()
    return found


def _is_unseen(element: Any) -> bool:
    return (
        not isinstance(element.tag, str)
        or element.tag in _UNSEEN
        or element.get("hidden") is not None
        or (element.tag == "input" and element.get("type") == "hidden")
        or bool(_HIDING_STYLE.search(element.get("style") or ""))
    )


def _folded(text: str) -> str:
    return _BREAKS.sub("\n", _SPACES.sub(" ", text)).strip()


def _link(text: str, target: str) -> str:
    words = _SPACES.sub(" ", text).strip()
    if not words or not target or target.startswith(("#", "javascript:", "data:")) or "](" in words:
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}[{text.strip()}]({target.strip().replace(' ', '%20').replace(')', '%29')}){after}"


def _rows_of(table: Any) -> Iterator[Any]:
    for child in table:
        if child.tag == "tr":
            yield child
        elif child.tag in ("thead", "tbody", "tfoot"):
            yield from child.findall("tr")


def _cells_of(row: Any) -> list[Any]:
    return [cell for cell in row if cell.tag in ("td", "th") and not _is_unseen(cell)]


def _is_layout(table: Any, rows: list[Any]) -> bool:
    """Whether the table only places things: says so, has one column, or holds other tables."""
    if table.get("role") in ("presentation", "none"):
        return True
    return all(len(_cells_of(row)) <= 1 for row in rows) or next(table.iterdescendants("table"), None) is not None


def _spans(cell: Any) -> tuple[int, int]:
    def span(attribute: str) -> int:
        value = cell.get(attribute) or ""
        return min(max(int(value), 1), _MOST_SPANNED) if value.isascii() and value.isdigit() and len(value) < 6 else 1

    return span("colspan"), span("rowspan")


def _grid(rows: list[list[tuple[str, int, int]]]) -> list[list[str]]:
    """The table's cells in place; a cell that spans several is repeated in each, so that every row stands alone."""
    grid: list[list[str]] = []
    below: dict[int, tuple[str, int]] = {}
    for cells in rows:
        row: list[str] = []
        waiting = iter(cells)
        cell = next(waiting, None)
        while cell is not None or len(row) in below:
            if (column := len(row)) in below:
                text, left = below.pop(column)
                row.append(text)
                if left > 1:
                    below[column] = (text, left - 1)
            elif cell is not None:
                text, columns, height = cell
                for _ in range(columns):
                    if height > 1:
                        below[len(row)] = (text, height - 1)
                    row.append(text)
                cell = next(waiting, None)
        grid.append(row)
    return grid
