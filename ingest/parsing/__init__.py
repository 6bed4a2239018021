"""From bytes of any format to text: sniffed by content, parsed in a process that may be killed."""

from ingest.parsing.limits import ParseLimits
from ingest.parsing.parsed import PARSER_VERSION, ParsedDocument, ParseError, ParseErrorCode, parser_version
from ingest.parsing.sandbox import Parser

__all__ = [
    "PARSER_VERSION",
    "ParseError",
    "ParseErrorCode",
    "ParseLimits",
    "ParsedDocument",
    "Parser",
    "parser_version",
]
