"""Small real documents of every format, made on the spot; each holds the sentence that the tests look for."""

import io
import json
import zipfile
from collections.abc import Callable
from email.message import EmailMessage

from tests.support.compound_file import compound_file, outlook_message

SENTENCE = "Opened headphones may be returned within thirty days."
HEADING = "Returns and refunds"
TABLE = [["Product", "Days"], ["Headphones", "30"], ["Gift cards", "0"]]


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF with one heading and one sentence a page."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=StandardEncryption(password) if password else None)
    for page in pages or (SENTENCE,):
        canvas.setFont("Helvetica-Bold", 24)
        canvas.drawString(72, 760, HEADING)
        canvas.setFont("Helvetica", 11)
        for line, text in enumerate(page.split("\n")):
            canvas.drawString(72, 720 - 16 * line, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def scanned_pdf() -> bytes:
    """A PDF whose only page is a drawing."""
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(100, 100, 300, 500, fill=1)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def docx() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading(HEADING, level=1)
    document.add_paragraph(SENTENCE)
    table = document.add_table(rows=len(TABLE), cols=2)
    for row, cells in zip(table.rows, TABLE, strict=True):
        for cell, value in zip(row.cells, cells, strict=True):
            cell.text = value
    return _saved(document.save)


def numbered_docx() -> bytes:
    """A Word document whose headings are numbered by a list, with a chart and ticked boxes."""
    import docx

    document = docx.Document()
    list_id = document.styles["List Number"].element.pPr.numPr.numId.val
    for text in ("Orders", "Returns"):
        numbering = document.add_heading(text, level=1)._p.get_or_add_pPr().get_or_add_numPr()
        numbering.get_or_add_numId().val = list_id
        numbering.get_or_add_ilvl().val = 0
    document.add_paragraph("☒ Packed ☐ Sent")
    document.add_paragraph("CHART")
    with zipfile.ZipFile(io.BytesIO(pptx())) as deck:
        chart = next(deck.read(name) for name in deck.namelist() if name.startswith("ppt/charts/chart")).decode()
    with zipfile.ZipFile(io.BytesIO(_saved(document.save))) as archive:
        parts = {name: archive.read(name).decode("utf-8", "surrogateescape") for name in archive.namelist()}
    schema = "http://schemas.openxmlformats.org"
    parts["word/charts/chart1.xml"] = chart
    parts["word/_rels/document.xml.rels"] = parts["word/_rels/document.xml.rels"].replace(
        "</Relationships>",
        f'<Relationship Id="rId99" Type="{schema}/officeDocument/2006/relationships/chart" '
        'Target="charts/chart1.xml"/></Relationships>',
    )
    parts["word/document.xml"] = parts["word/document.xml"].replace(
        "<w:t>CHART</w:t>",
        f'<w:drawing><c:chart xmlns:c="{schema}/drawingml/2006/chart" '
        f'xmlns:r="{schema}/officeDocument/2006/relationships" r:id="rId99"/></w:drawing>',
    )
    return _zip(parts)


def pptx() -> bytes:
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    presentation = pptx.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = HEADING
    first.placeholders[1].text = SENTENCE
    first.notes_slide.notes_text_frame.text = "Mention the exception for hygiene."
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Figures"
    grid = second.shapes.add_table(len(TABLE), 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, cells in enumerate(TABLE):
        for column, value in enumerate(cells):
            grid.cell(row, column).text = value
    data = CategoryChartData()
    data.categories = ["January", "February"]
    data.add_series("Parcels", (12, 34.5))
    second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(4), Inches(4), Inches(2), data)
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(2), Inches(1)).text_frame.text = "Grouped text"
    return _saved(presentation.save)


def xlsx() -> bytes:
    import datetime as dt

    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = HEADING
    for row in TABLE:
        sheet.append(row)
    sheet.append([SENTENCE, 4.0, 0.25, dt.date(2026, 3, 1), True])
    workbook.create_sheet("Prices").append(["Speaker", 19.9])
    return _saved(workbook.save)


def two_block_xlsx() -> bytes:
    """One nameless sheet with two tables, one below the other."""
    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for row, column, value in ((3, 2, "a"), (3, 4, "b"), (4, 2, 1), (4, 4, "snake_case *x*"), (8, 2, "c"), (9, 2, 2)):
        sheet.cell(row, column).value = value
    return _saved(workbook.save)


def eml() -> bytes:
    message = EmailMessage()
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "shop@example.com"
    message["Subject"] = HEADING
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    message.set_content(SENTENCE)
    message.add_alternative(f"<html><body><p>{SENTENCE}</p></body></html>", subtype="html")
    return message.as_bytes()


def msg() -> bytes:
    return outlook_message(subject=HEADING, sender="Ada", body=SENTENCE)


def locked_office_file() -> bytes:
    return compound_file({"EncryptionInfo": b"", "EncryptedPackage": b""})


def html_mail() -> bytes:
    message = EmailMessage()
    message["From"] = "Zoë <zoe@example.com>"
    message["Subject"] = "Grüße: " + HEADING
    message.set_content(f"<p>{SENTENCE}</p><p>Zoë</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="invoice.pdf")
    return message.as_bytes()


def feed() -> bytes:
    return (
        f"<rss version='2.0'><channel><title>News</title><item><title>{HEADING}</title>"
        "<pubDate>Mon, 2 Mar 2026</pubDate>"
        f"<description><![CDATA[<p>{SENTENCE}</p><ul><li>one</li></ul>]]></description></item></channel></rss>"
    ).encode()


def article() -> bytes:
    return (
        f"<article><front><article-title>{HEADING}</article-title></front><body><sec><title>Rules</title>"
        f"<p>{SENTENCE} <bold>No</bold> fee.</p><sec><title>Exceptions</title><p>None.</p></sec></sec></body></article>"
    ).encode()


def html() -> bytes:
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in TABLE)
    return (
        f"<!doctype html><html><head><title>{HEADING}</title><style>p {{color: red}}</style></head><body>"
        f"<h1>{HEADING}</h1><p>{SENTENCE}</p><table>{rows}</table><script>alert(1)</script></body></html>"
    ).encode()


