"""What a back end answered: as data where it worked, as a message that a model can act on where it did not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json

_MAX_MESSAGE = 400
_MAX_PROBLEMS = 5
_TEXT_KEYS = ("detail", "message", "error_description", "error", "description", "msg", "reason", "title")
_HIDDEN = "[secret]"
_SECRET = 6  # whatever is shorter is in every other answer by chance


class Unreadable(ValueError):
    """The body is not what the content type, or the caller, says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a back end, read to its end.

    Attributes:
        media_type: Without parameters, lower case; empty when the server did not say.
    """

    status: int
    media_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    charset: str = "utf-8"

    @property
    def is_json(self) -> bool:
        return self.media_type in {"", "application/json", "text/json"} or self.media_type.endswith("+json")

    def without(self, secrets: Iterable[str]) -> "Answer":
        """The same, with the secrets taken out: some servers repeat the credentials that they refuse."""
        body = self.body
        for secret in sorted({each for each in secrets if len(each) >= _SECRET}, key=len, reverse=True):
            body = body.replace(secret.encode(), _HIDDEN.encode())
        return replace(self, body=body)

    def data(self) -> Any:
        """The body: JSON data, text, None when there is none, and what it is where it cannot be shown.

        Raises:
            Unreadable: It is no JSON although it should be, or a page for people.
        """
        if not self.body:
            return None
        if self.is_json:
            return self.json()
        if self.media_type in {"text/html", "application/xhtml+xml"}:
            raise Unreadable("a web page came back, where data was expected")
        if self.media_type.startswith("text/") or self.media_type.endswith(("xml", "yaml", "csv")):
            return self.text()
        return {"media_type": self.media_type, "bytes": len(self.body), "note": "not text, so it is not shown"}

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Unreadable: It is none.
        """
        try:
            return from_json(self.body, allow_inf_nan=False)
        except ValueError:
            raise Unreadable("what came back is not valid JSON") from None

    def text(self) -> str:
        """The body as text; what does not decode is shown as such."""
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    def problem(self) -> str:
        """What is wrong in the back end's own words, bounded (RFC 9457 where it speaks it); "" when it does not say."""
        if not self.is_json:
            said = " ".join(self.text().split()) if self.media_type == "text/plain" else ""
        else:
            try:
                said = _said(self.json())
            except Unreadable:
                said = ""
        return said if len(said) <= _MAX_MESSAGE else said[:_MAX_MESSAGE] + "…"


def _said(data: Any, depth: int = 0) -> str:
    """The message in the body of an error, whichever of the usual forms it has."""
    match data:
        case str():
            return " ".join(data.split())
        case list():
            found = [_item(item, depth) for item in data[:_MAX_PROBLEMS]]
            return "; ".join(part for part in found if part)
        case dict() if depth < 3:
            parts = [_said(data[key], depth + 1) for key in _TEXT_KEYS if isinstance(data.get(key), str | list | dict)]
            if isinstance(data.get("title"), str) and isinstance(data.get("detail"), str):
                parts = [f"{_said(data['title'])}: {_said(data['detail'])}"]
            said = next((part for part in parts if part), "")
            fields = _fields(data, depth)
            return "; ".join(part for part in (said, fields) if part)
    return ""


def _fields(data: Mapping[str, Any], depth: int) -> str:
    """What is wrong field by field: ``errors`` or ``invalid-params`` as a list, or an object by field."""
    for key in ("errors", "invalid-params", "invalid_params", "violations"):
        match data.get(key):
            case list() as listed:
                return _said(listed, depth + 1)
            case dict() as named:
                lines = [f"{name}: {_said(value, depth + 1)}" for name, value in list(named.items())[:_MAX_PROBLEMS]]
                return "; ".join(lines)
    return ""


def _item(item: Any, depth: int) -> str:
    """One entry of a list of errors, after the field that it is about."""
    said = _said(item, depth + 1)
    if not said or not isinstance(item, dict):
        return said
    where = item.get("loc") or item.get("field") or item.get("pointer") or item.get("name") or item.get("path")
    named = ".".join(str(part) for part in where) if isinstance(where, list) else where
    return f"{named}: {said}" if isinstance(named, str) and named else said
