"""XML to Markdown: articles by their sections and paragraphs, data as names with values."""

import re
from collections.abc import Iterator
from typing import Any

from ingest.parsing.extracted import Extracted
from ingest.parsing.markup import page_of
from ingest.parsing.tables import pipe_table

_PARAGRAPHS = frozenset({"p", "para", "simpara", "li", "td", "th", "entry", "caption", "subtitle", "label"})
_TITLES = frozenset({"title", "head", "heading", "article-title"})
_PROSE = frozenset({"p", "para", "simpara"})
_FEEDS = frozenset({"rss", "feed", "RDF"})
_WHEN = ("pubDate", "published", "updated", "date")
_WHAT = ("encoded", "content", "description", "summary")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>")
_SPACES = re.compile(r"\s+")
_DEEPEST = 6


def xml_document(data: bytes, _media_type: str) -> Extracted:
    """Text of an XML file; entities are not expanded and nothing is fetched.

    Raises:
        lxml.etree.LxmlError: it is no XML, not even nearly.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, remove_comments=True, remove_pis=True
    )
    root = etree.fromstring(data, parser)
    if root is None:
        return Extracted(pages=("",))
    title = next((_text(element) for element in root.iter(etree.Element) if _name(element) in _TITLES), None)
    if _name(root) in _FEEDS:
        text = "\n\n".join(_feed(root))
    elif any(_name(element) in _PROSE for element in root.iter(etree.Element)):
        text = "\n\n".join(_article(root, 0))
    else:
        text = "\n".join(_data(root, 0))
    return Extracted(pages=(text,), title=title)


def _feed(root: Any) -> Iterator[str]:
    """The articles of an RSS or Atom feed, each below its title."""
    for item in root.iter("{*}item", "{*}entry"):
        fields = {_name(child): text for child in item if (text := _text(child))}
        yield f"## {fields.get('title', '')}".rstrip(" #")
        yield from (fields[name] for name in _WHEN if name in fields)
        yield max((fields.get(name, "") for name in _WHAT), key=len)


def _article(element: Any, depth: int) -> Iterator[str]:
    """The blocks of a document: titles become headings as deep as the sections around them."""
    name = _name(element)
    if name in _TITLES:
        if text := _text(element):
            yield f"{'#' * min(max(depth, 1), _DEEPEST)} {text}"
    elif name in ("table", "informaltable", "tgroup") and (rows := _rows(element)):
        yield pipe_table(rows)
    elif name in _PARAGRAPHS or not len(element) or _is_mixed(element):
        if text := _text(element):
            yield text
    else:
        has_title = any(_name(child) in _TITLES for child in element)
        for child in element:
            yield from _article(child, depth + has_title)


def _data(element: Any, depth: int) -> Iterator[str]:
    """One line for each value, named by its element, indented below what it belongs to."""
    indent = "  " * depth
    attributes = [f"{indent}  {_name_of(key)}: {value}" for key, value in element.attrib.items() if value.strip()]
    if len(element) and not _is_mixed(element):
        yield f"{indent}{_name(element)}:"
        yield from attributes
        for child in element:
            yield from _data(child, depth + 1)
        return
    if text := _text(element):
        yield f"{indent}{_name(element)}: {text}"
    elif attributes:
        yield f"{indent}{_name(element)}:"
    yield from attributes


def _rows(table: Any) -> list[list[str]]:
    return [[_text(cell) for cell in row if isinstance(cell.tag, str)] for row in table.iter("{*}tr", "{*}row")]


def _text(element: Any) -> str:
    """All text in an element on one line; HTML that is wrapped in it, as in feeds, becomes Markdown."""
    text = "".join(element.itertext())
    if _MARKUP.search(text):
        return page_of(text).pages[0]
    return _SPACES.sub(" ", text).strip()


def _is_mixed(element: Any) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _name(element: Any) -> str:
    return _name_of(element.tag) if isinstance(element.tag, str) else ""


def _name_of(tag: str) -> str:
    return str(tag).rpartition("}")[2]
