"""One request with all its attempts: what came back in the end, or what is known in place of it."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tools.http.answer import Answer, Unreadable
from tools.http.connection import Lost, Outgoing
from tools.http.errors import ApiFailed, ApiNotReached, ApiRateLimited, ApiRefused, ApiUnclear, TokenNeeded
from tools.http.retries import retry_after
from tools.outcome import refuses

_GONE = frozenset({404, 410})
_SIGN_IN = "sign in again, then ask again"


@dataclass(slots=True)
class Exchange:
    """One request with its attempts, and what they prove together.

    Attributes:
        perhaps_done: Whether an attempt before the last one may have acted.
    """

    name: str
    repeatable: bool
    safe: bool
    perhaps_done: bool = False
    in_flight: Outgoing = field(default_factory=lambda: Outgoing(method="", url=""))

    def repeat_after(self, last: Answer | Lost) -> None:
        if isinstance(last, Lost):
            self.perhaps_done |= last.sent
        else:
            self.perhaps_done |= not refuses(last.status)

    def conclude(self, last: Answer | Lost, into: Any) -> Any:
        """The value, or what is known in place of it."""
        if isinstance(last, Lost):
            raise self._error(f"{self.name}: {last.reason}", nothing_sent=not last.sent)
        if 200 <= last.status < 300:
            try:
                return last.data() if into is None else _parsed(last, into)
            except Unreadable as error:
                reason = str(error)
            raise self._error(f"{self.name}: {reason}")
        if self.perhaps_done and last.status in _GONE and self.name.startswith("DELETE "):
            return None  # what an earlier attempt was to remove is not there
        message = f"{self.name}: {_told(last)}"
        if refuses(last.status) and (self.safe or not self.perhaps_done):
            if last.status == 401 and self.in_flight.granted.for_subject:
                raise TokenNeeded(f"{message}; {_SIGN_IN}")
            raise ApiRefused(message, last.status)
        if last.status == 429 and self.safe and (seconds := retry_after(last)) is not None:
            raise ApiRateLimited(f"{message}; try again in {math.ceil(seconds)} s", seconds)
        raise self._error(message, nothing_sent=last.status in {307, 308})

    def withheld(self, error: TokenNeeded | ApiRateLimited) -> Exception:
        """What is known of a request that was not sent, or not sent again."""
        message = f"{self.name}: {error}"
        if self.perhaps_done and not self.safe:
            return ApiUnclear(message)
        error.args = (message,)
        return error

    def _error(self, message: str, *, nothing_sent: bool = False) -> Exception:
        if self.safe:
            return ApiFailed(message)
        if nothing_sent and not self.perhaps_done:
            return ApiNotReached(message)
        return ApiUnclear(message)


def _told(answer: Answer) -> str:
    status = answer.status
    if status in {401, 403}:
        said = f"the back end refuses these credentials ({status})"
    elif 300 <= status < 400:
        said = f"the back end redirects elsewhere ({status}), which is not followed"
    else:
        said = f"the back end answered {status}"
    problem = answer.problem()
    return f"{said}: {problem}" if problem else said


def _parsed(answer: Answer, into: Any) -> Any:
    adapter = _adapter(into)
    try:
        return adapter.validate_json(answer.body) if answer.is_json else adapter.validate_python(answer.data())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise Unreadable("what came back is not valid JSON")
    where = ".".join(str(part) for part in first["loc"])
    raise Unreadable(f"what came back is not as expected: {where}{': ' if where else ''}{first['msg']}")


@lru_cache(maxsize=256)
def _adapter(into: Any) -> TypeAdapter[Any]:
    return TypeAdapter(into)
