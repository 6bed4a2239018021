"""What a sentence mentions that an argument can be: numbers, names, quotations, addresses, each with its place."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

Span = tuple[int, int]

_NUMBER = re.compile(
    r"(?<![\w.^*])(?<!\d[-/:])(?<![A-Za-z]-)(?P<sign>[-−])?(?P<money>[$€£¥]\s?)?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<scale>\s?(?:(?-i:k)|thousand|million|billion|bn)\b)?(?P<percent>\s?(?:%|per ?cent\b))?(?![\w]*[-/:]\d)",
    re.IGNORECASE,
)
_COUNTING = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_WORD_NUMBERS = {word: number for number, word in enumerate(_COUNTING.split()) if number > 1} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "hundred": 100,
    "dozen": 12,
}
_WORD_NUMBER = re.compile(rf"\b(?:{'|'.join(_WORD_NUMBERS)})\b", re.IGNORECASE)
_SCALES = {"k": 1_000, "thousand": 1_000, "million": 1_000_000, "bn": 10**9, "billion": 10**9}
_QUOTED = re.compile(r"[\"“„«](?P<double>[^\"“”„«»]{1,200})[\"”»]|(?<!\w)['‘](?P<single>[^'’]{1,200})['’](?!\w)")
_NAME = re.compile(
    r"(?<!\w)(?:[^\W\d_a-z][\w&'’.\-]*|\d+(?=\s[A-Z]))"
    r"(?:(?:\s(?:of|the|de|del|da|van|von|der|la|le|and the)){0,2}\s(?:[^\W\d_a-z][\w&'’.\-]*|\d{1,4}\b))*"
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s<>\"')]+")
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*|[=#€$£%]")

_NOT_NAMES_TEXT = """
i i'm i'd i've a an the what when where who whom whose which why how is are was were do does did can could would
will shall should may might please find get show tell give calculate compute list search book create make let's hi
hello hey thanks thank yes no and or but if for from to in on at of my your our me it its this that have has had
i'll cancel return start send order play check look help monday tuesday wednesday thursday friday saturday sunday
january february march april june july august september october november december today tomorrow also then use using
given solve convert determine estimate provide retrieve fetch suppose predict generate identify
"""
_NOT_NAMES = frozenset(_NOT_NAMES_TEXT.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number in a text."""

    value: int | float
    start: int
    end: int
    is_money: bool = False
    is_percent: bool = False
    is_word: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word in a text, lower case, with its place."""

    text: str
    start: int
    end: int


def words_in(text: str) -> list[Word]:
    """The words of a text and the signs ``= # € $ £ %``, each with its place."""
    return [Word(match[0].lower(), match.start(), match.end()) for match in _WORD.finditer(text)]


def numbers_in(text: str) -> list[Number]:
    """The numbers of a text in order, written in digits or, up to a hundred, in words."""
    found = [number for match in _NUMBER.finditer(text) if (number := _number(match)) is not None]
    found.extend(
        Number(value=_WORD_NUMBERS[match[0].lower()], start=match.start(), end=match.end(), is_word=True)
        for match in _WORD_NUMBER.finditer(text)
        if not any(number.start < match.end() and match.start() < number.end for number in found)
    )
    return sorted(found, key=lambda number: number.start)


def quotations_in(text: str) -> list[tuple[str, Span]]:
    """What stands in quotation marks."""
    return [((m["double"] or m["single"]).strip(), m.span()) for m in _QUOTED.finditer(text)]


def names_in(text: str) -> list[tuple[str, Span]]:
    """Capitalised names, of one word or more; a word that only opens the sentence is left out."""
    found = []
    for match in _NAME.finditer(text):
        start, end = match.span()
        words = match[0].split(" ")
        while words and re.split(r"['’]", words[0].lower().strip("."))[0] in _NOT_NAMES:
            start += len(words[0]) + 1
            words = words[1:]
        while words and (words[-1].islower()):
            end -= len(words[-1]) + 1
            words = words[:-1]
        name = " ".join(words)
        name = name.rstrip(".") if not re.search(r"\b[A-Z]\.$", name) else name
        name = re.sub(r"['’]s?$", "", name)
        opens = not text[:start].rstrip(" \"'(").strip() or text[:start].rstrip()[-1:] in ".!?"
        if name and not name.isdigit() and not (opens and name.isalpha() and text[start + len(name) :].strip(" .?!")):
            found.append((name, (start, start + len(name))))
    return found


def emails_in(text: str) -> list[tuple[str, Span]]:
    """E-mail addresses."""
    return [(match[0].rstrip("."), match.span()) for match in _EMAIL.finditer(text)]


def urls_in(text: str) -> list[tuple[str, Span]]:
    """Web addresses."""
    return [(match[0].rstrip(".,;"), match.span()) for match in _URL.finditer(text)]


def _number(match: re.Match[str]) -> Number | None:
    try:
        value = Decimal(match["digits"].replace(",", ""))
    except InvalidOperation:
        return None
    value *= _SCALES.get((match["scale"] or "").strip().lower(), 1)
    if match["sign"]:
        value = -value
    whole = value == value.to_integral_value() and "." not in match["digits"]
    return Number(
        value=int(value) if whole else float(value),
        start=match.start(),
        end=match.end(),
        is_money=bool(match["money"]),
        is_percent=bool(match["percent"]),
    )
