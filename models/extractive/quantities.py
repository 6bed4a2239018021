"""Which number of a sentence belongs to which argument: by the words around it, then by order."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, takewhile

from models.extractive.mentions import Number, Word
from models.extractive.parameters import Parameter, announcing_words
from models.extractive.words import STOPWORDS, stem

_WINDOW = 6
_NEAR = 1.5
_WORD_SHARE = 0.8
_SKIPPED_BEFORE_ID_TEXT = """
number numbers no no. nr num id ids # is the my and or & , both for as with to of it's
"""
_SKIPPED_BEFORE_ID = frozenset(_SKIPPED_BEFORE_ID_TEXT.split())
_LINKING = frozenset(["", "#", "about", "and", "for", "is", "no", "number", "of", "to", "with"])
_MONEY_TEXT = """
price cost amount budget money fee salary income revenue value payment total
"""
_MONEY_CUES = frozenset(
    map(
        stem,
        _MONEY_TEXT.split(),
    )
)
_RATE_CUES = frozenset(map(stem, ["rate", "percent", "percentage", "interest", "discount", "probability"]))
_CURRENCIES_TEXT = """
euro euros eur dollar dollars usd gbp pound pounds € $ £
"""
_CURRENCIES = frozenset(_CURRENCIES_TEXT.split())
_UNITS_TEXT = """
kg g lb lbs mm cm m km mb gb day week month year hour minute second percent % piece item
"""
_UNITS = frozenset(_UNITS_TEXT.split())
_NO_UNITS = frozenset(["is", "was", "has", "does", "status", "as", "this", "s", "its", "plus", "yes", "always"])
_YEARS = range(1500, 2101)


def assign_numbers(
    parameters: Sequence[Parameter], numbers: Sequence[Number], words: Sequence[Word], *, bare: bool
) -> dict[str, list[Number]]:
    """Give numbers to the arguments that want one.

    Args:
        parameters: Those of a numeric type, in the schema's order.
        numbers: The numbers of the text, in order.
        words: The words of the text, in order.
        bare: Whether the text only answers a question for a value, so that a number needs no word beside it.

    Returns:
        Numbers by argument; an id may have several, which are then several calls.
    """
    given: dict[str, list[Number]] = {}
    left = list(numbers)
    for parameter in parameters:
        if parameter.is_id and (ids := _ids(parameter, left, words, bare=bare)):
            given[parameter.name] = ids
            left = [number for number in left if number not in ids]
    measured = [parameter for parameter in parameters if not parameter.is_id]
    pairs = sorted(
        (
            (fit, -i, parameter.name, number)
            for i, number in enumerate(left)
            for parameter in measured
            if _allowed(parameter, number) and (fit := _fit(parameter, number, numbers, words)) > 0
        ),
        key=lambda pair: (-pair[0], -pair[1]),
    )
    needs = {parameter.name: _NEAR if not parameter.required else 0.0 for parameter in measured}
    used: list[Number] = []
    for fit, _, name, number in pairs:
        if name not in given and number not in used and fit >= needs[name]:
            given[name] = [number]
            used.append(number)
    open_ = [parameter for parameter in measured if parameter.required and parameter.name not in given]
    rest = sorted((number for number in left if number not in used), key=lambda number: number.is_word)
    for parameter in open_:
        match = next((number for number in rest if _allowed(parameter, number)), None)
        if match is not None:
            given[parameter.name] = [match]
            rest.remove(match)
    return given


def _in_order(parameters: Sequence[Parameter], given: dict[str, list[Number]]) -> None:
    """Arguments that are told apart by a number only (`side1`, `side2`) take their values in the order of the text."""
    groups: dict[frozenset[str], list[str]] = {}
    for parameter in parameters:
        if parameter.name in given and parameter.name[-1:].isdigit():
            groups.setdefault(parameter.strong, []).append(parameter.name)
    for names in groups.values():
        values = sorted((given[name] for name in names), key=lambda entry: entry[0].start)
        given.update(zip(names, values, strict=True))


def number_runs(numbers: Sequence[Number], text: str) -> list[list[Number]]:
    """Numbers that stand in one list: with nothing but commas, brackets and `and` between them."""
    runs: list[list[Number]] = []
    for number in numbers:
        between = text[runs[-1][-1].end : number.start] if runs else "x"
        if runs and not between.strip(" ,;[]()&").replace("and", "").strip(" ,"):
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _ids(parameter: Parameter, numbers: Sequence[Number], words: Sequence[Word], *, bare: bool) -> list[Number]:
    """Numbers announced by the argument's own word (`order 1042`), else a lone number that nothing else claims."""
    announced: list[Number] = []
    lone: list[Number] = []
    for number in numbers:
        if not _allowed(parameter, number) or number.is_word or number.is_money or number.is_percent:
            continue
        if _has_unit(number, words):
            continue
        before = _announcer(number, words, [entry.start for entry in numbers])
        if (before and stem(before) in parameter.strong | parameter.weak) or (
            announced and _continues(announced[-1], number, words)
        ):
            announced.append(number)
        elif bare or _word_before(number, words) in _LINKING:
            lone.append(number)
    if announced:
        return announced
    return lone if len(lone) == 1 or bare else []


