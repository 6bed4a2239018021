"""One operation of a document as a tool needs it: a name, a text for the model, and where each argument goes."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tools.openapi.description import describe
from tools.openapi.document import Document, OpenApiError, mapping, sequence
from tools.openapi.schema import Schemas, short

Place = Literal["path", "query", "header", "cookie"]
_PLACES = ("path", "query", "header", "cookie")
_OWN_HEADERS = frozenset({"accept", "content-type", "authorization", "cookie", "host", "content-length"})
_FIELD = re.compile(r"\{([^{}]+)\}")
_JSON = re.compile(r"^(application/([\w.-]+\+)?json|\*/\*|application/\*)$")
_FORM = "application/x-www-form-urlencoded"
_COMBINED = frozenset({"allOf", "anyOf", "oneOf", "not", "$ref", "minProperties", "maxProperties"})
KEY_HEADER = "idempotency-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Where one argument goes.

    Attributes:
        argument: As the model gives it; the name, made fit for one.
    """

    argument: str
    name: str
    place: Place
    style: str
    explode: bool
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """How the body of a request is made.

    Attributes:
        media_type: As it is sent.
        argument: The argument that is the whole body, when it is one.
        fields: Else the body's fields, by argument.
    """

    media_type: str
    argument: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_form(self) -> bool:
        return self.media_type == _FORM

    @property
    def is_text(self) -> bool:
        return self.media_type == "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation.

    Attributes:
        id: As the document calls it; empty when it does not.
        path: With ``{fields}`` by argument.
        schema: JSON schema of the arguments.
        takes_key: Whether it documents a header ``Idempotency-Key``, so that the back end honours it.
    """

    id: str
    name: str
    method: str
    path: str
    template: str
    tags: tuple[str, ...]
    description: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    schema: Mapping[str, Any]
    takes_key: bool
    security: tuple[Mapping[str, Any], ...]

    @property
    def label(self) -> str:
        return f"{self.method} {self.template}"


@dataclass(slots=True)
class _Arguments:
    """The arguments of one operation while they are collected."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)

    def add(self, name: str, schema: Any, *, required: bool, prefix: str) -> str:
        wanted = argument_name(name)
        free = [wanted, f"{prefix}_{wanted}", *(f"{wanted}_{number}" for number in range(2, 99))]
        argument = next(each[:64] for each in free if each[:64] not in self.properties)
        self.properties[argument] = schema
        if required:
            self.required.append(argument)
        return argument


def read_operation(
    document: Document, path: str, method: str, item: Mapping[str, Any], given: Mapping[str, Any]
) -> Operation:
    """Read one operation.

    Raises:
        OpenApiError: Something that it needs is missing, or cannot be sent.
    """
    schemas = Schemas(document)
    arguments = _Arguments()
    declared = _parameters(document, path, item, given)
    parameters = tuple(_read_parameter(each, schemas, arguments) for each in declared if not _is_own(each))
    body = _read_body(document, given, schemas, arguments)
    schema: dict[str, Any] = {"type": "object", "properties": arguments.properties, "additionalProperties": False}
    if arguments.required:
        schema["required"] = arguments.required
    if schemas.definitions:
        schema["$defs"] = schemas.definitions
    identifier = given.get("operationId")
    identifier = identifier.strip() if isinstance(identifier, str) else ""
    security = given.get("security", document.root.get("security"))
    return Operation(
        id=identifier,
        name=operation_name(identifier, method, path),
        method=method,
        path=_with_arguments(path, parameters),
        template=path,
        tags=tuple(map(str, sequence(given.get("tags")))),
        description=describe(document, given, method, path),
        parameters=parameters,
        body=body,
        schema=schema,
        takes_key=any(_is_key(each) for each in declared),
        security=tuple(map(mapping, sequence(security))),
    )


def operation_name(identifier: str, method: str, path: str) -> str:
    """A name for a model, from the operation's id or, where it has none, from method and path.

    FastAPI appends path and method to the function's name; they are taken off again.
    """
    generated = "_" + re.sub(r"\W", "_", path.strip("/")) + "_" + method.lower()
    base = identifier[: -len(generated)] if identifier.endswith(generated) else identifier
    name = argument_name(base or f"{method.lower()}_{path}").replace(".", "_")
    return bounded_name(name)


def bounded_name(name: str) -> str:
    """The name in at most 64 characters; one that is cut ends with a hash of the whole."""
    return name if len(name) <= 64 else f"{name[:57]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def argument_name(name: str) -> str:
    """The name with only those signs that every provider takes."""
    return re.sub(r"_{2,}", "_", re.sub(r"[^a-zA-Z0-9_.-]", "_", name)).strip("_") or "value"


