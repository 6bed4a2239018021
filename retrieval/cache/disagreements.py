"""What two questions plainly disagree in, however alike they read.

Embeddings put "turn the light on" beside "turn the light off" (cosines of 0.83 to 0.99 are usual between a sentence and
its negation). These rules need no learning, and none of them has to be complete: what they don't know, the learnt
verifier and its bound have to make up for. The lists are English; numbers, dates in digits and names work in any script
that has them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import regex

from retrieval.cache.words import stem, words

Facet = Callable[[str], frozenset[str]]


def disagreements(asked: str, kept: str) -> list[str]:
    """The names of the rules by which the two cannot have one answer; none when nothing speaks against it."""
    found = [name for name, facet in _MUST_AGREE.items() if facet(asked) != facet(kept)]
    found += [name for name, facet in _MUST_NOT_DIFFER.items() if _differ(facet(asked), facet(kept))]
    return [*found, "opposites"] if _are_opposite(asked, kept) else found


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _differ(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether both say something, and not the same."""
    return bool(one) and bool(other) and one != other


_DIGITS = regex.compile(r"\d")
_NUMERALS: Mapping[str, str] = {
    word: value
    for value, names in {
        "0": "zero",
        "1/2": "half",
        "1": "one once first single",
        "2": "two twice second couple double",
        "3": "three thrice third",
        "4": "four fourth",
        "5": "five fifth",
        "6": "six sixth",
        "7": "seven seventh",
        "8": "eight eighth",
        "9": "nine ninth",
        "10": "ten tenth",
        "11": "eleven",
        "12": "twelve dozen",
        "13": "thirteen",
        "14": "fourteen",
        "15": "fifteen",
        "16": "sixteen",
        "17": "seventeen",
        "18": "eighteen",
        "19": "nineteen",
        "20": "twenty",
        "30": "thirty",
        "40": "forty",
        "50": "fifty",
        "60": "sixty",
        "70": "seventy",
        "80": "eighty",
        "90": "ninety",
        "100": "hundred",
        "1000": "thousand",
        "1000000": "million",
    }.items()
    for word in names.split()
}


@lru_cache(maxsize=16384)
def _numbers(question: str) -> frozenset[str]:
    named = (word if _DIGITS.search(word) else _NUMERALS.get(word, "") for word in words(question))
    return frozenset(number.replace(",", ".").removesuffix(".00") for number in named if number) - {"1"}


_DATES = _set(
    "today tonight tomorrow yesterday now currently morning noon afternoon evening night midnight weekend weekday week"
    " month year day hourly daily weekly monthly yearly annually everyday"
    " monday tuesday wednesday thursday friday saturday sunday"
    " january february march april june july august september october november december"
    " spring summer autumn winter christmas easter next last previous past upcoming ago recent latest"
)


@lru_cache(maxsize=16384)
def _dates(question: str) -> frozenset[str]:
    return frozenset(word for word in map(_without_possession, words(question)) if word in _DATES)


def _without_possession(word: str) -> str:
    return word.removesuffix("'s")


_UNITS: Mapping[str, str] = {
    word: kind
    for kind, names in {
        "metre": "m metre metres meter meters",
        "kilometre": "km kilometre kilometres kilometer kilometers",
        "mile": "mile miles",
        "foot": "ft foot feet",
        "inch": "inch inches",
        "gram": "g gram grams",
        "kilogram": "kg kilo kilos kilogram kilograms",
        "pound": "lb lbs pound pounds gbp £",
        "ounce": "oz ounce ounces",
        "litre": "l litre litres liter liters",
        "gallon": "gallon gallons",
        "celsius": "celsius centigrade",
        "fahrenheit": "fahrenheit",
        "second": "seconds secs",
        "minute": "minute minutes mins",
        "hour": "hour hours",
        "percent": "% percent",
        "dollar": "dollar dollars usd $",
        "euro": "euro euros eur €",
        "yen": "yen jpy ¥",
    }.items()
    for word in names.split()
}


@lru_cache(maxsize=16384)
def _units(question: str) -> frozenset[str]:
    return frozenset(_UNITS[word] for word in words(question) if word in _UNITS)


_NEGATORS = _set("not no never none nobody nothing nowhere neither nor without cannot except unless")


@lru_cache(maxsize=16384)
def _negation(question: str) -> frozenset[str]:
    """Whether it is negated, an odd number of times: "don't" and "do not" are alike, "isn't" asks the same as "is"."""
    said = words(question)
    count = sum(word in _NEGATORS or word.endswith("n't") for word in said)
    # "Isn't it …?" and "Don't you …?" ask what "Is it …?" asks.
    asks = bool(said) and said[0].endswith("n't") and question.rstrip().endswith("?")
    return frozenset({"negated"}) if (count - asks) % 2 else frozenset()


_NAME = regex.compile(r"(?<![.!?…]\s|^)(?<![\p{L}\p{N}])\p{Lu}[\p{L}\p{M}'’-]*")
_NO_NAMES = _set(
    "i i'm i'll i've i'd a an the please what when where who why how which can could will would do does did is are was"
    " pin atm id url api faq usa uk eu ok tv cd dvd usb pc gps sms email am pm"
)


