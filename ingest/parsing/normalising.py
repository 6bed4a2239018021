"""Text as every later stage may rely on it."""

import re
from collections.abc import Sequence

_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]")
_LINE_END = re.compile(r"\r\n?|\x85|\u2028|\u2029|\x0c")
_TRAILING = re.compile(r"[ \t\u00a0]+$", re.MULTILINE)
_LONG_BLANK = re.compile(r"[ \t\u00a0]{40,}")
_EMPTY_LINES = re.compile(r"\n{3,}")


def normalised(text: str) -> str:
    r"""The text with ``\\n`` line ends and without what is never meant to be read.

    Dropped are control characters and lone surrogates, blanks at line ends, the blanks that pad a layout, and runs of
    empty lines beyond one.
    """
    text = _UNWANTED.sub("", _LINE_END.sub("\n", text))
    text = _TRAILING.sub("", _LONG_BLANK.sub("    ", text))
    return _EMPTY_LINES.sub("\n\n", text).strip("\n")


def joined_pages(pages: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """The normalised pages as one text, and the code-point offset at which each starts."""
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in pages:
        starts.append(length)
        part = normalised(page)
        if part:
            part += "\n\n"
        parts.append(part)
        length += len(part)
    text = "".join(parts).rstrip("\n")
    return text, tuple(min(start, len(text)) for start in starts)
