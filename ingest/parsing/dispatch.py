"""Which parser reads what, and who is asked next when it gives nothing."""

from collections.abc import Callable
from functools import cache
from importlib import metadata

from ingest.parsing import mail, markdown, markup, office, opendocument, pdf, plain, rst, slides, sniffing, xml
from ingest.parsing.extracted import Extracted
from ingest.parsing.normalising import joined_pages, normalised
from ingest.parsing.parsed import PARSER_VERSION, ParsedDocument, ParseError

_Parse = Callable[[bytes, str], Extracted]

_LITEPARSE, _PDFIUM = ("liteparse", pdf.liteparse_pdf), ("pypdfium2", pdf.pdfium_text)
_KREUZBERG, _MARKITDOWN = ("kreuzberg", office.kreuzberg), ("markitdown", office.markitdown)
_PROSE = ("cairn", plain.prose)
_WORKBOOK = ("kreuzberg", office.workbook)
_LONGEST_TITLE = 300
_DEFAULT = (_KREUZBERG, _MARKITDOWN)

_PARSERS: dict[str, tuple[tuple[str, _Parse], ...]] = {
    sniffing.PDF: (_LITEPARSE, _PDFIUM),
    sniffing.DOCX: (("kreuzberg", office.word), _KREUZBERG, _MARKITDOWN),
    sniffing.MSG: (("kreuzberg", office.outlook), _MARKITDOWN),
    sniffing.XLSX: (_WORKBOOK, _KREUZBERG, _MARKITDOWN),
    sniffing.XLS: (_WORKBOOK, _KREUZBERG, _MARKITDOWN),
    sniffing.ODS: (_WORKBOOK, _KREUZBERG, _MARKITDOWN),
    sniffing.PPTX: (("python-pptx", slides.presentation), _KREUZBERG, _MARKITDOWN),
    sniffing.ODP: (("cairn", opendocument.opendocument_slides),),
    sniffing.CSV: (("cairn", plain.table),),
    sniffing.TSV: (("cairn", plain.table),),
    sniffing.MARKDOWN: (("cairn", markdown.markdown), _PROSE),
    sniffing.PLAIN: (_PROSE,),
    sniffing.RST: (("cairn", rst.restructured_text), _PROSE),
    sniffing.JSONL: (_PROSE,),
    sniffing.JSON: (("cairn", plain.structured),),
    sniffing.IPYNB: (("cairn", plain.notebook),),
    sniffing.HTML: (("cairn", markup.web_page), _KREUZBERG),
    sniffing.XML: (("cairn", xml.xml_document), _PROSE),
    sniffing.EML: (("cairn", mail.message), _KREUZBERG, _PROSE),
}


def parse(data: bytes, *, name: str = "", media_type: str | None = None) -> ParsedDocument:
    """Sniff and parse a document in this very process; only a sandboxed one should.

    Raises:
        ParseError: there is no text in it, or it cannot be read.
    """
    sniffed = sniffing.sniff(data, name=name, declared=media_type)
    first_error: ParseError | None = None
    for library, parser in _PARSERS.get(sniffed, _DEFAULT):
        try:
            extracted = _extracted(parser, data, sniffed)
        except ParseError as error:
            first_error = _telling(first_error, error)
            continue
        text, starts = joined_pages(extracted.pages)
        if text:
            return ParsedDocument(
                text=text,
                title=_title(extracted.title) or _title(markdown.first_heading(text)),
                media_type=sniffed,
                page_starts=starts if extracted.paged else (),
                parser=f"{library} {_version(library)}",
            )
    raise first_error or ParseError("empty", "there is no text in it")


def _extracted(parser: _Parse, data: bytes, media_type: str) -> Extracted:
    try:
        return parser(data, media_type)
    except (ParseError, MemoryError):
        raise
    except RecursionError:
        raise ParseError("corrupt", "it is nested too deeply to be read") from None
    except Exception as error:  # a parser may raise anything
        raise ParseError("corrupt", f"it could not be read ({type(error).__name__}): is it damaged?") from error


def _telling(first: ParseError | None, second: ParseError) -> ParseError:
    """Of two refusals the one that tells more than "damaged"."""
    return second if first is None or first.code == "corrupt" else first


def _title(title: str | None) -> str | None:
    return (" ".join(normalised(title).split())[:_LONGEST_TITLE] or None) if isinstance(title, str) else None


@cache
def _version(library: str) -> str:
    return PARSER_VERSION if library == "cairn" else metadata.version(library)
