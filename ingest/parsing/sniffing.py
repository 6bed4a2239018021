"""What a document is, told by its content; its name only breaks ties between flavours of text."""

import io
import json
import re
import zipfile
from pathlib import PurePath

from ingest.parsing.decoding import decoded
from ingest.parsing.parsed import ParseError

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOC, PPT, XLS = "application/msword", "application/vnd.ms-powerpoint", "application/vnd.ms-excel"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
EPUB = "application/epub+zip"
MSG, EML = "application/vnd.ms-outlook", "message/rfc822"
RTF, HTML, XML = "application/rtf", "text/html", "application/xml"
CSV, TSV = "text/csv", "text/tab-separated-values"
MARKDOWN, RST, PLAIN = "text/markdown", "text/x-rst", "text/plain"
JSON, JSONL, IPYNB = "application/json", "application/x-ndjson", "application/x-ipynb+json"

_ZIP_FOLDERS = (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX))
_ZIP_MIMETYPES = {EPUB: EPUB, ODT: ODT, ODS: ODS, ODP: ODP, ODT + "-template": ODT, ODT + "-master": ODT}
_OLE_STREAMS = (
    ("EncryptedPackage", "encrypted"),
    ("__properties_version1.0", MSG),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("Workbook", XLS),
    ("Book", XLS),
)
_KNOWN_BINARIES = (
    (b"\x89PNG\r\n", "a picture: make its text readable first (OCR)"),
    (b"\xff\xd8\xff", "a picture: make its text readable first (OCR)"),
    (b"GIF8", "a picture: make its text readable first (OCR)"),
    (b"II*\x00", "a picture: make its text readable first (OCR)"),
    (b"MM\x00*", "a picture: make its text readable first (OCR)"),
    (b"\x1f\x8b", "an archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "an archive: unpack it first"),
    (b"Rar!\x1a\x07", "an archive: unpack it first"),
    (b"BZh", "an archive: unpack it first"),
    (b"\xfd7zXZ\x00", "an archive: unpack it first"),
    (b"\x7fELF", "a program, not a document"),
    (b"MZ\x90", "a program, not a document"),
    (b"SQLite format 3\x00", "a database, not a document"),
    (b"ID3", "a recording, not a document"),
    (b"OggS", "a recording, not a document"),
    (b"RIFF", "a recording or a picture, not a document"),
)
_TEXT_SUFFIXES = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".rst": RST,
    ".rest": RST,
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".txt": PLAIN,
    ".text": PLAIN,
    ".log": PLAIN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".eml": EML,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
}
_HTML_START = re.compile(r"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*(<!doctype\s+html|<(html|head|body)\b)", re.I | re.S)
_HTML_TAG = re.compile(r"</(p|div|table|ul|ol|h[1-6]|a|span|td|li|title|body|section|article)\s*>", re.I)
_PROLOGUE = r"(?:\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>))*"
_FIRST_TAG = re.compile(_PROLOGUE + r"\s*<([A-Za-z_][\w.:-]*)", re.S)
_HTML_ELEMENTS = frozenset(
    """
    a b blockquote br center code div dl em fieldset font form h1 h2 h3 h4 h5 h6 hr i img link main meta nav ol
    p pre script span strong style table tbody td th tr u ul
    """.split()  # noqa: SIM905 - a paragraph is easier to read than a column
)
_HEADER_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]?.*(?:\r?\n[ \t]+.*)*\r?\n")
_MAIL_HEADERS = frozenset(
    {"from", "to", "cc", "subject", "date", "message-id", "mime-version", "received", "return-path", "content-type"}
)
_RST_MARK = re.compile(r"^(\.\. [\w-]+::|:[\w-]+: )|^([=\-~^\"*+#`])\2{3,}$", re.M)
_MARKDOWN_MARK = re.compile(r"^(#{1,6} \S|[-*] \S|\d+\. \S|```|\|.*\|$|> )|\[[^\]]+\]\([^)]+\)", re.M)
_HEAD = 64 << 10
_MOST_UNPACKED = 512 << 20


def sniff(data: bytes, *, name: str = "", declared: str | None = None) -> str:
    """The media type of a document.

    Args:
        data: The whole document.
        name: Its file name; its suffix tells Markdown from plain text, say, where the content allows both.
        declared: The media type given by whoever sent it; used like the name.

    Raises:
        ParseError: it is nothing that could be read as a document, or it is locked.
    """
    if not data.strip(b"\x00 \t\r\n"):
        raise ParseError("empty", "the file is empty")
    if _is_pdf(data):
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_type(data)
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _ole_type(data)
    for magic, what in _KNOWN_BINARIES:
        if data.startswith(magic):
            raise ParseError("unsupported", f"it is {what}")
    if data.lstrip()[:5] == b"{\\rtf":
        return RTF
    return _text_type(decoded(data[:_HEAD]), data, name, declared)


