"""The handbook is long enough, its files open, and it promises what the back end does."""

import re
from decimal import Decimal
from pathlib import Path

import docx
import openpyxl
import pypdf
import pytest

from examples.shop import build_handbook
from examples.shop.backend.seed import Seed
from examples.shop.policy import (
    BUSINESS_RETURN_DAYS,
    COUNTRIES,
    HEAVY_PARCEL_SURCHARGE,
    OPENED_HEADPHONES_RETURN_DAYS,
    OPENED_RETURN_DAYS,
    RATES,
    REFUND_WORKING_DAYS,
    UNOPENED_RETURN_DAYS,
)

HANDBOOK = Path(build_handbook.__file__).parent / "handbook"
WORDS_PER_PAGE = 450


def chapter(name: str) -> str:
    return (HANDBOOK / name).read_text(encoding="utf-8")


def markdown() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(HANDBOOK.glob("*.md"))}


def pdf_pages() -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(HANDBOOK / "warranty-terms.pdf").pages]


def docx_text() -> str:
    document = docx.Document(str(HANDBOOK / "repair-centre-manual.docx"))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([paragraph.text for paragraph in document.paragraphs] + cells)


def sheets() -> dict[str, list[tuple[object, ...]]]:
    book = openpyxl.load_workbook(HANDBOOK / "shipping-rates-and-prices.xlsx")
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def flat(text: str) -> str:
    return " ".join(text.split())


def words(text: str) -> int:
    return len(re.findall(r"\w+(?:[.,:’'-]\w+)*", text))


def everything() -> dict[str, str]:
    return {**markdown(), "warranty-terms.pdf": "\n".join(pdf_pages()), "repair-centre-manual.docx": docx_text()}


def test_the_handbook_has_at_least_25_pages_and_12000_words() -> None:
    prose = sum(words(text) for text in markdown().values()) + words(docx_text())
    pages = prose / WORDS_PER_PAGE + len(pdf_pages())

    assert prose + sum(words(page) for page in pdf_pages()) >= 12_000
    assert pages >= 25


def test_every_chapter_is_markdown_with_one_title_and_sections() -> None:
    for name, text in markdown().items():
        titles = re.findall(r"^# .+$", text, re.MULTILINE)
        assert len(titles) == 1, name
        assert text.startswith(titles[0]), name
        assert len(re.findall(r"^## .+$", text, re.MULTILINE)) >= 4, name


def test_rows_of_a_table_have_as_many_cells_as_its_header() -> None:
    sources = [*HANDBOOK.glob("*.md"), *(HANDBOOK.parent / "sources").glob("*.md")]
    for path in sources:
        blocks = build_handbook.read_blocks(path.read_text(encoding="utf-8"))
        for block in (block for block in blocks if block.kind == "table"):
            assert {len(row) for row in block.rows} == {len(block.rows[0])}, (path.name, block.lines[0])


def test_one_sentence_says_how_long_opened_headphones_may_be_returned() -> None:
    sentence = f"Opened headphones may be returned within {OPENED_HEADPHONES_RETURN_DAYS} days of delivery"

    assert sentence in chapter("returns.md")
    assert f"Unopened products may be returned within {UNOPENED_RETURN_DAYS} days" in chapter("returns.md")
    assert f"opened products may be returned within {OPENED_RETURN_DAYS} days" in chapter("returns.md")


def test_business_customers_have_the_period_that_the_shop_grants_them() -> None:
    sentence = f"Business customers may return unopened products within {BUSINESS_RETURN_DAYS} days of delivery."

    assert sentence in chapter("business-customers.md")
    assert "Opened products cannot be returned by business customers" in chapter("business-customers.md")


def test_all_files_that_state_the_return_period_of_headphones_state_the_same() -> None:
    stated = {
        (name, int(days))
        for name, text in everything().items()
        for days in re.findall(r"[Oo]pened[^.|]*headphones[^.|]*?(\d+) days", flat(text))
    }

    assert {days for _, days in stated} == {OPENED_HEADPHONES_RETURN_DAYS}


def test_the_refund_is_promised_within_the_same_time_wherever_it_is_promised() -> None:
    promises = re.findall(r"refunds the purchase price within (\d+) working days", flat(chapter("returns.md")))
    pdf = re.findall(r"Refund after the decision (\d+) working days", flat("\n".join(pdf_pages())))

    assert promises == pdf == [str(REFUND_WORKING_DAYS)]