def _parameters(
    document: Document, path: str, item: Mapping[str, Any], given: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The operation's parameters: its path's, its own over them, and those that only the path's text has."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for listed in (item.get("parameters"), given.get("parameters")):
        for each in sequence(listed):
            parameter = mapping(document.resolved(each))
            name, place = parameter.get("name"), parameter.get("in")
            if isinstance(name, str) and place in _PLACES:
                found[name, str(place)] = parameter
    fields = _FIELD.findall(path)
    for name in fields:
        found.setdefault((name, "path"), {"name": name, "in": "path", "schema": {"type": "string"}})
    # The path's first: where two have one name, they keep it.
    of_path = [each for (name, place), each in found.items() if place == "path" and name in fields]
    return of_path + [each for (_, place), each in found.items() if place != "path"]


def _is_key(parameter: Mapping[str, Any]) -> bool:
    return parameter["in"] == "header" and str(parameter["name"]).lower() == KEY_HEADER


def _is_own(parameter: Mapping[str, Any]) -> bool:
    """Whether it is for the connector to send, and not for a model to choose."""
    return _is_key(parameter) or (parameter["in"] == "header" and parameter["name"].lower() in _OWN_HEADERS)


def _read_parameter(given: Mapping[str, Any], schemas: Schemas, arguments: _Arguments) -> Parameter:
    name, place = given["name"], given["in"]
    content = mapping(given.get("content"))
    # Documents that were once Swagger have the type in the parameter itself.
    schema = mapping(next(iter(content.values()))).get("schema") if content else given.get("schema", given)
    described = {key: given[key] for key in ("description", "example", "examples") if key in given}
    converted = schemas.convert(schema if schema is not given else {**given, "required": None})
    if isinstance(converted, dict):
        converted = {**converted, **{k: v for k, v in schemas.convert(described).items() if k not in converted}}
    required = place == "path" or given.get("required") is True
    style = given.get("style")
    style = style if isinstance(style, str) else "form" if place in {"query", "cookie"} else "simple"
    explode = given.get("explode")
    return Parameter(
        argument=arguments.add(name, converted, required=required, prefix=place),
        name=name,
        place=place,
        style=style,
        explode=explode if isinstance(explode, bool) else style == "form",
        as_json=any(map(_JSON.match, content)),
    )


def _read_body(document: Document, given: Mapping[str, Any], schemas: Schemas, arguments: _Arguments) -> Body | None:
    if "requestBody" not in given:
        return None
    body = mapping(document.resolved(given["requestBody"]))
    content = mapping(body.get("content"))
    if not content:
        return None
    media_type, media = _sendable(content)
    schema = schemas.convert(mapping(media).get("schema", {}))
    required = body.get("required") is True
    flat = _flat(document, mapping(media).get("schema"), schema, required=required)
    if flat is None or media_type == "text/plain":
        described = {**schema, **_described(body, schema)} if isinstance(schema, dict) else schema
        return Body(media_type=media_type, argument=arguments.add("body", described, required=required, prefix="whole"))
    needed = flat.get("required", [])
    fields = {
        arguments.add(name, each, required=name in needed, prefix="body"): name
        for name, each in flat["properties"].items()
    }
    return Body(media_type=media_type, fields=fields)


def _sendable(content: Mapping[str, Any]) -> tuple[str, Any]:
    """The media type to send, JSON before forms before text.

    Raises:
        OpenApiError: There are only others.
    """
    plain = {str(name).partition(";")[0].strip().lower(): media for name, media in content.items()}
    json = next((name for name in plain if _JSON.match(name)), None)
    if json is not None:
        return ("application/json" if "*" in json else json), plain[json]
    for name in (_FORM, "text/plain"):
        if name in plain:
            return name, plain[name]
    raise OpenApiError(f"it takes {' or '.join(plain)}, which a model cannot send")


def _flat(document: Document, given: Any, schema: Any, *, required: bool) -> Mapping[str, Any] | None:
    """The body's schema when its fields can be arguments of their own, without saying anything else than it does."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or not schema.get("properties"):
        return None
    try:
        is_open = (
            "additionalProperties" in mapping(document.resolved(given)) and schema["additionalProperties"] is not False
        )
    except OpenApiError:
        return None
    if is_open or not _COMBINED.isdisjoint(schema) or (schema.get("required") and not required):
        return None
    return schema


def _described(body: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    text = body.get("description")
    return {"description": short(text, 400)} if isinstance(text, str) and "description" not in schema else {}


def _with_arguments(path: str, parameters: tuple[Parameter, ...]) -> str:
    """The path with the arguments' names as fields, and with what some styles put before a value (RFC 6570)."""
    named = {each.name: each for each in parameters if each.place == "path"}

    def field_of(found: re.Match[str]) -> str:
        parameter = named[found[1]]
        before = {"label": ".", "matrix": f";{parameter.name}="}.get(parameter.style, "")
        return f"{before}{{{parameter.argument}}}"

    return _FIELD.sub(field_of, path)
