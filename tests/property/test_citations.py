"""Citations depend on the text, never on how a stream cut it."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent.citations import CitationReader
from agent.events import Citation
from retrieval.documents import Source

SOURCES = [
    Source(
        document_id=f"d{number}",
        version="v",
        collection="c",
        uri="u",
        title="t",
        heading_path=(),
        page=None,
        start=0,
        end=1,
        text="x",
        trust="trusted",
        score=1.0,
    )
    for number in range(1, 4)
]
TEXT = st.lists(
    st.sampled_from(["A claim", " and more", ". ", "! ", "\n", "[1]", "[2, 3]", "[9]", "[", "]", " 🪨", "1", ","]),
    max_size=20,
).map("".join)


def read(pieces: Sequence[str]) -> list[Citation]:
    reader = CitationReader()
    return [citation for piece in pieces for citation in reader.read(piece, SOURCES)]


def cut(text: str, places: Sequence[int]) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(TEXT, st.lists(st.integers(0, 1000), max_size=8))
def test_however_a_stream_is_cut_the_citations_are_the_same(text: str, places: list[int]) -> None:
    assert read(cut(text, places)) == read([text])


@given(TEXT)
def test_every_citation_spans_text_in_front_of_its_marker(text: str) -> None:
    for citation in read([text]):
        assert 0 <= citation.start <= citation.end <= len(text)
        assert text[citation.start : citation.end].strip() == text[citation.start : citation.end]


def spans(text: str) -> list[tuple[int, str]]:
    return [(citation.label, text[citation.start : citation.end]) for citation in read([text])]


def test_a_marker_behind_a_sentence_cites_that_sentence() -> None:
    text = "Returns take 14 days. Opened ones are refused. [2] That is all."
    assert spans(text) == [(2, "Opened ones are refused.")]


def test_two_markers_in_one_sentence_cite_their_own_halves() -> None:
    assert spans("Gold is yellow [1] and silver is white [2].") == [(1, "Gold is yellow"), (2, "and silver is white")]


def test_neighbouring_markers_share_their_claim() -> None:
    assert spans("It floats. [1][2]") == [(1, "It floats."), (2, "It floats.")]
    assert spans("It floats [1, 3].") == [(1, "It floats"), (3, "It floats")]


def test_a_label_that_no_source_has_is_passed_over() -> None:
    assert spans("It floats. [9]") == []
