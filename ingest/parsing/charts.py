"""The values that a chart in an office document shows (ECMA-376 part 1, 21.2)."""

from itertools import zip_longest
from typing import Any


def chart_rows(root: Any) -> tuple[str, list[list[str]]]:
    """Title and table of a chart: a head with the names of its series, then a row for each category."""
    title = "".join(node.text or "" for node in root.iterfind(".//{*}chart/{*}title//{*}t"))
    series = list(root.iter("{*}ser"))
    if not series:
        return title, []
    categories = next((found for one in series for path in ("cat", "xVal") if (found := _points(one, path))), [])
    columns = [_points(one, "val") or _points(one, "yVal") for one in series]
    names = [" ".join(_points(one, "tx")) or f"Series {index}" for index, one in enumerate(series, 1)]
    return title, [["", *names], *(list(row) for row in zip_longest(categories, *columns, fillvalue=""))]


def _points(series: Any, name: str) -> list[str]:
    return [_shown((point.text or "").strip()) for point in series.iterfind(f"{{*}}{name}//{{*}}pt/{{*}}v")]


def _shown(value: str) -> str:
    """Numbers are stored with all their binary digits; people see fifteen at most."""
    try:
        return f"{float(value):.15g}"
    except ValueError:
        return value
