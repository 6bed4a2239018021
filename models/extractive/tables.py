"""Answers from tables: of a long row only what was asked for, or one column read downwards."""

from collections.abc import Sequence
from dataclasses import replace

from models.extractive.sentences import Cells, Sentence, row_text
from models.extractive.words import terms, word_count

_WIDE = 3
_COLUMN_WORDS = 45


def fitted(row: Sentence, question: str, sentences: Sequence[Sentence]) -> Sentence:
    """A table's row cut to the question; anything else as it is.

    A question that names a row gets that row, with the columns that it names. One that names a column and no row (`the
    opening hours of the Dublin store` in a table of days) gets the column, where it is short enough. So does one that
    names what the rows are (`Which payment methods are there?`).
    """
    if len(row.cells) < _WIDE:
        return row
    wanted = set(terms(question))
    table = [one for one in sentences if one.rank == row.rank and _header(one.cells) == _header(row.cells)]
    named = [cell for cell in row.cells[1:] if wanted & set(terms(cell[0]))]
    if not any(wanted & set(terms(one.cells[0][1])) for one in table):
        column = _column(named, [one.cells for one in table], wanted)
        if column and word_count(column) <= _COLUMN_WORDS:
            return replace(row, text=column)
    if not named or len(named) == len(row.cells) - 1:
        return row
    return replace(row, text=row_text((row.cells[0], *named)))


def _header(cells: Cells) -> str:
    return cells[0][0] if cells else ""


def _column(named: Sequence[tuple[str, str]], rows: Sequence[Cells], wanted: set[str]) -> str:
    """The one column that the question names, with the first cell of each row; `""` when it names none or several."""
    first = rows[0][0][0]
    if len(named) == 1:
        pairs = [(cells[0][1], cell) for cells in rows for header, cell in cells[1:] if header == named[0][0]]
        return f"{named[0][0]}: {'; '.join(f'{key} {cell}' for key, cell in pairs)}."
    if not named and wanted & set(terms(first)):
        return f"{first}: {'; '.join(cells[0][1] for cells in rows)}."
    return ""
