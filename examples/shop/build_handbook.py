"""Make the handbook's PDF, DOCX and XLSX from `sources/`, `policy.py` and the catalogue.

`python -m examples.shop.build_handbook` writes those whose content has changed: the same inputs give the same bytes.
"""

import argparse
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from examples.shop.backend.seed import Seed
from examples.shop.policy import COUNTRIES, CURRENCY, HEAVY_PARCEL_SURCHARGE, RATES

HERE = Path(__file__).parent
HANDBOOK = HERE / "handbook"
EDITION = datetime(2026, 10, 1, tzinfo=UTC)
AUTHOR = "Tidewell Audio Ltd"

BOLD = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, paragraph, list or table of a source; `lines` are its text, items or rows."""

    kind: Literal["heading", "paragraph", "bullets", "numbers", "table"]
    lines: tuple[str, ...]
    level: int = 0

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, header first."""
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in self.lines]


def read_blocks(text: str) -> Iterator[Block]:
    """Cut a source into blocks: they are separated by blank lines and keep to one kind each."""
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = tuple(line.strip() for line in part.splitlines())
        first = lines[0]
        if first.startswith("#"):
            marks, _, title = first.partition(" ")
            yield Block("heading", (title,), len(marks))
        elif first.startswith("|"):
            yield Block("table", (first, *lines[2:]))
        elif first.startswith("- "):
            yield Block("bullets", tuple(line.removeprefix("- ") for line in lines))
        elif re.match(r"\d+\. ", first):
            yield Block("numbers", tuple(re.sub(r"^\d+\. ", "", line) for line in lines))
        else:
            yield Block("paragraph", (" ".join(lines),))


