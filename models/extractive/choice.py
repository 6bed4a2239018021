"""Which tool a question is for, if any: by the tool's examples and description, and by what the question mentions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from models.extractive.arguments import Reading, read_arguments
from models.extractive.mentions import names_in, numbers_in
from models.extractive.parameters import Parameter, parameters_of, words_of
from models.extractive.vectors import VectorCache
from models.extractive.wishes import acts, asks_leave, is_own, is_told_to, takes_any_text
from models.extractive.words import terms
from models.messages import ToolSpec

EXAMPLES = 32
_CONSIDERED = 6
_CALL = 0.6
_CALL_UNSHOWN = 0.45
_ASK = 0.6
_BARE_CALL = 0.78
_LEAVE = 0.1
_LEXICAL = 0.15
_MENTION = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A tool that fits, and what could be read for it.

    Attributes:
        score: How well it fits, about 0 to 1.
        may_call: Whether the fit is good enough to call it, its arguments given.
        may_ask: Whether the fit is good enough to ask for what is missing.
    """

    spec: ToolSpec
    parameters: tuple[Parameter, ...]
    reading: Reading
    score: float
    may_call: bool
    may_ask: bool

    def completed(self, answered: Reading) -> "Choice":
        """The same choice with the arguments that a later message gave."""
        calls: list[Mapping[str, Any]] = []
        for given in self.reading.calls:
            calls += [call for more in answered.calls if (call := {**given, **more}) not in calls]
        missing = tuple(parameter for parameter in self.reading.missing if parameter.name not in calls[0])
        reading = Reading(calls=tuple(calls), missing=missing)
        return replace(self, reading=reading, may_call=not missing, may_ask=bool(missing))


class ToolChooser:
    """Matches questions with tools.

    Args:
        vectors: Embeds and remembers; the examples of the tools stay there.
        today: Tells the day.
    """

    def __init__(self, vectors: VectorCache, today: Callable[[], date]) -> None:
        self._vectors = vectors
        self._today = today

    async def choose(self, question: str, tools: Sequence[ToolSpec]) -> Choice | None:
        """The tool that fits best, or None when none fits or the best one acts and nobody asked for that."""
        if not tools or not terms(question):
            return None
        # Its own words fit a tool that takes any text as well as any others do: it is no rival unless it is meant.
        meant = [spec for spec in tools if not (acts(spec) and takes_any_text(spec)) or is_told_to(question, spec)]
        if not meant:
            return None
        considered = await self._closest(question, meant)
        today = self._today()
        choices = [await self._choice(question, spec, today) for spec in considered]
        best = max(choices, key=lambda choice: choice.score)
        if acts(best.spec) and not is_told_to(question, best.spec):
            return None
        return best if best.may_call or best.may_ask else None

    async def _closest(self, question: str, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        """The few tools worth reading arguments for."""
        texts = [(spec, text) for spec in tools for text in (_description(spec), *spec.examples[:EXAMPLES])]
        vectors = await self._vectors.of([question, *(text for _, text in texts)])
        best: dict[str, float] = {}
        for (spec, _), similarity in zip(texts, vectors[1:] @ vectors[0], strict=True):
            best[spec.name] = max(best.get(spec.name, -1.0), float(similarity))
        return sorted(tools, key=lambda spec: -best[spec.name])[:_CONSIDERED]

    async def _choice(self, question: str, spec: ToolSpec, today: date) -> Choice:
        parameters = parameters_of(spec)
        reading = read_arguments(parameters, question, today, guess=not spec.examples)
        examples = [
            _masked(example, read_arguments(parameters, example, today).calls) for example in spec.examples[:EXAMPLES]
        ]
        vectors = await self._vectors.of([_masked(question, reading.calls), question, _description(spec), *examples])
        described = float(vectors[1] @ vectors[2])
        shown = max((float(value) for value in vectors[3:] @ vectors[0]), default=0.0)
        similarity = max(shown, 0.8 * described) if examples else described
        score = (
            similarity
            + _LEXICAL * (_shared(question, spec, parameters) - 0.5)
            + _MENTION * _explained(question, reading)
        )
        return _judged(question, spec, parameters, reading, score)


def _judged(question: str, spec: ToolSpec, parameters: tuple[Parameter, ...], reading: Reading, score: float) -> Choice:
    needed = _CALL if spec.examples else _CALL_UNSHOWN
    if not any(reading.calls[0].values()) and parameters:
        # Nothing in the question is a value for this tool: only a very close match speaks for it.
        needed = _BARE_CALL
    if asks_leave(question):
        needed += _LEAVE
    return Choice(
        spec=spec,
        parameters=parameters,
        reading=reading,
        score=score,
        may_call=not reading.missing and score >= needed,
        may_ask=bool(reading.missing) and score >= _ASK and is_own(question),
    )


def _description(spec: ToolSpec) -> str:
    return f"{' '.join(words_of(spec.name))}: {spec.description}"


def _shared(question: str, spec: ToolSpec, parameters: Sequence[Parameter]) -> float:
    wanted = set(terms(question))
    known = set(terms(" ".join((_description(spec), *spec.examples, *(one.name for one in parameters)))))
    return len(wanted & known) / len(wanted) if wanted else 0.0


def _explained(question: str, reading: Reading) -> int:
    """Numbers and names of the question that the tool has a place for, less those that it has none for."""
    used = {str(value).lower() for call in reading.calls for value in call.values()}
    joined = " ".join(used)
    mentions = [str(number.value) for number in numbers_in(question) if not number.is_word]
    mentions += [name.lower() for name, _ in names_in(question)]
    explained = sum(1 for mention in mentions if mention in joined)
    return min(explained, 3) - min(len(mentions) - explained, 3)


def _masked(text: str, calls: Sequence[Mapping[str, Any]]) -> str:
    """The text with its values taken out, so that `order 1042` and `order 7` read the same."""
    for call in calls:
        for name, value in call.items():
            if isinstance(value, bool) or not isinstance(value, int | float | str) or not str(value):
                continue
            text = text.replace(str(value), "1" if not isinstance(value, str) else words_of(name)[0])
    return text
