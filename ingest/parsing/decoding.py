"""Bytes to text, in whatever encoding they were written."""

import codecs
import re

from ingest.parsing.parsed import ParseError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,100}encoding=["']([\w.:-]+)|<meta[^>]{0,200}charset=["']?\s*([\w.:-]+)|coding[:=]\s*([-\w.]+)""",
    re.IGNORECASE,
)
_HEAD = 4096
_SAMPLE = 64 << 10
_CONTROLS = bytes(range(0x09)) + bytes(range(0x0E, 0x1B)) + b"\x7f"
_MOST_CONTROLS = 0.02  # of all bytes; the odd control character occurs in real text
_WHATWG_ALIASES = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252"}


def decoded(data: bytes) -> str:
    """The text that the bytes spell: by byte order mark, as UTF-8, as declared in the head, else by its statistics.

    Raises:
        ParseError: the bytes are not text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if (utf16 := _utf16_without_mark(data)) is not None:
        return data.decode(utf16, errors="replace")
    if is_binary(data):
        raise ParseError("unsupported", "it is binary data of an unknown kind, not a document")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 4 and error.reason == "unexpected end of data":
            return data.decode("utf-8", errors="ignore")
    return _declared(data) or _guessed(data)


def is_binary(data: bytes) -> bool:
    """Whether the bytes hold more control characters than any text would."""
    sample = data[:_SAMPLE]
    return len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) * _MOST_CONTROLS


def _utf16_without_mark(data: bytes) -> str | None:
    """Latin text in UTF-16 has a zero in nearly every second byte."""
    sample = data[:_HEAD]
    pairs = len(sample) // 2
    if pairs < 4:
        return None
    if sample[1::2].count(0) > pairs * 0.7 and sample[::2].count(0) < pairs * 0.1:
        return "utf-16-le"
    if sample[::2].count(0) > pairs * 0.7 and sample[1::2].count(0) < pairs * 0.1:
        return "utf-16-be"
    return None


def _declared(data: bytes) -> str | None:
    match = _DECLARED.search(data[:_HEAD])
    if match is None:
        return None
    name = next(group for group in match.groups() if group).decode("ascii").lower()
    try:
        return data.decode(_WHATWG_ALIASES.get(name, name))
    except (LookupError, UnicodeError):
        return None


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE]).best()
    return data.decode(best.encoding if best else "cp1252", errors="replace")
