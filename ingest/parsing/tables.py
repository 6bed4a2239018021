"""Tables as Markdown."""

from collections.abc import Sequence


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table whose first row is the head.

    Short rows are filled up; rows without any text are left out, and so are columns.
    """
    filled = [row for row in ([" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows) if any(row)]
    width = max(map(len, filled), default=0)
    even = [[*row, *[""] * (width - len(row))] for row in filled]
    columns = [index for index in range(width) if any(row[index] for row in even)]
    lines = ["| " + " | ".join(row[index] for index in columns) + " |" for row in even]
    return "\n".join([lines[0], "|" + " --- |" * len(columns), *lines[1:]]) if lines else ""
