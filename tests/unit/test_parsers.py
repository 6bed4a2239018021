"""Every format gives its text as Markdown, and what gives none says why."""

import pytest

from ingest.parsing import ParsedDocument, ParseError
from ingest.parsing.dispatch import parse
from tests.support import sample_files
from tests.support.sample_files import HEADING, SAMPLES, SENTENCE


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_format_gives_its_text(kind: str) -> None:
    assert SENTENCE in parse(SAMPLES[kind](), name=f"document.{kind}").text


@pytest.mark.parametrize("kind", ["pdf", "docx", "pptx", "msg", "html", "epub", "odt", "odp", "ipynb", "md", "rst"])
def test_headings_become_heading_lines_and_the_title(kind: str) -> None:
    document = parse(SAMPLES[kind](), name=f"document.{kind}")
    assert f"# {HEADING}\n" in document.text
    assert document.title in {HEADING, "Handbook"}


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "html", "csv"])
def test_tables_become_rows_with_pipes(kind: str) -> None:
    lines = parse(SAMPLES[kind](), name=f"document.{kind}").text.splitlines()
    assert any(line.startswith("| Headphones | 30 |") for line in lines)


def test_pages_start_where_they_say() -> None:
    document = parse(sample_files.pdf("First page.", "Second page.", "Third page."))
    assert [page.split("\n\n")[-1] for page in pages_of(document)] == ["First page.", "Second page.", "Third page."]


def test_a_slide_is_a_page_with_its_table_chart_group_and_notes() -> None:
    first, second = pages_of(parse(sample_files.pptx()))
    assert first == f"# {HEADING}\n\n{SENTENCE}\n\nNotes: Mention the exception for hygiene."
    assert second.startswith("# Figures\n\n")
    assert "| January | 12 |\n| February | 34.5 |" in second
    assert "Grouped text" in second


def test_an_opendocument_slide_is_a_page() -> None:
    assert pages_of(parse(sample_files.odp())) == [f"# {HEADING}\n\n{SENTENCE}", "Second slide"]


def test_a_word_document_says_what_word_only_shows() -> None:
    text = parse(sample_files.numbered_docx()).text
    assert "# 1. Orders\n\n# 2. Returns" in text
    assert "[x] Packed [ ] Sent" in text
    assert "| January | 12 |\n| February | 34.5 |" in text


def test_a_page_without_text_still_counts() -> None:
    document = parse(sample_files.pdf("First page.", "", "Third page."))
    assert len(document.page_starts) == 3


def test_cells_keep_their_values() -> None:
    text = parse(sample_files.xlsx()).text
    assert f"## {HEADING}" in text
    assert "| 4 | 0.25 | 2026-03-01 00:00:00 | true |" in text
    assert "## Prices" in text


def test_a_mail_keeps_who_wrote_what_about_what() -> None:
    text = parse(sample_files.eml()).text
    for part in (HEADING, "ada@example.com", "shop@example.com", "2026"):
        assert part in text


def test_a_mail_in_html_is_read_and_its_attachments_are_named() -> None:
    document = parse(sample_files.html_mail())
    assert document.title == f"Grüße: {HEADING}"
    assert document.text.endswith(f"{SENTENCE}\n\nZoë\n\nAttachments: invoice.pdf")


def test_a_feed_gives_its_articles_below_their_titles() -> None:
    assert parse(sample_files.feed()).text == f"## {HEADING}\n\nMon, 2 Mar 2026\n\n{SENTENCE}\n\n- one"


def test_an_article_in_xml_keeps_its_sections() -> None:
    text = parse(sample_files.article()).text
    assert text == f"# {HEADING}\n\n# Rules\n\n{SENTENCE} No fee.\n\n## Exceptions\n\nNone."


def test_data_in_xml_keeps_names_beside_values() -> None:
    text = parse(b"<order id='7'><item><name>Box</name><price>3</price></item></order>").text
    assert text == "order:\n  id: 7\n  item:\n    name: Box\n    price: 3"


def test_blocks_of_a_sheet_are_tables_of_their_own() -> None:
    lines = parse(sample_files.two_block_xlsx()).text
    assert lines == "| a | b |\n| --- | --- |\n| 1 | snake_case *x* |\n\n| c |\n| --- |\n| 2 |"


def test_a_notebook_keeps_prose_code_and_output() -> None:
    text = parse(sample_files.ipynb()).text
    assert "```python\nprint(6 * 7)\n```\n\n```\n42\n```" in text


def test_json_escapes_become_characters() -> None:
    assert "Zürich" in parse(b'{"city": "Z\\u00fcrich", "n": [1, 2]}').text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_read_in_every_encoding(encoding: str) -> None:
    assert parse("Grüße aus Zürich, sagt die Übersicht.".encode(encoding)).text.startswith("Grüße aus Zürich")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp932", "名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n高橋淳,35,名古屋\n"),
        ("cp1252", "Müller,Straße,Größe\nJäger,Mühlweg,groß\nSchäfer,Königsallee,größer\n"),
    ],
)
def test_older_encodings_are_told_by_their_statistics(encoding: str, text: str) -> None:
    assert text.split(",")[0] in parse(text.encode(encoding), name="people.csv").text


