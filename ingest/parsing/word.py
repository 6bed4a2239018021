"""What Word shows but does not write down: the numbers of headings and the values of charts.

A parser that reads runs of text misses both. They are written into a copy of the document, which then goes to the
parser: a heading's number in front of its words, a chart's values as a table behind it.
"""

import io
import posixpath
import zipfile
from typing import Any

from ingest.parsing.charts import chart_rows
from ingest.parsing.numbering import number_headings

_DOCUMENT, _NUMBERING, _STYLES = "word/document.xml", "word/numbering.xml", "word/styles.xml"
_RELATIONS = "word/_rels/document.xml.rels"


def spelled_out(data: bytes) -> bytes:
    """The same Word document with heading numbers and chart values as text; as it was, where there are none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        if _DOCUMENT not in names or not (_NUMBERING in names or any("/charts/chart" in name for name in names)):
            return data
        document = _parsed(archive.read(_DOCUMENT))
        numbered = {_NUMBERING, _STYLES} <= names and number_headings(
            document, _parsed(archive.read(_NUMBERING)), _parsed(archive.read(_STYLES))
        )
        charted = _write_charts(document, archive, names)
        return _repacked(archive, document) if numbered or charted else data


def _parsed(part: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(part, etree.XMLParser(resolve_entities=False, no_network=True))


def _repacked(archive: zipfile.ZipFile, document: Any) -> bytes:
    from lxml import etree

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as copy:
        for name in dict.fromkeys(archive.namelist()):
            if name == _DOCUMENT:
                copy.writestr(name, etree.tostring(document, xml_declaration=True, encoding="UTF-8"))
            elif name.endswith((".xml", ".rels")):
                copy.writestr(name, archive.read(name))
    return buffer.getvalue()


def _write_charts(document: Any, archive: zipfile.ZipFile, names: set[str]) -> bool:
    if _RELATIONS not in names:
        return False
    targets = {
        relation.get("Id"): posixpath.normpath(posixpath.join("word", relation.get("Target", "")))
        for relation in _parsed(archive.read(_RELATIONS))
    }
    changed = False
    for chart in list(document.iter("{*}chart")):
        target = next((targets[value] for value in chart.attrib.values() if value in targets), None)
        paragraph = next(chart.iterancestors("{*}p"), None)
        if target in names and paragraph is not None and paragraph.getparent() is not None:
            title, rows = chart_rows(_parsed(archive.read(str(target))))
            _append_table(paragraph, [[title], *rows] if title else rows)
            changed = True
    return changed


def _append_table(paragraph: Any, rows: list[list[str]]) -> None:
    from lxml import etree

    space = paragraph.tag.rpartition("}")[0] + "}"
    table = etree.Element(f"{space}tbl")
    for row in rows:
        line = etree.SubElement(table, f"{space}tr")
        for value in row:
            cell = etree.SubElement(etree.SubElement(line, f"{space}tc"), f"{space}p")
            etree.SubElement(etree.SubElement(cell, f"{space}r"), f"{space}t").text = value
    paragraph.addnext(table)
