"""A token of whoever asks never comes back: whatever a tool returns or says, it is taken out before anybody sees it."""

from dataclasses import replace
from typing import Any, TypeVar

from pydantic import SecretStr

from tools.results import NotDone, ToolResult

_HIDDEN = "[secret]"

R = TypeVar("R", ToolResult, ToolResult | NotDone, ToolResult | None)


def withheld(result: R, token: SecretStr | None) -> R:
    """The result without the token. Searches that brought sources are left as they are: documents know no tokens."""
    secret = token.get_secret_value() if token is not None else ""
    if not secret or not isinstance(result, ToolResult):
        return result
    return replace(result, content=result.content.replace(secret, _HIDDEN), value=_without(result.value, secret))


def _without(value: Any, secret: str) -> Any:
    match value:
        case str():
            return value.replace(secret, _HIDDEN)
        case list():
            return [_without(each, secret) for each in value]
        case dict():
            return {_without(name, secret): _without(each, secret) for name, each in value.items()}
    return value
