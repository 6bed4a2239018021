"""Formats that are text already: prose, tables, notebooks and data."""

import csv
import io
import json

from ingest.parsing.decoding import decoded
from ingest.parsing.extracted import Extracted
from ingest.parsing.tables import pipe_table

_CSV_SAMPLE = 16 << 10
_LONGEST_CELL = 1 << 30


def prose(data: bytes, _media_type: str) -> Extracted:
    """Plain text, as it stands."""
    return Extracted(pages=(decoded(data),))


def table(data: bytes, media_type: str) -> Extracted:
    """Comma- or tab-separated values as a table with pipes."""
    csv.field_size_limit(_LONGEST_CELL)
    text = decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    delimiter = "\t" if media_type == "text/tab-separated-values" else _delimiter(text[:_CSV_SAMPLE])
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))]
    return Extracted(pages=(pipe_table(rows),))


def notebook(data: bytes, _media_type: str) -> Extracted:
    """A Jupyter notebook: its prose, its code in fences, and what the code printed."""
    document = json.loads(decoded(data))
    cells = [cell for cell in document.get("cells", []) if isinstance(cell, dict)]
    text = "\n\n".join(filter(None, map(_notebook_cell, cells)))
    return Extracted(pages=(text,), title=document.get("metadata", {}).get("title"))


def structured(data: bytes, _media_type: str) -> Extracted:
    """JSON, indented so that it can be cut between lines; characters written as escapes become readable."""
    text = decoded(data)
    try:
        return Extracted(pages=(json.dumps(json.loads(text), ensure_ascii=False, indent=1),))
    except ValueError:
        return Extracted(pages=(text,))


def _delimiter(sample: str) -> str:
    """The separator that cuts most lines into the same number of columns, more than one."""
    lines = [line for line in sample.splitlines()[:50] if line.strip()]

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual), usual) if usual > 1 else (0, 0)

    return max(",;\t|", key=agreement)


def _notebook_cell(cell: dict[str, object]) -> str:
    source = _joined(cell.get("source"))
    if cell.get("cell_type") != "code":
        return source
    outputs = cell.get("outputs")
    results = [_printed(output) for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    parts = [("python", source), *(("", result) for result in results)]
    return "\n\n".join(f"```{language}\n{part}\n```" for language, part in parts if part)


def _printed(output: dict[str, object]) -> str:
    data = output.get("data")
    return _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None)).strip("\n")


def _joined(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")