def _is_pdf(data: bytes) -> bool:
    """Readers accept up to a kilobyte of anything before the header; then the rest must look like one too."""
    return data.startswith(b"%PDF-") or (b"%PDF-" in data[:1024] and b"endobj" in data)


def _zip_type(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            size = sum(member.file_size for member in archive.infolist())
            mimetype = _mimetype(archive) if "mimetype" in names else ""
    except Exception:  # noqa: BLE001 - a damaged archive fails in a dozen ways
        raise ParseError("corrupt", "it is cut off or damaged: fetch it again") from None
    if size > _MOST_UNPACKED:
        raise ParseError("too_large", f"it unpacks to more than {_MOST_UNPACKED:,} bytes: split it")
    if mimetype in _ZIP_MIMETYPES:
        return _ZIP_MIMETYPES[mimetype]
    for folder, media_type in _ZIP_FOLDERS:
        if any(name.lower().replace("\\", "/").lstrip("/").startswith(folder) for name in names):
            return media_type
    if "META-INF/container.xml" in names:
        return EPUB
    raise ParseError("unsupported", "it is an archive: unpack it first")


def _mimetype(archive: zipfile.ZipFile) -> str:
    with archive.open("mimetype") as member:
        return member.read(200).decode("ascii", "replace").strip()


def _ole_type(data: bytes) -> str:
    """By the names in the compound file's directory, whose entries are 128 bytes, aligned (MS-CFB 2.6.1)."""
    for stream, media_type in _OLE_STREAMS:
        if _has_directory_entry(data, (stream + "\0").encode("utf-16-le")):
            if media_type == "encrypted":
                raise ParseError("encrypted", "it is locked by a password: save a copy without one")
            return media_type
    raise ParseError("unsupported", "it is an old office file of an unknown kind: save it in a current format")


def _has_directory_entry(data: bytes, name: bytes) -> bool:
    position = data.find(name)
    while position >= 0:
        if position % 128 == 0:
            return True
        position = data.find(name, position + 1)
    return False


def _text_type(head: str, data: bytes, name: str, declared: str | None) -> str:
    hint = _TEXT_SUFFIXES.get(PurePath(name).suffix.lower()) or (declared or "").split(";")[0].strip().lower() or None
    start = head.lstrip("\ufeff \t\r\n")
    if start[:1] in "{[" and (json_type := _json_type(data)) and hint not in (MARKDOWN, RST):
        return json_type
    if start[:1] == "<" and hint != MARKDOWN and (markup := _markup_type(start, hint)):
        return markup
    if hint not in (MARKDOWN, RST, CSV, TSV) and _is_mail(start):
        return EML
    if hint in (MARKDOWN, RST, CSV, TSV):
        return hint
    return PLAIN if hint or PurePath(name).suffix else _plain_flavour(head)


def _json_type(data: bytes) -> str | None:
    try:
        value = json.loads(decoded(data))
    except (ValueError, RecursionError):
        return JSONL if _is_json_lines(data) else None
    if isinstance(value, dict) and "cells" in value and "nbformat" in value:
        return IPYNB
    return JSON


def _is_json_lines(data: bytes) -> bool:
    lines = [line for line in decoded(data[:_HEAD]).splitlines()[:20] if line.strip()]
    complete = lines[:-1] if len(data) > _HEAD else lines
    try:
        return len(complete) > 1 and all(isinstance(json.loads(line), dict | list) for line in complete)
    except (ValueError, RecursionError):
        return False


def _markup_type(start: str, hint: str | None) -> str | None:
    if _HTML_START.match(start):
        return HTML
    root = _FIRST_TAG.match(start)
    if root is None:
        return HTML if hint == HTML else None
    if root[1].lower() in _HTML_ELEMENTS:
        return HTML if hint == HTML or _HTML_TAG.search(start) else None
    return XML if f"</{root[1]}>" in start or "/>" in start or start.startswith("<?xml") else None


def _is_mail(start: str) -> bool:
    if start.startswith("From "):  # the mark of an mbox
        start = start.partition("\n")[2]
    names: list[str] = []
    position = 0
    while match := _HEADER_LINE.match(start, position):
        names.append(match[1].lower())
        position = match.end()
    return len(_MAIL_HEADERS.intersection(names)) >= 3 or {"from", "subject"} <= set(names)


def _plain_flavour(head: str) -> str:
    if _is_table(head, "\t"):
        return TSV
    if _is_table(head, ",") or _is_table(head, ";"):
        return CSV
    if len(_RST_MARK.findall(head)) > max(1, len(_MARKDOWN_MARK.findall(head))):
        return RST
    return MARKDOWN if _MARKDOWN_MARK.search(head) else PLAIN


def _is_table(head: str, delimiter: str) -> bool:
    counts = {line.count(delimiter) for line in head.splitlines()[:20] if line.strip()}
    lines = sum(1 for line in head.splitlines()[:20] if line.strip())
    return lines >= 3 and len(counts) == 1 and 0 not in counts
