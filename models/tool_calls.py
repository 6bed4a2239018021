"""Putting tool calls together from the pieces in which providers stream them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.confidence import TokenLogprob, is_made_of, least_likely
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
        logprobs: Sequence[TokenLogprob] = (),
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
    tokens: list[TokenLogprob] = field(default_factory=list)
    untold: bool = False

    @property
    def confidence(self) -> float | None:
        """The probability of its least likely token: one wrong digit is enough. None unless all of them are known."""
        if self.untold or not is_made_of(self.arguments, self.tokens):
            return None
        return least_likely(self.tokens)

    def add(self, arguments: str, logprobs: Sequence[TokenLogprob]) -> None:
        self.arguments += arguments
        self.untold = self.untold or bool(arguments and not logprobs)
        self.tokens += logprobs

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
