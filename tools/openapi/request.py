"""From arguments to a request: each where its parameter says, written as its style says (OpenAPI 3.1, 4.8.12)."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from tools.http.api import Options
from tools.openapi.operation import Operation, Parameter
from tools.serialise import to_json


def request_options(operation: Operation, arguments: Mapping[str, Any]) -> Options:
    """What to hand to ``HttpApi.request`` besides method and path."""
    given = [(each, arguments[each.argument]) for each in operation.parameters if each.argument in arguments]
    options = Options(
        fields={each.argument: _joined(each, value) for each, value in given if each.place == "path"},
        query=[pair for each, value in given if each.place == "query" for pair in _query(each, value)],
        headers=_headers(given),
    )
    _add_body(options, operation, arguments)
    return options


def _headers(given: Iterable[tuple[Parameter, Any]]) -> dict[str, str]:
    headers = {each.name: _joined(each, value) for each, value in given if each.place == "header"}
    cookies = [f"{each.name}={quote(_joined(each, value))}" for each, value in given if each.place == "cookie"]
    return {**headers, "Cookie": "; ".join(cookies)} if cookies else headers


def _add_body(options: Options, operation: Operation, arguments: Mapping[str, Any]) -> None:
    body = operation.body
    if body is None:
        return
    if body.argument is not None and body.argument not in arguments:
        return
    value = (
        arguments[body.argument]
        if body.argument is not None
        else {name: arguments[argument] for argument, name in body.fields.items() if argument in arguments}
    )
    if body.is_form:
        options["form"] = [pair for name, each in dict(value).items() for pair in _form(name, each)]
    elif body.is_text:
        options["text"] = text(value)
    else:
        options["json"] = value
        if body.media_type != "application/json":
            options["headers"] = {**options.get("headers", {}), "Content-Type": body.media_type}


def _query(parameter: Parameter, value: Any) -> list[tuple[str, Any]]:
    name = parameter.name
    if value is None:
        return []
    if parameter.as_json:
        return [(name, to_json(value).decode())]
    if isinstance(value, Mapping) and parameter.style == "deepObject":
        return list(_deep(name, value))
    if isinstance(value, Mapping) and parameter.explode:
        return [(str(key), text(each)) for key, each in value.items() if each is not None]
    if isinstance(value, list) and parameter.explode:
        return [(name, text(each)) for each in value]
    separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
    return [(name, separator.join(_flattened(value)))]


def _deep(name: str, value: Any) -> Iterable[tuple[str, str]]:
    match value:
        case Mapping():
            for key, each in value.items():
                yield from _deep(f"{name}[{key}]", each)
        case list():
            for each in value:
                yield from _deep(name, each)
        case None:
            return
        case _:
            yield name, text(value)


def _form(name: str, value: Any) -> list[tuple[str, str]]:
    """A field of a form: a list is repeated, an object is JSON (OpenAPI 3.1, 4.8.14.4)."""
    values = value if isinstance(value, list) else [value]
    return [(name, text(each)) for each in values if each is not None]


def _joined(parameter: Parameter, value: Any) -> str:
    if parameter.as_json:
        return to_json(value).decode()
    if isinstance(value, Mapping) and parameter.explode:
        return ",".join(f"{key}={text(each)}" for key, each in value.items())
    return ",".join(_flattened(value))


def _flattened(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [part for key, each in value.items() for part in (str(key), text(each))]
    return [text(each) for each in value] if isinstance(value, list) else [text(value)]


def text(value: Any) -> str:
    """A value as a parameter shows it: texts as they are, anything else as JSON writes it."""
    if isinstance(value, str):
        return value
    return "" if value is None else to_json(value).decode()
