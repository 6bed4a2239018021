"""Putting tool calls together from the pieces in which providers stream them."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from models.messages import ToolCall


class ToolCallAssembler:
    """Collects pieces by their index. Takes whole calls too, and calls without an index or all with the same one."""

    def __init__(self) -> None:
        self._calls: list[_PartialCall] = []
        self._by_index: dict[Hashable, _PartialCall] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(
        self,
        arguments: Any,
        *,
        index: Hashable | None,
        identity: str | None,
        name: str | None,
        logprobs: Sequence[float] = (),
    ) -> None:
        """Add a piece.

        Args:
            arguments: JSON text, or the decoded object from servers that send that.
            logprobs: Of the tokens that the piece was made of, where the provider tells them.

        Raises:
            TypeError: The arguments have no JSON form.
        """
        call = self._open(index, identity or "")
        if call is None or call.is_followed_by(identity or "", name or ""):
            call = _PartialCall()
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        call.id = call.id or identity or ""
        call.name = call.name or name or ""
        call.add(_text(arguments), logprobs)

    def complete(self) -> list[ToolCall]:
        """The calls in the model's order. Ids that are missing or repeated are replaced: results refer to them."""
        ids: set[str] = set()
        complete: list[ToolCall] = []
        for number, call in enumerate(self._calls):
            unique = call.id if call.id and call.id not in ids else f"{call.id or 'call'}_{number}"
            ids.add(unique)
            complete.append(ToolCall(id=unique, name=call.name, arguments=call.arguments, confidence=call.confidence))
        return complete

    def _open(self, index: Hashable | None, identity: str) -> "_PartialCall | None":
        if index is not None:
            return self._by_index.get(index)
        if identity:
            return next((call for call in self._calls if call.id == identity), None)
        return self._calls[-1] if self._calls else None


@dataclass(slots=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: str = ""
    least: float | None = None
    untold: bool = False

    @property
    def confidence(self) -> float | None:
        """The probability of its least likely token: one wrong digit is enough. None unless all of them are known."""
        return None if self.least is None or self.untold else round(math.exp(self.least), 4)

    def add(self, arguments: str, logprobs: Sequence[float]) -> None:
        self.arguments += arguments
        self.untold = self.untold or bool(arguments and not logprobs)
        self.least = min((*logprobs, *(() if self.least is None else (self.least,))), default=None)

    def is_followed_by(self, identity: str, name: str) -> bool:
        """Whether a piece for the same place begins another call."""
        if not name:
            return False
        if identity and self.id and identity != self.id:
            return True
        return bool(self.name) and _is_object(self.arguments)


def _text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return orjson.dumps(arguments).decode()


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def token_logprobs(told: Any) -> tuple[float, ...]:
    """The log-probabilities in ``choice.logprobs`` as OpenAI's API has it; none unless there is one for every token."""
    tokens = told.get("content") if isinstance(told, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        return ()
    logprobs = [token.get("logprob") for token in tokens]
    if not all(isinstance(each, int | float) and each <= 0 for each in logprobs):
        return ()
    return tuple(logprobs)