def build_pdf(blocks: list[Block]) -> bytes:
    """A PDF with headings, ruled tables and page numbers.

    Raises:
        UnicodeEncodeError: A character is missing in the standard fonts.
    """
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import ListFlowable, Paragraph, SimpleDocTemplate, Table

    styles = getSampleStyleSheet()
    headings = {1: styles["Title"], 2: styles["Heading1"], 3: styles["Heading2"]}
    body, cell = styles["BodyText"], styles["Normal"]
    body.fontSize, body.leading, body.spaceAfter = 11, 15, 4
    for level, size in ((1, 22), (2, 16), (3, 13)):
        style = headings[level]
        style.fontSize, style.leading, style.spaceBefore, style.keepWithNext = size, 1.2 * size, 14, 1

    def text(line: str, style: Any) -> Any:
        line.encode("cp1252")
        return Paragraph(BOLD.sub(r"<b>\1</b>", line.replace("&", "&amp;")), style)

    def table(block: Block) -> Any:
        rows = block.rows
        width = 440 / len(rows[0])
        header, *records = rows
        cells = [[text(f"**{value}**", cell) for value in header]]
        cells += [[text(value, cell) for value in row] for row in records]
        grid = [
            ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
            ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
        return Table(cells, colWidths=[width] * len(rows[0]), repeatRows=1, style=grid, spaceBefore=6, spaceAfter=10)

    def flow(block: Block) -> Any:
        if block.kind == "heading":
            return text(block.lines[0], headings[block.level])
        if block.kind == "table":
            return table(block)
        if block.kind == "paragraph":
            return text(block.lines[0], body)
        kind = "bullet" if block.kind == "bullets" else "1"
        return ListFlowable([text(line, body) for line in block.lines], bulletType=kind, start=None)

    def footer(canvas: Any, document: Any) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawCentredString(A4[0] / 2, 30, f"{AUTHOR} – page {document.page}")

    out = io.BytesIO()
    document = SimpleDocTemplate(out, pagesize=A4, invariant=1, title=blocks[0].lines[0], author=AUTHOR)
    document.build([flow(block) for block in blocks], onFirstPage=footer, onLaterPages=footer)
    return out.getvalue()


def build_docx(blocks: list[Block]) -> bytes:
    """A DOCX with heading styles, lists that each begin at 1, and tables."""
    import docx

    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author = blocks[0].lines[0], AUTHOR
    properties.created = properties.modified = EDITION.replace(tzinfo=None)
    for block in blocks:
        if block.kind == "heading":
            document.add_heading(block.lines[0], level=block.level)
        elif block.kind == "table":
            _add_table(document, block.rows)
        elif block.kind == "numbers":
            number = _restart_numbering(document)
            for line in block.lines:
                paragraph = _add_text(document.add_paragraph(style="List Number"), line)
                paragraph._p.get_or_add_pPr().get_or_add_numPr().get_or_add_numId().val = number  # noqa: SLF001
        else:
            style = "List Bullet" if block.kind == "bullets" else None
            for line in block.lines:
                _add_text(document.add_paragraph(style=style), line)
    out = io.BytesIO()
    document.save(out)
    return _repack(out.getvalue())


def build_xlsx(seed: Seed, repairs: list[Block]) -> bytes:
    """A workbook with the shipping rates, the countries, the catalogue and the repair prices, a sheet each."""
    from openpyxl import Workbook
    from openpyxl.styles import Font

    sheets: dict[str, list[list[Any]]] = {
        "Shipping rates": [
            ["Zone", "Name", f"Standard ({CURRENCY})", "Standard delivery time", f"Free from ({CURRENCY})",
             f"Express ({CURRENCY})", "Express delivery time", f"Surcharge over 10 kg ({CURRENCY})",
             f"Freight over 30 kg ({CURRENCY})"],
            *([r.zone, r.name, r.standard, r.standard_days, r.free_from or "never", r.express, r.express_days,
               HEAVY_PARCEL_SURCHARGE, r.freight] for r in RATES.values()),
        ],
        "Countries": [
            ["Country", "Zone", f"Return label ({CURRENCY})"],
            *sorted([name, zone, "sent by the customer" if RATES[zone].return_label is None
                     else RATES[zone].return_label] for zone, names in COUNTRIES.items() for name in names),
        ],
        "Price list": [
            ["SKU", "Product", "Kind", "Category", f"Price ({CURRENCY})", "Weight (kg)", "Warranty (years)", "Colours"],
            *([p.sku, p.name, p.kind, p.category, p.price.amount, p.weight_kg, p.warranty_years, ", ".join(p.colours)]
              for p in seed.products),
        ],
        "Repair prices": next(block.rows for block in repairs if block.kind == "table"),
    }  # fmt: skip
    book = Workbook()
    book.remove(book.active)
    book.properties.creator, book.properties.title = AUTHOR, "Shipping rates and prices"
    book.properties.created = EDITION.replace(tzinfo=None)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        for cells in sheet.columns:
            cells[0].font = Font(bold=True)
            sheet.column_dimensions[cells[0].column_letter].width = 2 + max(len(str(cell.value)) for cell in cells)
        sheet.freeze_panes = "A2"
    out = io.BytesIO()
    book.save(out)
    return _repack(out.getvalue())


def build() -> dict[str, bytes]:
    """Every binary file of the handbook by its name."""
    return {
        "warranty-terms.pdf": build_pdf(_source(HERE / "sources" / "warranty-terms.md")),
        "repair-centre-manual.docx": build_docx(_source(HERE / "sources" / "repair-centre-manual.md")),
        "shipping-rates-and-prices.xlsx": build_xlsx(Seed.load(), _source(HANDBOOK / "repairs.md")),
    }


def main() -> None:
    """Write every file whose bytes have changed."""
    argparse.ArgumentParser(prog="python -m examples.shop.build_handbook", description=__doc__).parse_args()
    for name, content in build().items():
        path = HANDBOOK / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            print(f"written: {name}")


def _source(path: Path) -> list[Block]:
    return list(read_blocks(path.read_text(encoding="utf-8")))


def _add_text(paragraph: Any, line: str) -> Any:
    for index, part in enumerate(BOLD.split(line)):
        paragraph.add_run(part).bold = index % 2 == 1
    return paragraph


def _add_table(document: Any, rows: list[list[str]]) -> None:
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    for index, row in enumerate(rows):
        for cell, value in zip(table.add_row().cells, row, strict=True):
            cell.paragraphs[0].add_run(value).bold = index == 0


def _restart_numbering(document: Any) -> int:
    """A new numbering of the style "List Number": Word would otherwise count on from the list before."""
    from docx.oxml.ns import qn

    style = document.styles["List Number"].element.pPr.numPr.numId.val
    numbering = document.part.numbering_part.element
    kind = next(num for num in numbering.findall(qn("w:num")) if num.numId == style).abstractNumId.val
    number = numbering.add_num(kind)
    number.add_lvlOverride(ilvl=0).add_startOverride(1)
    return int(number.numId)


def _repack(archive: bytes) -> bytes:
    """The same archive without the time of its making, so that equal content gives equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                stamp = EDITION.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            new.writestr(zipfile.ZipInfo(name, EDITION.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


if __name__ == "__main__":
    main()
