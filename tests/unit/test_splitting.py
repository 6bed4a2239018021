"""Where a text is cut, and what a chunk knows of its place."""

import pytest

from ingest.outline import first_heading, plain, sections
from ingest.parsing import ParsedDocument
from ingest.splitting import split
from retrieval.documents import Chunk
from tests.support.embedder import HashEmbedder


def chunks_of(text: str, *, pages: tuple[int, ...] = (), target: int = 20, window: int = 64) -> list[Chunk]:
    parsed = ParsedDocument(text=text, title=None, media_type="text/markdown", page_starts=pages, parser="none")
    return split(parsed, "", HashEmbedder(window=window), target=target)


def paths(text: str) -> list[tuple[str, ...]]:
    return [section.path for section in sections(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\na\n## B\nb\n# C\nc", [("A",), ("A", "B"), ("C",)]),
        ("### Deep\na\n## Up\nb", [("Deep",), ("Up",)]),
        ("Title\n=====\na\n\nPart\n---\nb", [("Title",), ("Title", "Part")]),
        ("# **Bold** [link](http://x) `code` ##\na", [("Bold link code",)]),
        ("#hashtag\n\n####### seven\n\n    # indented code", [()]),
        ("```sh\n# comment\n```\n# Real\na", [(), ("Real",)]),
        ("````\n```\n# still code\n````\n# Real\na", [(), ("Real",)]),
        ("~~~\n# code\n```\n# code\n~~~\n# Real\na", [(), ("Real",)]),
        ("```\n# an open fence runs to the end", [()]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n---\n- item\n---", [()]),
        ("---\n\ntext", [()]),
        ("# A\n## B\n### C\ntext", [("A", "B", "C")]),
        ("", []),
    ],
)
def test_headings_are_those_of_markdown(text: str, expected: list[tuple[str, ...]]) -> None:
    assert paths(text) == expected


def test_a_headings_marks_are_not_its_words() -> None:
    assert plain("__init__ and snake_case *now* {#id}") == "init and snake_case now"
    assert first_heading("intro\n\n# The title\n") == "The title"
    assert first_heading("no heading") is None


def test_a_chunk_ends_with_a_sentence_where_it_can() -> None:
    text = "Dr. Smith paid 3.50 euros. She left at 5 p.m. on Monday! Why? Nobody knows e.g. the reason. " * 4
    chunks = chunks_of(text)
    assert len(chunks) > 4
    assert all(chunk.text[-1] in ".!?" for chunk in chunks)
    assert not any(chunk.text.endswith(("Dr.", "e.g.")) for chunk in chunks)


def test_chinese_and_japanese_sentences_are_cut_without_spaces() -> None:
    chunks = chunks_of("退货期限为三十天。耳机打开后不能退货！为什么？因为卫生。" * 8)
    assert len(chunks) > 2
    assert all(chunk.text[-1] in "。！？" for chunk in chunks)


def test_a_table_is_cut_between_rows_and_code_between_lines() -> None:
    table = "\n".join(f"| product {n} | {n}.99 euros |" for n in range(30))
    code = "```\n" + "\n".join(f"call({n})  # and. so. on." for n in range(30)) + "\n```"
    for chunk in chunks_of(f"{table}\n\n{code}"):
        assert chunk.text.startswith(("|", "call", "```"))


TABLE = "| Model | Battery life |\n|:--|---------:|\n" + "\n".join(f"| Wren {n} | {n} hours |" for n in range(20))


def test_a_chunk_that_begins_inside_a_table_carries_its_head() -> None:
    first, *others = chunks_of(f"Models:\n\n{TABLE}\n\nThat is all.")
    assert (first.text.startswith("Models:"), first.table_head) == (True, "")
    assert len(others) > 5
    assert {chunk.table_head for chunk in others} == {"| Model | Battery life |\n| --- | --- |"}


@pytest.mark.parametrize(
    "text",
    [TABLE.replace("|:--|---------:|\n", ""), TABLE.replace("Model | Battery life", " | "), f"```\n{TABLE}\n```"],
    ids=["no delimiter row", "no names", "code"],
)
def test_what_has_no_header_row_gives_none(text: str) -> None:
    chunks = chunks_of(text)
    assert len(chunks) > 5
    assert {chunk.table_head for chunk in chunks} == {""}


def test_a_wide_header_is_cut_between_columns() -> None:
    header = "| " + " | ".join(f"Col {n}" for n in range(30)) + " |"
    chunks = chunks_of(f"{header}\n|{'---|' * 30}\n" + "| 1 |\n" * 60)
    assert chunks[-1].table_head == "| Col 0 | Col 1 | Col 2 | Col 3 | Col 4 |\n|" + " --- |" * 5


def test_the_rest_of_a_row_gets_no_head_that_lacks_columns() -> None:
    header = "| " + " | ".join(f"Col {n}" for n in range(30)) + " |"
    row = "| " + " | ".join(f"cell {n}" for n in range(30)) + " |"
    chunks = chunks_of(f"{header}\n|{'---|' * 30}\n{row}\n{row}")
    rests = [chunk for chunk in chunks if chunk.text.startswith("cell")]
    assert rests
    assert {chunk.table_head for chunk in rests} == {""}
    assert any(chunk.table_head for chunk in chunks if chunk.text.startswith("| cell 0"))


def test_a_line_without_a_break_is_cut_hard() -> None:
    chunks = chunks_of("x" * 5000)
    assert "".join(chunk.text for chunk in chunks) == "x" * 5000
    assert len(chunks) > 20


def test_chunks_are_about_equally_long() -> None:
    lengths = [len(chunk.text.split()) for chunk in chunks_of("Four short words here. " * 26, target=40)]
    assert max(lengths) - min(lengths) <= 4


def test_no_chunk_crosses_a_page_and_each_knows_its_own() -> None:
    first, second = "# Slide\n\nOne.\n", "Two goes on.\n"
    chunks = chunks_of(first + second, pages=(0, len(first)))
    assert [(chunk.page, chunk.heading_path, chunk.text) for chunk in chunks] == [
        (1, ("Slide",), "# Slide\n\nOne."),
        (2, ("Slide",), "Two goes on."),
    ]


def test_repeated_text_still_advances() -> None:
    chunks = chunks_of("The same sentence again.\n\n" * 50)
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})


def test_a_heading_path_longer_than_the_window_is_shortened_from_outside() -> None:
    text = "\n".join(f"{'#' * level} {'long ' * 30}{level}" for level in range(1, 6)) + "\ntext"
    [chunk, *_] = chunks_of(text)
    assert len(chunk.heading_path) < 5
    embedded = "\n".join([*chunk.heading_path, chunk.text])
    assert HashEmbedder().count_tokens(embedded) <= 64


@pytest.mark.parametrize(
    "text",
    ["# A\n" * 50_000, "." * 200_000, ". " * 100_000, "# " + "[a](" * 50_000, "# " + " #" * 100_000, "`" * 200_000],
    ids=["headings", "dots", "stops", "links", "closings", "fence"],
)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(text: str) -> None:
    """Each of these would take hours if anything were quadratic."""
    chunks = chunks_of(text)
    assert sum(len("".join(chunk.text.split())) for chunk in chunks) == len("".join(text.split()))
