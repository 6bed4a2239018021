"""PDF to Markdown, page by page, with two engines."""

import io
import re

from ingest.parsing.extracted import Extracted
from ingest.parsing.parsed import ParseError

_PLACEHOLDER = re.compile(r"\A\s*```(?:text)?\s*```\s*\Z")
_LOCKED = ParseError("encrypted", "it is locked by a password: save a copy without one")


def liteparse_pdf(data: bytes, _media_type: str) -> Extracted:
    """Headings, lists and tables told by layout."""
    from liteparse import LiteParse
    from liteparse import ParseError as LiteParseError

    parser = LiteParse(
        ocr_enabled=False,
        output_format="markdown",
        image_mode="off",
        extract_links=False,
        continue_on_page_error=True,
        quiet=True,
        num_workers=1,
    )
    try:
        result = parser.parse(data)
    except LiteParseError as error:
        if "password" in str(error).lower():
            raise _LOCKED from None
        raise ParseError("corrupt", "it is not a readable PDF: is it cut off?") from error
    pages = tuple(_without_placeholder(page.markdown or page.text) for page in result.pages)
    return Extracted(pages=pages, paged=True)


def pdfium_text(data: bytes, _media_type: str) -> Extracted:
    """The characters in the order of the file; a second opinion that reads what the first one cannot.

    Raises:
        ParseError: it is locked, damaged, or its pages hold no text.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(io.BytesIO(data))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _LOCKED from None
        raise ParseError("corrupt", "it is not a readable PDF: is it cut off?") from error
    try:
        title = document.get_metadata_value("Title") or None
        pages = tuple(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()
    if not any(page.strip() for page in pages):
        raise ParseError("scanned", "its pages are pictures without text: run it through OCR first")
    return Extracted(pages=pages, title=title, paged=True)


def _without_placeholder(page: str) -> str:
    return "" if _PLACEHOLDER.match(page) else page