@lru_cache(maxsize=16384)
def _names(question: str) -> frozenset[str]:
    """Words with a capital that does not begin a sentence; none where the whole question is in capitals."""
    if question.isupper() or question.istitle():
        return frozenset()
    found = (stem(name.casefold().replace("’", "'")) for name in _NAME.findall(question))
    return frozenset(name for name in found if name not in _NO_NAMES)


_KINDS: Sequence[tuple[str, Sequence[str]]] = (
    ("how many", ("how", "many")),
    ("how much", ("how", "much")),
    ("how long", ("how", "long")),
    ("how often", ("how", "often")),
    ("how far", ("how", "far")),
    ("how old", ("how", "old")),
    ("who", ("who",)),
    ("when", ("when",)),
    ("where", ("where",)),
    ("why", ("why",)),
)


@lru_cache(maxsize=16384)
def _kind(question: str) -> frozenset[str]:
    """What kind of thing is asked for, if the question says so with its first words."""
    said = tuple(map(_without_possession, words(question)))[:6]
    for kind, parts in _KINDS:
        if any(said[at : at + len(parts)] == tuple(parts) for at in range(len(said))):
            return frozenset({kind})
    return frozenset()


_OPPOSITES: Sequence[tuple[str, str]] = (
    ("on activate enable", "off deactivate disable"),
    ("on start begin play continue resume", "stop end pause quit halt"),
    (
        "up loud louder increase raise high higher maximum bright brighter brighten boost",
        "down quiet quieter softer decrease reduce lessen low lower minimum",
    ),
    ("up bright brighter brighten", "dim dimmer dark darker darken"),
    ("set add create make new insert put", "remove delete cancel clear erase drop unset"),
    ("open unlock unblock unmute unfreeze", "close shut lock block mute freeze silence"),
    ("buy purchase", "sell return refund"),
    ("send pay give lend", "receive get borrow request"),
    ("deposit topup credit", "withdraw withdrawal debit"),
    ("accept approve allow confirm", "reject refuse decline deny forbid"),
    ("before earlier early", "after later late"),
    ("first oldest earliest", "last newest latest"),
    ("more most", "less least fewer fewest"),
    ("cheap cheaper cheapest lowest", "expensive dearer dearest highest"),
    ("fast faster fastest quick", "slow slower slowest"),
    ("big bigger biggest large larger largest", "small smaller smallest"),
    ("best better good like love", "worst worse bad dislike hate"),
    ("hot hotter warm warmer", "cold colder cool cooler"),
    ("arrive arrival incoming inbound", "leave depart departure outgoing outbound"),
    ("in inside indoor", "out outside outdoor"),
    ("with including", "without excluding"),
    ("subscribe register join login", "unsubscribe deregister leave logout"),
    ("success succeed pass", "failure fail"),
    ("empty", "full"),
    ("always", "never"),
    ("domestic national", "international foreign abroad"),
    ("male man men", "female woman women"),
    ("left", "right"),
    ("import upload", "export download"),
    ("show unhide", "hide"),
    ("win", "lose"),
    ("true correct right", "false incorrect wrong"),
)


def _sides() -> Mapping[str, frozenset[tuple[int, int]]]:
    """For each word the pairs that it stands in, and on which side."""
    sides: dict[str, set[tuple[int, int]]] = {}
    for number, pair in enumerate(_OPPOSITES):
        for side, names in enumerate(pair):
            for word in names.split():
                for form in {word, stem(word)}:
                    sides.setdefault(form, set()).add((number, side))
    return {word: frozenset(found) for word, found in sides.items()}


_SIDES = _sides()
_REVERSING = _set("too less")


@lru_cache(maxsize=16384)
def _taken(question: str) -> frozenset[tuple[int, int]]:
    """The sides that the question's words take: "too loud" and "less loud" take that of "quieter"."""
    said = words(question)
    return frozenset(
        (pair, 1 - side if before in _REVERSING else side)
        for before, word in zip(("", *said), said, strict=False)
        for pair, side in _SIDES.get(word) or _SIDES.get(stem(word)) or ()
    )


def _are_opposite(asked: str, kept: str) -> bool:
    """Whether they take opposite sides: each has words of one side alone, and the other's of the other."""
    one, other = _taken(asked), _taken(kept)
    return any(
        (pair, 1 - side) in other and (pair, side) not in other and (pair, 1 - side) not in one for pair, side in one
    )


_COMPARATIVES = _set(
    "more most less least fewer fewest better best worse worst cheaper cheapest bigger biggest larger largest"
    " smaller smallest longer longest shorter shortest faster fastest slower slowest higher highest lower lowest"
    " earlier earliest later latest newer newest older oldest closer closest nearer nearest"
)


@lru_cache(maxsize=16384)
def _comparatives(question: str) -> frozenset[str]:
    return frozenset(word for word in words(question) if word in _COMPARATIVES)


_MUST_AGREE: Mapping[str, Facet] = {"numbers": _numbers, "dates": _dates, "negation": _negation, "names": _names}
_MUST_NOT_DIFFER: Mapping[str, Facet] = {"units": _units, "question type": _kind, "comparatives": _comparatives}

RULES: Sequence[str] = (*_MUST_AGREE, *_MUST_NOT_DIFFER, "opposites")
"""The rules' names."""
