"""What a document is follows from its content; a wrong name changes nothing but the flavour of text."""

import pytest

from ingest.parsing import ParseError
from ingest.parsing.sniffing import sniff
from tests.support import sample_files

EXPECTED = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
    "html": "text/html",
    "epub": "application/epub+zip",
    "odt": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "rtf": "application/rtf",
    "ipynb": "application/x-ipynb+json",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "xml": "application/xml",
}


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("name", ["document", "document.txt", "document.pdf", "document.docx"])
def test_content_decides_whatever_the_name_says(kind: str, name: str) -> None:
    assert sniff(sample_files.SAMPLES[kind](), name=name) == EXPECTED[kind]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.md", "text/markdown"), ("a.txt", "text/plain"), ("a.rst", "text/x-rst"), ("a.csv", "text/csv")],
)
def test_the_name_tells_flavours_of_text_apart(name: str, expected: str) -> None:
    assert sniff(b"One line, that could be anything.\n", name=name) == expected


@pytest.mark.parametrize("name", ["script.py", "settings.yaml"])
def test_text_of_an_unknown_kind_stays_plain(name: str) -> None:
    assert sniff(b"# a comment\nvalue: 1\n", name=name) == "text/plain"


def test_the_declared_type_stands_in_for_the_name() -> None:
    assert sniff(b"One line.\n", declared="text/markdown; charset=utf-8") == "text/markdown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"# Heading\n\nText with a [link](https://example.com).\n", "text/markdown"),
        (b"Heading\n=======\n\n.. note::\n\n   Text.\n\n:Author: Ada\n", "text/x-rst"),
        (b"a,b,c\n1,2,3\n4,5,6\n", "text/csv"),
        (b"a;b\n1;2\n4;5\n", "text/csv"),
        (b"a\tb\n1\t2\n4\t5\n", "text/tab-separated-values"),
        (b"Dear customer, thank you.\nWe got it.\nAll the best.\n", "text/plain"),
        (b"Note: this is\nonly: text with colons\n", "text/plain"),
        (b"[Home] is where {braces} live", "text/plain"),
        (b"{not json at all", "text/plain"),
        (b"<div><p>A fragment of a page</p></div>", "text/html"),
        ("<html><body>Grüße</body></html>".encode("utf-16"), "text/html"),
        (b"<p>%PDF-1.4 is how a PDF starts</p>", "text/html"),
        (b"\xef\xbb\xbf<!-- c --><!DOCTYPE html><p>x</p>", "text/html"),
    ],
)
def test_nameless_text_is_told_by_its_shape(text: bytes, expected: str) -> None:
    assert sniff(text) == expected


@pytest.mark.parametrize(
    ("data", "code", "way_out"),
    [
        (b"", "empty", "empty"),
        (b" \r\n\t\x00", "empty", "empty"),
        (bytes(range(256)) * 8, "unsupported", "binary"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported", "OCR"),
        (b"\x1f\x8b\x08" + bytes(100), "unsupported", "unpack"),
        (b"PK\x03\x04" + bytes(100), "corrupt", "fetch it again"),
        (sample_files.docx()[:2000], "corrupt", "fetch it again"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1024), "unsupported", "current format"),
    ],
)
def test_what_is_no_document_is_named_with_the_way_out(data: bytes, code: str, way_out: str) -> None:
    with pytest.raises(ParseError, match=way_out) as caught:
        sniff(data, name="document.docx")
    assert caught.value.code == code


def test_an_office_file_locked_by_a_password_is_named() -> None:
    with pytest.raises(ParseError, match="password") as caught:
        sniff(sample_files.locked_office_file(), name="secret.docx")
    assert caught.value.code == "encrypted"