def _word_before(number: Number, words: Sequence[Word]) -> str:
    return next((word.text for word in reversed(words) if word.end <= number.start), "")


def _announcer(number: Number, words: Sequence[Word], starts: Sequence[int]) -> str:
    for word in reversed([word for word in words if word.end <= number.start]):
        if word.start in starts:
            continue
        if word.text not in _SKIPPED_BEFORE_ID:
            return word.text
    return ""


def _continues(before: Number, number: Number, words: Sequence[Word]) -> bool:
    between = [word.text for word in words if before.end <= word.start and word.end <= number.start]
    return all(word in ("and", "or", "&", "#", "also", "as", "well") for word in between)


def _has_unit(number: Number, words: Sequence[Word]) -> bool:
    after = next((word for word in words if word.start >= number.end), None)
    if after is None or after.start > number.end + 1:
        return False
    return (
        after.text in _CURRENCIES or after.text in _UNITS or (after.text.endswith("s") and after.text not in _NO_UNITS)
    )


def _allowed(parameter: Parameter, number: Number) -> bool:
    if number.is_word and parameter.name[-1:].isdigit():
        # `Three sides: 3, 4 and 5` counts the values of side1, side2 and side3, and is none of them.
        return False
    if parameter.type == "integer" and isinstance(number.value, float) and not number.value.is_integer():
        return False
    if parameter.minimum is not None and number.value < parameter.minimum:
        return False
    if parameter.options and number.value not in parameter.options:
        return False
    return parameter.maximum is None or number.value <= parameter.maximum


def _fit(parameter: Parameter, number: Number, numbers: Sequence[Number], words: Sequence[Word]) -> float:
    """How well the words around a number announce the argument."""
    starts = {other.start for other in numbers if other is not number}
    before = _until(starts, reversed([word for word in words if word.end <= number.start]), _WINDOW)
    after = _until(starts, _directly_after(number, words), 3)
    fit = max((_cue(parameter, word) * 3.0 / (distance + 2) for distance, word in enumerate(before)), default=0.0)
    fit = max(fit, *(_cue(parameter, word) * 2.8 / (distance + 1.4) for distance, word in enumerate(after)), 0.0)
    if before[:1] == ["="] and before[1:2] == [parameter.name.lower()]:
        fit = 10.0
    elif len(parameter.name) == 1 and parameter.name.lower() in before[:2]:
        fit = max(fit, 4.0)
    elif before and before[0] in announcing_words(parameter):
        fit = max(fit, 2.0)
    fit += _kind_fit(parameter, number, after[0] if after else "")
    return fit * _WORD_SHARE if number.is_word else fit


def _until(stops: Collection[int], words: Iterable[Word], most: int) -> list[str]:
    """The nearest words, up to the next number."""
    return [word.text for word in takewhile(lambda word: word.start not in stops, islice(words, most))]


def _directly_after(number: Number, words: Sequence[Word]) -> Iterator[Word]:
    """The words behind a number, up to the first mark between them."""
    end = number.end
    for word in words:
        if word.start >= number.end:
            if word.start > end + 1:
                return
            end = word.end
            yield word


def _kind_fit(parameter: Parameter, number: Number, after: str) -> float:
    """A year for a year, money for a price, a percentage for a rate."""
    cues = parameter.strong | parameter.weak
    is_year = isinstance(number.value, int) and number.value in _YEARS
    return (
        2.0 * (is_year and stem("year") in parameter.strong)
        + 1.5 * (number.is_percent and bool(cues & _RATE_CUES))
        + 1.5 * ((number.is_money or after in _CURRENCIES) and bool(cues & _MONEY_CUES))
    )


def _cue(parameter: Parameter, word: str) -> float:
    if word in STOPWORDS:
        return 0.0
    root = stem(word)
    if root in parameter.strong:
        return 1.0
    return 0.7 if root in parameter.weak or (len(word) <= 2 and _is_unit_of(parameter, word)) else 0.0


def _is_unit_of(parameter: Parameter, word: str) -> bool:
    units = {
        "m": "meter",
        "kg": "kilogram",
        "km": "kilometer",
        "cm": "centimeter",
        "s": "second",
        "g": "gram",
        "l": "liter",
    }
    return word in units and stem(units[word]) in parameter.weak | parameter.strong
