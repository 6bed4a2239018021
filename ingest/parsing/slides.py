"""Presentations to Markdown, a page for each slide."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from ingest.parsing.charts import chart_rows
from ingest.parsing.extracted import Extracted
from ingest.parsing.markup import alternative_text
from ingest.parsing.tables import pipe_table

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DIAGRAM_DATA = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/diagramData"
_ROW_HEIGHT = 457_200  # half an inch in EMU: what lies closer than that stands in one line


def presentation(data: bytes, _media_type: str) -> Extracted:
    """Title, text, tables, charts, diagrams and speaker notes of each slide, in reading order."""
    from pptx import Presentation

    deck = Presentation(io.BytesIO(data))
    pages = tuple("\n\n".join(_slide(slide)) for slide in deck.slides)
    return Extracted(pages=pages, title=deck.core_properties.title, paged=True)


def _slide(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.has_text_frame and (text := " ".join(title.text_frame.text.split())):
        yield f"# {text}"
    title_id = title.shape_id if title is not None else None
    yield from _shapes(shape for shape in slide.shapes if shape.shape_id != title_id)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
        yield f"Notes: {frame.text.strip()}"


def _shapes(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in sorted(shapes, key=lambda shape: ((shape.top or 0) // _ROW_HEIGHT, shape.left or 0)):
        if not _is_furniture(shape):
            yield from filter(None, _shape(shape))


def _shape(shape: Any) -> Iterator[str]:
    if hasattr(shape, "shapes"):
        yield from _shapes(shape.shapes)
    elif getattr(shape, "has_table", False):
        yield pipe_table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif getattr(shape, "has_chart", False):
        yield from _chart(shape.chart)
    elif getattr(shape, "has_text_frame", False) and shape.text_frame.text.strip():
        yield _paragraphs(shape.text_frame)
    else:
        yield from _diagram(shape)
        properties = shape._element.find(".//{*}cNvPr")  # noqa: SLF001 - the library offers no description
        if hasattr(shape, "image") and properties is not None:
            yield alternative_text(properties.get("descr"))


def _is_furniture(shape: Any) -> bool:
    """Slide number, date and footer, which every slide repeats."""
    from pptx.enum.shapes import PP_PLACEHOLDER

    furniture = (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER)
    return bool(shape.is_placeholder and shape.placeholder_format.type in furniture)


def _paragraphs(frame: Any) -> str:
    """The paragraphs of a shape; more than one, or an indented one, makes a list."""
    lines = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in frame.paragraphs]
    lines = [(level, text) for level, text in lines if text]
    if len(lines) == 1:
        return lines[0][1]
    return "\n".join(f"{'  ' * level}- {text}" for level, text in lines)


def _chart(chart: Any) -> Iterator[str]:
    title, rows = chart_rows(chart._chartSpace)  # noqa: SLF001 - its own view of the values stumbles over gaps
    yield title
    yield pipe_table(rows)


def _diagram(shape: Any) -> Iterator[str]:
    """The words in a SmartArt drawing, whose data is a part of its own."""
    from lxml import etree

    ids = shape._element.find(".//{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds")  # noqa: SLF001
    if ids is None:
        return
    for relation in shape.part.rels.values():
        if relation.reltype == _DIAGRAM_DATA and relation.rId in ids.attrib.values():
            root = etree.fromstring(relation.target_part.blob, etree.XMLParser(resolve_entities=False, no_network=True))
            for paragraph in root.iter(f"{_DRAWING}p"):
                if text := "".join(node.text or "" for node in paragraph.iter(f"{_DRAWING}t")).strip():
                    yield f"- {text}"
