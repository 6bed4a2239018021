"""What a parser gives back, and the ways it can refuse."""

from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Literal

PARSER_VERSION = "1"
"""Raise it whenever this package would make another text of the same bytes."""

_LIBRARIES = ("kreuzberg", "liteparse", "lxml", "markitdown", "pypdfium2", "python-pptx")

ParseErrorCode = Literal["unsupported", "encrypted", "empty", "scanned", "timeout", "memory", "too_large", "corrupt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    r"""A document's text, whatever file it came in.

    Attributes:
        text: Markdown-like plain text; headings are ``#`` lines, tables have pipes, lines end with ``\\n``.
        title: What the document calls itself, or None.
        media_type: As sniffed from the content.
        page_starts: Code-point offsets in ``text``; page ``i + 1`` starts at ``page_starts[i]``. Empty without pages.
        parser: Name and version of the parser that produced the text.
    """

    text: str
    title: str | None
    media_type: str
    page_starts: tuple[int, ...]
    parser: str


class ParseError(Exception):
    """The document gave no text. The message says why, and the way out."""

    def __init__(self, code: ParseErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ParseErrorCode = code


@cache
def parser_version() -> str:
    """Part of every document's fingerprint: changes with this package and with the libraries it parses with."""
    return " ".join([PARSER_VERSION, *(f"{library}-{metadata.version(library)}" for library in _LIBRARIES)])
