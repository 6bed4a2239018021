"""reStructuredText: section titles become headings, marks that only tools read go."""

import re
from collections.abc import Iterator

from ingest.parsing.decoding import decoded
from ingest.parsing.extracted import Extracted

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+[ \t]*$")
_COMMENT_OR_TARGET = re.compile(r"^\.\. (?:_[^:]+:.*|(?![\w-]+::|\[|\|).*)$")
_ROLE = re.compile(r":[\w:+.-]+:`~?([^`<]+?)(?:\s*<[^`>]*>)?`")
_REFERENCE = re.compile(r"`([^`<]+?)\s*<([^`>]+)>`__?")
_DEEPEST = 6


def restructured_text(data: bytes, _media_type: str) -> Extracted:
    """The text with ``#`` headings; the marks that are met first stand for the highest level, as docutils has it."""
    lines = decoded(data).replace("\r\n", "\n").expandtabs().split("\n")
    text = "\n".join(_headed(lines))
    return Extracted(pages=(_REFERENCE.sub(r"[\1](\2)", _ROLE.sub(r"\1", text)),))


def _headed(lines: list[str]) -> Iterator[str]:
    levels: dict[tuple[str, bool], int] = {}
    index = 0
    while index < len(lines):
        title, marks, overlined, taken = _title_at(lines, index)
        if title:
            level = levels.setdefault((marks[0], overlined), len(levels) + 1)
            yield f"{'#' * min(level, _DEEPEST)} {title}"
        elif not _COMMENT_OR_TARGET.match(lines[index]):
            yield lines[index]
        index += taken


def _title_at(lines: list[str], index: int) -> tuple[str, str, bool, int]:
    """Title, its marks, whether they stand above too, and the lines it takes; no title takes one line."""
    first, second, third = (*lines[index : index + 3], "", "")[:3]
    if third.rstrip() == first.rstrip() and _is_title(second, first):
        return second.strip(), first, True, 3
    after_blank = index == 0 or not lines[index - 1].strip()
    if after_blank and not first.startswith((" ", "..")) and _is_title(first, second):
        return first.strip(), second, False, 2
    return "", "", False, 1


def _is_title(title: str, marks: str) -> bool:
    text = title.rstrip()
    return bool(text and _ADORNMENT.match(marks) and not _ADORNMENT.match(text) and len(marks.rstrip()) >= len(text))
