"""OpenDocument presentations to Markdown, a page for each slide (OASIS ODF 1.3, part 3)."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from ingest.parsing.extracted import Extracted
from ingest.parsing.tables import pipe_table


def opendocument_slides(data: bytes, _media_type: str) -> Extracted:
    """Title, text, tables and notes of each slide."""
    from lxml import etree

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = archive.read("content.xml")
    root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    pages = tuple("\n\n".join(filter(None, _slide(page))) for page in root.iterfind(".//{*}presentation/{*}page"))
    return Extracted(pages=pages, paged=True)


def _slide(page: Any) -> Iterator[str]:
    for frame in page:
        if _name(frame) == "notes":
            yield f"Notes: {notes}" if (notes := " ".join(_paragraphs(frame))) else ""
        elif (table := frame.find(".//{*}table")) is not None:
            yield pipe_table([[" ".join(_paragraphs(cell)) for cell in row] for row in table.iter("{*}table-row")])
        elif any(key.endswith("}class") and value == "title" for key, value in frame.attrib.items()):
            yield f"# {title}" if (title := " ".join(_paragraphs(frame))) else ""
        else:
            yield "\n".join(_paragraphs(frame))


def _paragraphs(element: Any) -> list[str]:
    texts = (" ".join("".join(node.itertext()).split()) for node in element.iter("{*}p", "{*}h"))
    return [text for text in texts if text]


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
