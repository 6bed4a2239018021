"""Markdown, made plainer: embedded HTML becomes Markdown, front matter and escapes go."""

import re
from collections.abc import Callable

from ingest.parsing.decoding import decoded
from ingest.parsing.extracted import Extracted
from ingest.parsing.markup import alternative_text, page_of

_CODE = re.compile(r"(^(?P<fence>`{3,}+|~{3,}+).*?^(?P=fence)[`~]*[ \t]*$|`[^`\n]+`)", re.M | re.S)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n((?:[\w-]+:.*\n|[ \t-].*\n|\n)*?)---[ \t]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.M)
_FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*$", re.M)
_SETEXT_HEADING = re.compile(r"^(?![ \t]*[-*+>|#])(\S[^\n]*)\n(=+|-{2,})[ \t]*$(?!\n?\|)", re.M)
_COMMENT = (re.compile("<!--"), re.compile("-->"))
_HTML_TABLE = (re.compile(r"<table\b", re.I), re.compile(r"</table\s*>", re.I))
_IMAGE = re.compile(r"!\[((?:[^\[\]\\]|\\.)*)\]\([^()\n]*\)")
_HTML_IMAGE = re.compile(r"<img\b[^>]*?(?:\balt=(?:\"([^\"]*)\"|'([^']*)'))?[^>]*>", re.I)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h[1-6]|summary|details|ul|ol)\s*>", re.I)
_ITEM = re.compile(r"<li\b[^>]*>[ \t]*", re.I)
_TAG = re.compile(
    r"</?(?:a|abbr|article|b|big|blockquote|br|center|cite|code|dd|del|details|div|dl|dt|em|figcaption|figure|font|h[1-6]|"
    r"hr|i|ins|kbd|li|mark|ol|p|picture|pre|q|s|samp|section|small|source|span|strike|strong|sub|summary|sup|tbody|td|"
    r"tfoot|th|thead|tr|table|tt|u|ul|var)(?:\s[^<>]*)?/?>",
    re.I,
)
_ESCAPE = re.compile(r"(?<!^)(?<!\\)\\([!\"#$%&'()*+,\-./:;<=>?@\[\]^_`{}~])", re.M)
_HEADING_CHARS = 4096


def markdown(data: bytes, _media_type: str) -> Extracted:
    """Markdown with its embedded HTML turned into Markdown; code stays as it is."""
    text = decoded(data).replace("\r\n", "\n")
    front = _FRONT_MATTER.match(text)
    title = _FRONT_TITLE.search(front[1]) if front else None
    body = plainer(text[front.end() :] if front else text)
    return Extracted(pages=(body,), title=title[1] if title else first_heading(body))


def first_heading(text: str) -> str | None:
    """The first heading near the beginning: what a document without a title calls itself."""
    match = _FIRST_HEADING.search(text, 0, _HEADING_CHARS)
    return match[1] if match else None


def plainer(text: str) -> str:
    """The text without tags, escapes, comments and picture targets, but for its code."""
    parts: list[str] = []
    position = 0
    for code in _CODE.finditer(text):
        parts += [_prose(text[position : code.start()]), code[0]]
        position = code.end()
    return "".join([*parts, _prose(text[position:])])


def _prose(text: str) -> str:
    if "<" in text:
        text = _replaced(text, *_COMMENT, lambda _: "")
        text = _replaced(text, *_HTML_TABLE, lambda table: f"\n{page_of(table).pages[0]}\n")
        text = _HTML_IMAGE.sub(lambda image: alternative_text(image[1] or image[2]), text)
        text = _TAG.sub("", _ITEM.sub("- ", _BREAK.sub("\n", text)))
    text = _IMAGE.sub(lambda image: alternative_text(image[1]), text)
    text = _SETEXT_HEADING.sub(lambda found: f"{'#' if found[2][0] == '=' else '##'} {found[1]}", text)
    return _ESCAPE.sub(r"\1", text)


def _replaced(text: str, opening: re.Pattern[str], closing: re.Pattern[str], replace: Callable[[str], str]) -> str:
    """The text with each stretch from an opening to the next closing replaced; linear, whatever stays open."""
    parts: list[str] = []
    position = 0
    while (start := opening.search(text, position)) and (end := closing.search(text, start.end())):
        parts += [text[position : start.start()], replace(text[start.start() : end.end()])]
        position = end.end()
    return "".join([*parts, text[position:]])
