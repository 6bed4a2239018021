"""The numbers that Word counts for headings but does not write down (ECMA-376 part 1, 17.9)."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_ROMAN = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_DEEPEST_STYLE = 20  # styles may be based on each other in a circle


def number_headings(document: Any, numbering: Any, styles: Any) -> bool:
    """Write each heading's number in front of its words; says whether there was any.

    Args:
        document: The root of ``word/document.xml``, which is changed.
        numbering: The root of ``word/numbering.xml``.
        styles: The root of ``word/styles.xml``.
    """
    lists = _Lists(numbering)
    known = {_value(style, "styleId"): _style(style) for style in styles.iter("{*}style")}
    changed = False
    for paragraph in document.iter("{*}p"):
        properties = paragraph.find("{*}pPr")
        if properties is None or paragraph.find(".//{*}t") is None:
            continue
        chain = list(_chain(known, _child_value(properties, "pStyle")))
        place = _place(properties) or next((style.numbering for style in chain if style.numbering), None)
        if place is None or place[0] == "0":  # 0 takes a paragraph out of every list
            continue
        number = lists.next(*place)
        if number and any(style.heading for style in chain):
            _prepend(paragraph, properties, f"{number} ")
            changed = True
    return changed


@dataclass(frozen=True, slots=True)
class _Level:
    """How one level of a list counts (ECMA-376 17.9.6)."""

    start: int
    format: str
    pattern: str


@dataclass(slots=True)
class _Style:
    numbering: tuple[str, int] | None
    heading: bool
    based_on: str | None


class _Lists:
    """The counters of all lists, moved on by each numbered paragraph."""

    def __init__(self, root: Any) -> None:
        levels = {
            _value(abstract, "abstractNumId"): {
                int(_value(level, "ilvl")): _Level(
                    start=_integer(_child_value(level, "start"), 1),
                    format=_child_value(level, "numFmt") or "decimal",
                    pattern=_child_value(level, "lvlText") or "",
                )
                for level in abstract.findall("{*}lvl")
            }
            for abstract in root.findall("{*}abstractNum")
        }
        self._lists = {_value(num, "numId"): _child_value(num, "abstractNumId") or "" for num in root.findall("{*}num")}
        self._levels = levels
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def next(self, list_id: str, depth: int) -> str:
        """The number of the next paragraph at this depth of this list, as it is shown; empty for a bullet."""
        abstract = self._lists.get(list_id, "")
        levels = self._levels.get(abstract, {})
        if depth not in levels:
            return ""
        counts = self._counts[abstract]
        counts[depth] = counts.get(depth, levels[depth].start - 1) + 1
        for deeper in [level for level in counts if level > depth]:
            del counts[deeper]
        shown = levels[depth].pattern if levels[depth].format not in ("bullet", "none") else ""
        for level, kind in levels.items():
            shown = shown.replace(f"%{level + 1}", _shown(counts.get(level, kind.start), kind.format))
        return shown


def _style(style: Any) -> _Style:
    name = (_child_value(style, "name") or "").lower()
    properties = style.find("{*}pPr")
    return _Style(
        numbering=None if properties is None else _place(properties),
        heading=name.startswith("heading") or (properties is not None and properties.find("{*}outlineLvl") is not None),
        based_on=_child_value(style, "basedOn"),
    )


def _chain(styles: dict[str, _Style], name: str | None) -> Iterator[_Style]:
    for _ in range(_DEEPEST_STYLE):
        if name is None or name not in styles:
            return
        yield styles[name]
        name = styles[name].based_on


def _place(properties: Any) -> tuple[str, int] | None:
    """List and depth that a paragraph or a style asks for."""
    place = properties.find("{*}numPr")
    if place is None or (list_id := _child_value(place, "numId")) is None:
        return None
    return list_id, _integer(_child_value(place, "ilvl"), 0)


def _prepend(paragraph: Any, properties: Any, text: str) -> None:
    """Put the words in front and take the paragraph out of its list, or it would be numbered twice."""
    from lxml import etree

    space = paragraph.tag.rpartition("}")[0] + "}"
    run = etree.Element(f"{space}r")
    etree.SubElement(run, f"{space}t", {"{http://www.w3.org/XML/1998/namespace}space": "preserve"}).text = text
    properties.addnext(run)
    for place in properties.findall("{*}numPr"):
        properties.remove(place)
    if properties.find("{*}pStyle") is not None:  # which may number it as well
        etree.SubElement(etree.SubElement(properties, f"{space}numPr"), f"{space}numId").set(f"{space}val", "0")


def _shown(count: int, kind: str) -> str:
    match kind:
        case "lowerLetter" | "upperLetter":
            letter = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
            return letter if kind == "lowerLetter" else letter.upper()
        case "lowerRoman" | "upperRoman":
            roman = _roman(count)
            return roman if kind == "lowerRoman" else roman.upper()
        case "decimalZero":
            return f"{count:02}"
        case _:
            return str(count)


def _roman(count: int) -> str:
    shown = ""
    for value, letters in _ROMAN:
        shown += letters * (count // value)
        count %= value
    return shown


def _value(element: Any, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _child_value(element: Any, name: str) -> str | None:
    child = element.find(f"{{*}}{name}")
    return None if child is None else _value(child, "val")


def _integer(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() else default