def epub() -> bytes:
    page = f"<html xmlns='http://www.w3.org/1999/xhtml'><body><h1>{HEADING}</h1><p>{SENTENCE}</p></body></html>"
    return _zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": "<container version='1.0'"
            " xmlns='urn:oasis:names:tc:opendocument:xmlns:container'>"
            "<rootfiles><rootfile full-path='book.opf' media-type='application/oebps-package+xml'/></rootfiles>"
            "</container>",
            "book.opf": "<package xmlns='http://www.idpf.org/2007/opf' version='3.0' unique-identifier='id'>"
            "<metadata xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:identifier id='id'>1</dc:identifier>"
            "<dc:title>Handbook</dc:title><dc:language>en</dc:language></metadata>"
            "<manifest><item id='one' href='one.xhtml' media-type='application/xhtml+xml'/></manifest>"
            "<spine><itemref idref='one'/></spine></package>",
            "one.xhtml": page,
        }
    )


def odt() -> bytes:
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    text = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    return _zip(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"<office:document-content xmlns:office='{office}' xmlns:text='{text}' office:version='1.2'>"
            f"<office:body><office:text><text:h text:outline-level='1'>{HEADING}</text:h>"
            f"<text:p>{SENTENCE}</text:p></office:text></office:body></office:document-content>",
            "META-INF/manifest.xml": "<m:manifest xmlns:m='urn:oasis:names:tc:opendocument:xmlns:manifest:1.0'>"
            "<m:file-entry m:full-path='/' m:media-type='application/vnd.oasis.opendocument.text'/>"
            "<m:file-entry m:full-path='content.xml' m:media-type='text/xml'/></m:manifest>",
        }
    )


def odp() -> bytes:
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    text, draw = office.replace("office", "text"), office.replace("office", "drawing")
    return _zip(
        {
            "mimetype": "application/vnd.oasis.opendocument.presentation",
            "content.xml": f"<o:document-content xmlns:o='{office}' xmlns:t='{text}' xmlns:d='{draw}'"
            f" xmlns:p='{office.replace('office', 'presentation')}'><o:body><o:presentation><d:page>"
            f"<d:frame p:class='title'><d:text-box><t:p>{HEADING}</t:p></d:text-box></d:frame>"
            f"<d:frame><d:text-box><t:p>{SENTENCE}</t:p></d:text-box></d:frame></d:page>"
            "<d:page><d:frame><d:text-box><t:p>Second slide</t:p></d:text-box></d:frame></d:page>"
            "</o:presentation></o:body></o:document-content>",
        }
    )


def rtf() -> bytes:
    return (
        r"{\rtf1\ansi\deff0{\fonttbl{\f0 Times;}}\f0\fs24 {\b " + HEADING + r"}\par " + SENTENCE + r"\par}"
    ).encode()


def ipynb() -> bytes:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": [f"# {HEADING}\n", "\n", SENTENCE]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": "print(6 * 7)",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["42\n"]}],
        },
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def csv() -> bytes:
    return "\r\n".join(",".join(row) for row in [*TABLE, [f'"{SENTENCE}"', "1"]]).encode()


def markdown() -> bytes:
    return f"# {HEADING}\n\n{SENTENCE}\n\n- one\n- two\n".encode()


def rst() -> bytes:
    return f"{HEADING}\n===================\n\n{SENTENCE}\n\n.. note:: Keep the box.\n".encode()


def plain() -> bytes:
    return f"{HEADING}\n\n{SENTENCE}\n".encode()


def json_document() -> bytes:
    return json.dumps({"title": HEADING, "text": SENTENCE, "city": "Zürich"}).encode()


def json_lines() -> bytes:
    return f'{{"title": "{HEADING}"}}\n{{"text": "{SENTENCE}"}}\n'.encode()


def xml() -> bytes:
    return f"<?xml version='1.0'?><policy><name>{HEADING}</name><rule>{SENTENCE}</rule></policy>".encode()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "pdf": pdf,
    "docx": docx,
    "pptx": pptx,
    "xlsx": xlsx,
    "eml": eml,
    "msg": msg,
    "html": html,
    "epub": epub,
    "odt": odt,
    "odp": odp,
    "rtf": rtf,
    "ipynb": ipynb,
    "csv": csv,
    "md": markdown,
    "rst": rst,
    "txt": plain,
    "json": json_document,
    "jsonl": json_lines,
    "xml": xml,
}


def _zip(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content.encode("utf-8", "surrogateescape"))
    return buffer.getvalue()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def zip_bomb() -> bytes:
    """A Word document of a few megabytes that unpacks to 520 MiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w", force_zip64=True) as member:
            member.write(b"<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:body>")
            for _ in range(520):
                member.write(b"A" * (1 << 20))
    return buffer.getvalue()


def xml_bomb() -> bytes:
    """A Word document whose entities multiply to gigabytes."""
    entities = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 11))
    body = "<w:p><w:r><w:t>&e10;</w:t></w:r></w:p>"
    return _zip(
        {
            "[Content_Types].xml": "<Types/>",
            "word/document.xml": f"<?xml version='1.0'?><!DOCTYPE d [<!ENTITY e0 'boom'>{entities}]>"
            "<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'>"
            f"<w:body>{body}</w:body></w:document>",
        }
    )
