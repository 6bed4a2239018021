"""Office files, web pages, books and mail, through parsers that know many formats."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ingest.parsing.extracted import Extracted
from ingest.parsing.markdown import plainer
from ingest.parsing.parsed import ParseError
from ingest.parsing.tables import pipe_table
from ingest.parsing.word import spelled_out

_CELL_END = re.compile(r"(?<!\\)\|")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_RULE = re.compile(r"\|( *:?-+:? *\|)+$")
_NAMELESS_SHEET = re.compile(r"## (Sheet|Tabelle|Feuille?|Hoja|Foglio|Blad|Planilha|Лист)\s?\d*$")
_MAIL_SUBJECT = re.compile(r"^\*\*Subject\*\*: (.*)$", re.M)
_MAIL_HEADER = re.compile(r"^\*\*(From|To|CC|BCC|Date|Attachments)\*\*: ", re.M | re.I)
_BOXES = str.maketrans({"☒": "[x]", "☑": "[x]", "☐": "[ ]"})  # as Markdown ticks them


def kreuzberg(data: bytes, media_type: str) -> Extracted:
    """One native library for most formats; nothing cached, nothing recognised from pictures."""
    result = _native(data, media_type)
    title = result.metadata.get("title") or result.metadata.get("subject")
    return Extracted(pages=(plainer(result.content).translate(_BOXES),), title=title)


def _native(data: bytes, media_type: str) -> Any:
    from kreuzberg import (
        ConcurrencyConfig,
        ContentFilterConfig,
        ExtractionConfig,
        KreuzbergError,
        extract_bytes_sync,
    )

    config = ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        disable_ocr=True,
        output_format="markdown",
        content_filter=ContentFilterConfig(include_headers=False, include_footers=False, strip_repeating_text=False),
        concurrency=ConcurrencyConfig(max_threads=1),
    )
    try:
        return extract_bytes_sync(data, media_type, config)
    except KreuzbergError as error:
        message = str(error).lower()
        if "password" in message or "encrypted" in message:
            raise ParseError("encrypted", "it is locked by a password: save a copy without one") from error
        raise ParseError("corrupt", "it is cut off or damaged: fetch it again") from error


def word(data: bytes, media_type: str) -> Extracted:
    """Word documents, with the numbers of their headings and the values of their charts."""
    return kreuzberg(spelled_out(data), media_type)


def outlook(data: bytes, media_type: str) -> Extracted:
    """Outlook messages, in the same shape as other mail."""
    mail = kreuzberg(data, media_type)
    text = _MAIL_SUBJECT.sub(r"# \1", mail.pages[0], count=1)
    return replace(mail, pages=(_MAIL_HEADER.sub(r"\1: ", text),))


def workbook(data: bytes, media_type: str) -> Extracted:
    """Spreadsheets: a heading for each sheet, a table for each block of rows; empty rows and columns only divide."""
    result = _native(data, media_type)
    return Extracted(pages=("\n\n".join(_tables(result.content.split("\n"))),), title=result.metadata.get("title"))


def _tables(lines: Iterable[str]) -> Iterator[str]:
    rows: list[list[str]] = []
    for line in lines:
        is_row = line.startswith("|") and not _RULE.match(line)
        cells = [_ESCAPE.sub(r"\1", cell.strip()) for cell in _CELL_END.split(line)[1:-1]] if is_row else []
        if any(cells):
            rows.append(cells)
        elif not line.startswith("|") or is_row:
            yield from filter(None, (pipe_table(rows), "" if is_row or _NAMELESS_SHEET.match(line) else line))
            rows = []
    if rows:
        yield pipe_table(rows)


def markitdown(data: bytes, media_type: str) -> Extracted:
    """A slower second opinion, which reads some files that the first one cannot."""
    from markitdown import MarkItDown, MarkItDownException, StreamInfo

    converter = MarkItDown(enable_plugins=False)
    try:
        result = converter.convert_stream(io.BytesIO(data), stream_info=StreamInfo(mimetype=media_type))
    except MarkItDownException as error:
        raise ParseError("corrupt", "it is cut off or damaged: fetch it again") from error
    return Extracted(pages=(result.markdown,), title=result.title)
