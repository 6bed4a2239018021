"""Whatever the bytes, there is text or a reason; a page never starts outside of the text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsing import ParseError
from ingest.parsing.dispatch import parse
from ingest.parsing.normalising import joined_pages, normalised
from tests.support import sample_files

_STARTS = [
    b"",
    b"%PDF-1.4\n",
    b"{\\rtf1 ",
    b"<html><p>",
    b"<?xml version='1.0'?><a>",
    b'{"a": ',
    b"From: a\nTo: b\nSubject: ",
    b"PK\x03\x04",
]
_DOCUMENTS = [make() for kind, make in sample_files.SAMPLES.items() if kind != "pptx"]
_NAMES = st.sampled_from(["a", "a.md", "a.csv", "a.rst", "a.html", "a.eml", "a.docx", "a.json"])


@settings(max_examples=40, deadline=None)
@given(start=st.sampled_from(_STARTS), rest=st.binary(max_size=300), name=_NAMES)
def test_any_bytes_give_text_or_a_reason(start: bytes, rest: bytes, name: str) -> None:
    check(start + rest, name)


@settings(max_examples=25, deadline=None)
@given(document=st.sampled_from(_DOCUMENTS), cut=st.floats(0, 1), flip=st.integers(0, 255), name=_NAMES)
def test_damaged_documents_give_text_or_a_reason(document: bytes, cut: float, flip: int, name: str) -> None:
    at = int(len(document) * cut)
    check(document[:at], name)
    check(document[:at] + bytes([flip]) + document[at + 1 :], name)


@given(st.lists(st.text()))
def test_pages_start_inside_the_text_and_in_order(pages: list[str]) -> None:
    text, starts = joined_pages(pages)
    assert len(starts) == len(pages)
    assert list(starts) == sorted(starts)
    for page, start in zip(pages, starts, strict=True):
        assert text[start:].startswith(normalised(page))


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def check(data: bytes, name: str) -> None:
    try:
        document = parse(data, name=name)
    except ParseError as error:
        assert str(error)
        return
    assert document.text.strip()
    assert "\0" not in document.text
    document.text.encode()
    assert all(0 <= start <= len(document.text) for start in document.page_starts)