def test_the_shipping_chapter_states_the_rates_that_the_shop_charges() -> None:
    text = chapter("shipping.md")
    for rates in RATES.values():
        free = f"€{rates.free_from}" if rates.free_from else "never"
        zone = f"{rates.zone} {rates.name}"
        assert f"| {zone} | €{rates.standard} | {free} | {rates.standard_days} |" in text
        assert f"| {zone} | €{rates.express} | {rates.express_days} |" in text
        assert f"| {zone} | €{rates.freight} |" in text
        assert f"| {zone} | {', '.join(COUNTRIES[rates.zone])} |" in text
    assert f"surcharge of €{HEAVY_PARCEL_SURCHARGE:.0f}" in text
    assert f"ships to {sum(map(len, COUNTRIES.values()))} countries" in text


def test_the_workbook_states_the_rates_and_prices_that_the_shop_charges() -> None:
    book = sheets()
    standard = {row[0]: Decimal(str(row[2])) for row in book["Shipping rates"][1:]}
    prices = {row[0]: Decimal(str(row[4])) for row in book["Price list"][1:]}
    countries = {row[0]: row[1] for row in book["Countries"][1:]}

    assert standard == {zone: rates.standard for zone, rates in RATES.items()}
    assert prices == {product.sku: product.price.amount for product in Seed.load().products}
    assert countries == {name: zone for zone, names in COUNTRIES.items() for name in names}
    assert ("New battery for Petrel headphones", "€49") in book["Repair prices"]


def test_every_price_that_a_guide_gives_for_a_product_is_its_price() -> None:
    guides = "\n".join(chapter(f"{name}-guide.md") for name in ("headphones", "speakers", "turntables-and-electronics"))
    stated = {
        (product.name, Decimal(price.replace(",", "")))
        for product in Seed.load().products
        for price in re.findall(rf"^\| {product.name} \| [^€\n]*€([\d,]+)", guides, re.MULTILINE)
        + re.findall(rf"The {product.name} costs €([\d,]+)", guides)
    }

    assert len(stated) >= 20
    assert stated <= {(product.name, product.price.amount) for product in Seed.load().products}


@pytest.mark.parametrize("group", ["Headphones", "Earphones", "Portable speakers", "Soundbars", "Turntables"])
def test_the_warranty_terms_give_the_warranty_that_the_catalogue_gives(group: str) -> None:
    years = {product.warranty_years for product in Seed.load().products if product.category == group.lower()}
    row = re.search(rf"{group} [A-Z][\w, ]+? (\d+) years", flat("\n".join(pdf_pages())))

    assert row is not None
    assert {int(row[1])} == years


def test_warranty_of_the_faults_chapter_is_that_of_the_terms() -> None:
    sentence = "5 years for passive loudspeakers"

    assert sentence in flat(chapter("faulty-products.md"))
    assert "The warranty on passive loudspeakers lasts 5 years." in flat("\n".join(pdf_pages()))


@pytest.mark.parametrize(
    "pattern",
    [
        r"diagnosis fee(?: outside the warranty)?(?: is| of) €(\d+)",
        r"(?:repair centre )?employs (\d+) technicians",
        r"[Ee]stimate is (?:sent within 3 working days of arrival and is )?valid for (\d+) days",
        r"Tidewell Care (?:must|can) be bought (?:with the product or )?within (\d+) days",
        r"excess of €(\d+)",
    ],
)
def test_a_figure_that_several_files_state_is_the_same_in_all(pattern: str) -> None:
    stated = [value for text in everything().values() for value in re.findall(pattern, flat(text))]

    assert len(stated) >= 2
    assert len(set(stated)) == 1


def test_the_pdf_contains_all_headings_of_its_source_over_several_pages() -> None:
    source = (HANDBOOK.parent / "sources" / "warranty-terms.md").read_text(encoding="utf-8")
    pages = pdf_pages()
    text = flat("\n".join(pages))

    assert len(pages) >= 4
    for heading in re.findall(r"^#+ (.+)$", source, re.MULTILINE):
        assert heading in text


def test_the_docx_has_the_headings_tables_and_fresh_numbering_of_its_source() -> None:
    source = (HANDBOOK.parent / "sources" / "repair-centre-manual.md").read_text(encoding="utf-8")
    blocks = list(build_handbook.read_blocks(source))
    document = docx.Document(str(HANDBOOK / "repair-centre-manual.docx"))
    headings = [paragraph.text for paragraph in document.paragraphs if paragraph.style.name.startswith("Heading")]
    numberings = {
        paragraph._p.pPr.numPr.numId.val for paragraph in document.paragraphs if paragraph.style.name == "List Number"
    }

    assert headings == [block.lines[0] for block in blocks if block.kind == "heading"]
    tables = [[[cell.text for cell in row.cells] for row in table.rows] for table in document.tables]
    assert tables == [block.rows for block in blocks if block.kind == "table"]
    assert len(numberings) == sum(block.kind == "numbers" for block in blocks)


def test_building_twice_gives_the_same_bytes() -> None:
    assert build_handbook.build() == build_handbook.build()
