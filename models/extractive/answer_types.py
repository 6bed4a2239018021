"""What kind of thing a question asks for, and whether a sentence holds one that the question did not bring itself."""

import re

from models.extractive.words import tokens

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_NUMBER_WORDS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?"
    "|dozens?|half|twice|once|several"
)
_UNITS = "second|minute|hour|day|night|week|weekend|month|year|decade|century|centurie|annual"

_PATTERNS: dict[str, re.Pattern[str]] = {
    "time": re.compile(
        rf"\b(?:1[0-9]|20)\d\d s?\b|\b(?:1[0-9]|20)\d\ds?\b|\b\d{{1,4}} (?:bc|ad|bce|ce)\b|\b(?:{_MONTHS})\b"
        r"|\b\d{1,2}(?::\d\d| ?[ap]\.?m\b)|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b\d+(?:st|nd|rd|th)\b"
        r"|\bcentury\b|\bnoon\b|\bmidnight\b|\d+\s*[年月日世]",
        re.IGNORECASE,
    ),
    "number": re.compile(rf"\d|[½¼¾]|\b(?:{_NUMBER_WORDS})\b|[一二三四五六七八九十百千万亿两]", re.IGNORECASE),
    "money": re.compile(
        r"[$€£¥]\s?\d|\d\s?(?:[$€£¥]|eur|usd|gbp|dollars?|euros?|pounds?|cents?|million|billion)|\bfree\b|元",
        re.IGNORECASE,
    ),
    "percent": re.compile(r"\d\s?(?:%|per ?cent)|\bpercent|\bhalf\b|\bthirds?\b|\bquarters?\b|[％百]", re.IGNORECASE),
    "duration": re.compile(
        rf"(?:\d|\b(?:{_NUMBER_WORDS}|a|an|few|several))[\s\-‑]*(?:working |business |calendar )?"
        rf"(?:{_UNITS})s?\b|\d+\s*[年月日天小时分秒周]|\b(?:19|20|1\d)\d\d\b",
        re.IGNORECASE,
    ),
    "reason": re.compile(
        r"\bbecause\b|\bdue to\b|\bsince\b|\bso that\b|\bin order to\b|\breasons?\b|\bcaused?\b|\bas a result\b"
        r"|\btherefore\b|\bthus\b|\bso as\b|\bto avoid\b|因为|由于|为了",
        re.IGNORECASE,
    ),
    "manner": re.compile(r"\bby\b|\bthrough\b|\busing\b|\bvia\b|\bwith\b|;.*;", re.IGNORECASE),
}
_NAME = re.compile(r"(?<![.!?] )(?<!^)(?<![^\W\d_])[^\W\d_a-z][\w'’.\-]*", re.UNICODE)
_PLACE = re.compile(
    r"\b(?:in|at|on|near|from|to|of|outside|inside|across|around|along|under|into|behind|between|[Aa]ddress|located)\b"
)

_ASKED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("percent", (r"\b(?:what|which) (?:percent|percentage|proportion|fraction|share)", r"\bhow many percent", "百分")),
    ("duration", (r"\bhow (?:long|old)\b", r"\bwhat (?:period|duration|length of time)", "多久|多长时间")),
    (
        "time",
        (
            r"\bwhen\b|\bhow soon\b|\bsince when\b|\buntil when\b",
            r"\b(?:what|which) (?:year|date|day|month|time|century|decade|period)",
            "何时|什么时候|哪一?年|几月",
        ),
    ),
    (
        "money",
        (
            r"\bhow much (?:is|are|does|do|did|was|were|money|will)|\bhow expensive|\bcosts?\b",
            r"\bwhat (?:is|was|are|does) .{0,40}\b(?:price|cost|fee)",
            "多少钱",
        ),
    ),
    (
        "number",
        (
            r"\bhow (?:many|much|far|tall|high|big|large|often|deep|wide|fast|heavy|frequently)\b",
            r"\bwhat (?:number|amount|quantity|age|size|score|rank|population)",
            r"\bwhat (?:is|was) the (?:number|total|population|average|score|amount|ratio|length|height|weight)",
            "多少|几[个人名次场]",
        ),
    ),
    ("person", (r"\bwho(?:m|se)?\b", "谁")),
    (
        "place",
        (
            r"\bwhere\b",
            r"\b(?:what|which) (?:city|country|state|place|town|region|location|continent|river|area|street|county)",
            "哪里|在哪|何处",
        ),
    ),
    ("reason", (r"\bwhy\b|\bfor what reason", r"\bwhat (?:caused?s?|(?:is|was) the reason|led to)", "为什么")),
    ("manner", (r"\bhow\b",)),
    (
        "name",
        (
            r"\bwhat(?:'s| is| was) the name",
            r"\b(?:what|which) (?:company|team|person|school|university|player|organi[sz]ation|group)",
            r"\b(?:what|which) (?:language|book|film|movie|song|band|newspaper|party)",
        ),
    ),
)
_ASKED_RE = tuple((kind, re.compile("|".join(patterns), re.IGNORECASE)) for kind, patterns in _ASKED)


def asked_for(question: str) -> str:
    """The kind of answer a question wants: time, number, person, place, …; "" when its form does not say."""
    return next((kind for kind, pattern in _ASKED_RE if pattern.search(question)), "")


def holds(kind: str, sentence: str, question: str) -> float:
    """How sure a sentence is to hold an answer of the kind, 0 to 1; what the question names itself does not count."""
    known = set(tokens(question))
    if kind in ("person", "name", "place"):
        return _holds_name(kind, sentence, known)
    pattern = _PATTERNS.get(kind)
    if pattern is None:
        return 0.0
    return float(any(_is_new(match[0], known) for match in pattern.finditer(sentence)))


def _holds_name(kind: str, sentence: str, known: set[str]) -> float:
    names = [m for m in _NAME.finditer(sentence) if _is_new(m[0], known)]
    if not names:
        first = sentence.split(maxsplit=1)[0] if sentence.strip() else ""
        return 0.3 if first[:1].isupper() and first.lower() not in known else 0.0
    if kind == "place":
        return 1.0 if any(_preceded(sentence, m.start()) for m in names) else 0.4
    return 1.0


def _preceded(sentence: str, start: int) -> bool:
    before = sentence[max(0, start - 16) : start]
    return _PLACE.search(before) is not None


def _is_new(found: str, known: set[str]) -> bool:
    words = tokens(found)
    return not words or any(word not in known for word in words)