def test_a_declared_encoding_is_believed() -> None:
    page = '<html><head><meta charset="koi8-r"></head><body><p>Возврат товара</p></body></html>'
    assert parse(page.encode("koi8-r")).text == "Возврат товара"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a;b\n1;2,5\n3;4,5\n", "| a | b |\n| --- | --- |\n| 1 | 2,5 |\n| 3 | 4,5 |"),
        (b'a,b\r\n"x, ""y""",2\r\n', '| a | b |\n| --- | --- |\n| x, "y" | 2 |'),
        (b"a,b\n1\n1,2,3\n", "| a | b |  |\n| --- | --- | --- |\n| 1 |  |  |\n| 1 | 2 | 3 |"),
        (b"a|b\n1|2\n", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    ],
)
def test_tables_of_text_are_cut_at_the_delimiter_they_use(data: bytes, expected: str) -> None:
    assert parse(data, name="table.csv").text == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>one<br>two  <b>bold</b></p>", "one\ntwo bold"),
        ("<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>", "- one\n  - inner\n- two"),
        ("<ol><li>one<li>two</ol>", "1. one\n2. two"),
        ("<a href='/x'><h2>Card</h2><p>text</p></a>", "## Card\n\ntext"),
        ("<p>See <a href='https://example.com/a b'>there</a>.</p>", "See [there](https://example.com/a%20b)."),
        ("<p>See <a href='#top'>there</a></p>", "See there"),
        ("<pre>a\n  b</pre>", "```\na\n  b\n```"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<p hidden>no</p><p style='display: none'>no</p><template>no</template><p>yes</p>", "yes"),
        (
            "<table><tr><th rowspan=2>a<th colspan=2>b<tr><td>c<td>d|e</table>",
            "| a | b | b |\n| --- | --- | --- |\n| a | c | d\\|e |",
        ),
        ("<table role=presentation><tr><td>left<td>right</table>", "left\n\nright"),
        ("<p>H<sub>2</sub>O</p>", "H2O"),
        ("<img alt='The box, opened'><img alt='logo.png'>", "The box, opened"),
        ("<p>a<!-- no -->b</p>", "ab"),
    ],
)
def test_a_page_gives_what_a_reader_sees(markup: str, expected: str) -> None:
    assert parse(f"<html><body>{markup}</body></html>".encode()).text == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("---\ntitle: Handbook\ntags: [a]\n---\n# One\n", "# One"),
        ("# One\n\n<table><tr><td>a</td></tr><tr><td>b</td></tr></table>\n", "# One\n\na\n\nb"),
        ("One\n===\n\nTwo\n---\n\ntext\n", "# One\n\n## Two\n\ntext"),
        ("`<b>` and <b>bold</b> and <order-id>\n", "`<b>` and bold and <order-id>"),
        ("```html\n<p>code</p>\n```\n", "```html\n<p>code</p>\n```"),
        ("1 \\* 2 and ![The box](box.png)\n", "1 * 2 and The box"),
        ("\\# not a heading\n", "\\# not a heading"),
    ],
)
def test_markdown_is_made_plainer(source: str, expected: str) -> None:
    assert parse(source.encode(), name="a.md").text == expected


def test_text_below_hundreds_of_elements_is_read() -> None:
    page = b"<html><body>" + b"<div>" * 280 + b"deep" + b"</div>" * 280 + b"<p>end</p></body></html>"
    assert parse(page).text == "deep\n\nend"


def test_a_title_in_front_matter_is_the_title() -> None:
    assert parse(b'---\ntitle: "Hand book"\n---\ntext\n', name="a.md").title == "Hand book"


def test_text_is_cleaned_of_what_nobody_reads() -> None:
    document = parse(b"\xef\xbb\xbfone\r\ntwo \x00\x07\rthree   \n\n\n\n\n\nfour\n\n", name="a.txt")
    assert document.text == "one\ntwo\nthree\n\nfour"


@pytest.mark.parametrize(
    ("data", "code", "way_out"),
    [
        (sample_files.scanned_pdf(), "scanned", "OCR"),
        (sample_files.pdf(password="secret"), "encrypted", "password"),
        (sample_files.pdf()[:500], "corrupt", "cut off"),
        (b"%PDF-1.7 and then nothing", "corrupt", "PDF"),
        (b"<html><body><script>1</script></body></html>", "empty", "no text"),
        (b'{"cells": [], "nbformat": 4}', "empty", "no text"),
    ],
)
def test_what_gives_no_text_says_why(data: bytes, code: str, way_out: str) -> None:
    with pytest.raises(ParseError, match=way_out) as caught:
        parse(data)
    assert caught.value.code == code


def pages_of(document: ParsedDocument) -> list[str]:
    ends = [*document.page_starts[1:], len(document.text)]
    return [document.text[start:end].strip() for start, end in zip(document.page_starts, ends, strict=True)]
