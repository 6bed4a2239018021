"""The arguments of a tool, read from what the user wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from models.extractive.dates import find_dates
from models.extractive.mentions import Number, Span, numbers_in, words_in
from models.extractive.parameters import Parameter
from models.extractive.quantities import assign_numbers, number_runs
from models.extractive.strings import (
    is_place,
    read_flag,
    read_hint,
    read_option,
    read_pattern,
    read_string,
    string_list,
)

_TEXT = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read.

    Attributes:
        calls: Arguments by name, once for each thing that the text names (`orders 1042 and 1007` are two).
        missing: Required arguments that the text does not give.
    """

    calls: tuple[Mapping[str, Any], ...]
    missing: tuple[Parameter, ...]


def read_arguments(
    parameters: Sequence[Parameter], text: str, today: date, *, bare: bool = False, guess: bool = False
) -> Reading:
    """Read arguments by their types and by the words of their names and descriptions. Nothing is made up.

    Args:
        parameters: What the tool takes.
        text: The user's words.
        today: The day against which `tomorrow` and `3 May` are read.
        bare: Whether the text holds the answer to a question for a value, so that `1042` alone is an order number.
        guess: Whether plain words behind a preposition may fill a required text argument.
    """
    reader = _Reader(parameters, text[:_TEXT], today, bare=bare, guess=guess)
    values = reader.read()
    missing = tuple(parameter for parameter in parameters if parameter.required and parameter.name not in values)
    several = next((name for name, found in values.items() if len(found) > 1), None)
    first = {name: found[0] for name, found in values.items()}
    if several is None:
        return Reading(calls=(first,), missing=missing)
    return Reading(calls=tuple({**first, several: value} for value in values[several]), missing=missing)


class _Reader:
    """Reads argument after argument, the most telling kinds first; words once used are not used again."""

    def __init__(self, parameters: Sequence[Parameter], text: str, today: date, *, bare: bool, guess: bool) -> None:
        self._parameters = parameters
        self._text = text
        self._dates = find_dates(text, today)
        self._bare = bare
        self._guess = guess
        self._taken: list[Span] = []
        self._values: dict[str, list[Any]] = {}
        in_dates = [(start, end) for start, end, _ in self._dates]
        self._numbers = [
            number
            for number in numbers_in(text)
            if not any(start < number.end and number.start < end for start, end in in_dates)
        ]

    def read(self) -> dict[str, list[Any]]:
        """Values by argument; more than one where the text names several things for it."""
        self._read_dates()
        self._read_choices()
        self._read_number_lists()
        self._read_numbers()
        self._read_patterns()
        self._read_strings()
        self._read_objects()
        return {p.name: self._values[p.name] for p in self._parameters if p.name in self._values}

    def _read_dates(self) -> None:
        left = list(self._dates)
        for parameter in self._parameters:
            if left and parameter.type == "string" and _is_date(parameter):
                start, end, value = left.pop(0)
                self._put(parameter, value.isoformat(), (start, end))

    def _read_choices(self) -> None:
        for parameter in self._parameters:
            value: Any = None
            if parameter.type == "boolean":
                value = read_flag(parameter, self._text)
            elif parameter.options and parameter.type == "string":
                value = read_option(parameter, self._text)
            if value is not None:
                self._put(parameter, value)

    def _read_number_lists(self) -> None:
        runs = [run for run in number_runs(self._numbers, self._text) if len(run) > 1]
        for parameter in self._parameters:
            if parameter.item is not None and parameter.item.type in ("integer", "number") and runs:
                run = runs.pop(0)
                self._put(parameter, [_cast(parameter.item, number) for number in run])
                self._numbers = [number for number in self._numbers if number not in run]

    def _read_numbers(self) -> None:
        wanted = [parameter for parameter in self._parameters if parameter.type in ("integer", "number")]
        words = words_in(self._text)
        for name, numbers in assign_numbers(wanted, self._numbers, words, bare=self._bare).items():
            parameter = next(one for one in wanted if one.name == name)
            self._values[name] = list(dict.fromkeys(_cast(parameter, number) for number in numbers))
            self._taken.extend((number.start, number.end) for number in numbers)

    def _read_patterns(self) -> None:
        known = frozenset[str]().union(*(parameter.strong for parameter in self._parameters), {"order", "return"})
        for parameter in self._parameters:
            if parameter.type != "string" or not parameter.pattern or parameter.name in self._values:
                continue
            found = read_pattern(parameter, self._text, self._taken, known)
            if found:
                several = found if parameter.required and all(map(_is_proper, found)) else found[:1]
                self._values[parameter.name] = list(dict.fromkeys(value for value, _ in several))
                self._taken.extend(span for _, span in several)

    def _read_strings(self) -> None:
        for parameter in sorted(self._parameters, key=lambda one: (one.is_text, not is_place(one))):
            if parameter.name in self._values or parameter.options or parameter.pattern:
                continue
            if not parameter.required:
                self._read_hint(parameter)
                continue
            if parameter.type == "string" and not _is_date(parameter):
                found = read_string(parameter, self._text, self._taken, guess=self._guess)
                if found is not None:
                    self._put(parameter, *found)
            elif parameter.item is not None and parameter.item.type == "string":
                self._read_string_list(parameter, parameter.item)

    def _read_hint(self, parameter: Parameter) -> None:
        found = read_hint(parameter, self._text) if parameter.type == "string" else None
        if found is not None:
            self._put(parameter, *found)

    def _read_string_list(self, parameter: Parameter, item: Parameter) -> None:
        if item.options:
            held = [option for option in item.options if read_option(_only(item, option), self._text) is not None]
            if held:
                self._put(parameter, held)
            return
        found = string_list(self._text, self._taken)
        if found:
            self._put(parameter, [value for value, _ in found])
            self._taken.extend(span for _, span in found)

    def _read_objects(self) -> None:
        for parameter in self._parameters:
            if parameter.type == "object" and parameter.members and parameter.required:
                inner = _Reader(parameter.members, self._text, date.min, bare=False, guess=False)
                inner._dates = self._dates
                values = inner.read()
                if all(member.name in values for member in parameter.members if member.required) and values:
                    self._put(parameter, {name: found[0] for name, found in values.items()})

    def _put(self, parameter: Parameter, value: Any, span: Span | None = None) -> None:
        self._values[parameter.name] = [value]
        if span is not None:
            self._taken.append(span)


def _is_date(parameter: Parameter) -> bool:
    name = parameter.name.lower()
    return (
        parameter.format.startswith("date")
        or name.endswith(("date", "_on", "day"))
        or name.startswith("date")
        or "yyyy-mm-dd" in parameter.description.lower()
    )


def _is_proper(found: tuple[str, Span]) -> bool:
    return any(map(str.isupper, found[0]))


def _cast(parameter: Parameter, number: Number) -> int | float:
    if parameter.type == "integer":
        return int(number.value)
    if number.is_percent and "percent" not in f"{parameter.name} {parameter.description}".lower():
        return round(number.value / 100, 10)
    return number.value


def _only(item: Parameter, option: Any) -> Parameter:
    return replace(item, options=(option,))
