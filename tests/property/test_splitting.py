"""Chunks rebuild the text, advance through it, cover it, know their table and fit the embedder's window."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.splitting import fit_title, split
from retrieval.documents import Document
from retrieval.indexing import searchable_text
from tests.support.embedder import HashEmbedder


@dataclass(frozen=True)
class Text:
    text: str
    page_starts: tuple[int, ...] = ()


WORDS = st.sampled_from(
    ["shop", "return", "the", "42", "Straße", "返品", "。", "e.g.", "Dr.", "ok.", "Why?", "“Yes.”", "\x00", "e\u0301"]
)
SENTENCE = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
LINE = st.one_of(
    SENTENCE,
    SENTENCE.map(lambda s: "# " + s),
    SENTENCE.map(lambda s: "### " + s + " ##"),
    SENTENCE.map(lambda s: "- " + s),
    SENTENCE.map(lambda s: "| " + s + " | 1 |"),
    st.sampled_from(["|---|:-:|", "| Model | Price |\n| --- | --- |"]),
    st.sampled_from(["", "```", "~~~~", "===", "---", "    # code", "```python", "\t", "\r"]),
    st.integers(1, 900).map(lambda n: "x" * n),
    st.integers(1, 300).map(lambda n: "語" * n),
    st.text(max_size=80),
)
MARKDOWN = st.lists(LINE, max_size=40).map("\n".join)


DOCUMENT = Document(
    id="d",
    tenant="t",
    collection="c",
    uri="u",
    title="",
    media_type="text/markdown",
    version="v",
    acl=("public",),
    metadata={},
    trust="untrusted",
    size=0,
    chunk_count=0,
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
    updated_at=datetime(2024, 1, 1, tzinfo=UTC),
)


@st.composite
def parsed(draw: st.DrawFn) -> Text:
    text = draw(MARKDOWN)
    starts = draw(st.lists(st.integers(0, max(0, len(text) - 1)), max_size=4, unique=True).map(sorted))
    return Text(text, (0, *(s for s in starts if s)) if starts else ())


@settings(max_examples=250, deadline=None)
@given(parsed(), st.text(max_size=300), st.sampled_from([24, 64, 256]))
def test_chunks_rebuild_advance_cover_and_fit(document: Text, title: str, window: int) -> None:
    embedder = HashEmbedder(window=window)
    title = fit_title(title, embedder)
    chunks = split(document, title, embedder)

    position = 0
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert chunk.start >= position
        assert not document.text[position : chunk.start].strip()
        assert chunk.text == chunk.text.strip()
        assert chunk.text
        embedded = searchable_text(replace(DOCUMENT, title=title), chunk)
        assert embedder.count_tokens(embedded) <= window
        position = chunk.end
    assert not document.text[position:].strip()


@given(parsed())
@settings(max_examples=50, deadline=None)
def test_a_chunk_names_the_page_it_starts_on_and_stays_on_it(document: Text) -> None:
    for chunk in split(document, "", HashEmbedder()):
        if not document.page_starts:
            assert chunk.page is None
            continue
        assert chunk.page is not None
        assert document.page_starts[chunk.page - 1] <= chunk.start


@st.composite
def table(draw: st.DrawFn) -> tuple[str, str, str]:
    """A header row, a delimiter row, and rows that may be longer than any window."""
    cell = st.one_of(SENTENCE, st.sampled_from(["", "a \\| b", "x" * 500]))
    width = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from(["Model", "Price", "a \\| b", "返品", ""]), min_size=width, max_size=width))
    rows = draw(st.lists(st.lists(cell, min_size=1, max_size=width), max_size=30))
    header = f"| Key | {' | '.join(names)} |"
    rule = f"|{draw(st.sampled_from([' --- |', ':-:|', '-' * 90 + '|'])) * (width + 1)}"
    return header, rule, "\n".join(f"| {' | '.join(row)} |" for row in rows)


@settings(max_examples=100, deadline=None)
@given(MARKDOWN, table(), MARKDOWN, st.sampled_from([24, 64, 256]))
def test_a_chunk_that_begins_inside_a_table_carries_its_head(
    before: str, given: tuple[str, str, str], after: str, window: int
) -> None:
    # A heading on either side closes whatever is open there, except a fence.
    fenceless = before.replace("```", "").replace("~~~", "")
    above = f"{fenceless}\n\n# Above\n\n"
    rows = "\n".join(given)
    text = f"{above}{rows}\n\n# Below\n\n{after}"
    embedder = HashEmbedder(window=window)
    start, end = len(above), len(above + rows)
    position = 0

    for chunk in split(Text(text), "", embedder):
        assert embedder.count_tokens(searchable_text(DOCUMENT, chunk)) <= window
        whole = len(embedder.token_spans(given[0])) <= window // 4
        if start < chunk.start < end and (whole or "\n" in text[position : chunk.start]):
            header, rule = chunk.table_head.split("\n")
            assert given[0].startswith(header)
            assert len(embedder.token_spans(header)) <= window // 4
            assert (header == given[0]) is whole
            assert rule.count("---") == header.replace("\\|", "").count("|") - 1 >= 1
        elif start <= chunk.start < end:
            assert chunk.table_head == ""
        position = chunk.end
