"""``from_openapi``: the operations of a document as tools that call one API."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import structlog

from models.messages import ToolSpec
from tools.hooks import Invoke
from tools.http.api import IDEMPOTENT, SAFE, HttpApi
from tools.json_schema import SchemaArguments
from tools.openapi.document import Document, OpenApiError, read_document
from tools.openapi.operation import Operation, bounded_name, read_operation
from tools.openapi.request import request_options
from tools.openapi.security import is_credential, unmet
from tools.results import Autonomy, Effect, ToolContext
from tools.tool import Tool

_log = structlog.get_logger("cairn.tools")

_GRACE = 5.0


def from_openapi(
    spec: Mapping[str, Any] | str | Path,
    api: HttpApi,
    *,
    tags: Collection[str] = (),
    paths: Collection[str] = (),
    operations: Collection[str] = (),
    prefix: str = "",
    effects: Mapping[str, Effect] | None = None,
    autonomy: Autonomy | Mapping[str, Autonomy] | None = None,
    idempotent: Mapping[str, bool] | None = None,
    examples: Mapping[str, Sequence[str]] | None = None,
) -> list[Tool]:
    """The operations of an OpenAPI 3.0 or 3.1 document as tools.

    An operation may be named by its tool's name, by its ``operationId``, or as ``"GET /orders/{id}"``. One that a model
    cannot call, because it takes a file, is left out with a warning in the log.

    Args:
        spec: A mapping, the path of a JSON or YAML file, or such a file's text.
        api: Where requests go, and with which credentials; the document's servers are not asked.
        tags: Only operations with one of these tags.
        paths: Only paths that match one of these patterns: ``/orders*``.
        operations: Only these operations.
        prefix: Before each name; it keeps two APIs apart.
        effects: Where the method does not say it: GET and HEAD read, POST, PUT and PATCH write, DELETE is irreversible.
        autonomy: For all that change something, or by operation.
        idempotent: Where the method does not say it: PUT and DELETE are (RFC 9110, 9.2.2), and whatever is sent with an
            ``Idempotency-Key`` that the back end honours.
        examples: Questions of users that an operation answers; they help small models to pick it.

    Raises:
        OpenApiError: The document cannot be read, an option names no operation, nothing is left, or the API lacks
            credentials that an operation asks for.
    """
    document = read_document(spec)
    listed = [
        operation
        for operation in _named(_operations(document, api), prefix)
        if _is_wanted(operation, tags, paths, operations)
    ]
    if not listed:
        raise OpenApiError("no operation of the document is left; check tags, paths and operations")
    by_name = autonomy if isinstance(autonomy, Mapping) else {}
    for option, names in (("operations", operations), ("effects", effects), ("autonomy", by_name),
                          ("idempotent", idempotent), ("examples", examples)):  # fmt: skip
        _check_names(option, names or (), listed)
    lacking = {operation.name: lack for operation in listed if (lack := unmet(document, operation, api.auth))}
    if lacking:
        name, lack = next(iter(lacking.items()))
        more = f" (as do {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise OpenApiError(f"operation {name} asks for credentials that the HttpApi lacks{more}: {lack}")
    return [
        _tool(
            operation,
            api,
            effect=_chosen(effects or {}, operation) or _effect(operation.method),
            autonomy=_chosen(by_name, operation) if isinstance(autonomy, Mapping) else autonomy,
            idempotent=_chosen(idempotent or {}, operation),
            examples=tuple(_chosen(examples or {}, operation) or ()),
        )
        for operation in listed
    ]


def _tool(
    operation: Operation,
    api: HttpApi,
    *,
    effect: Effect,
    autonomy: Autonomy | None,
    idempotent: bool | None,
    examples: tuple[str, ...],
) -> Tool:
    keyed = operation.takes_key or api.honours_idempotency_key
    return Tool(
        spec=ToolSpec(
            name=operation.name,
            description=operation.description,
            parameters=operation.schema,
            examples=examples,
            effect=effect,
        ),
        arguments=SchemaArguments(operation.schema, operation.name),
        invoke=_invoke(operation, api),
        timeout=api.limits.total + _GRACE,
        autonomy=autonomy if effect != "read" else None,
        idempotent=operation.method in IDEMPOTENT or keyed if idempotent is None else idempotent,
        resources=(api,),
    )


def _invoke(operation: Operation, api: HttpApi) -> Invoke:
    async def invoke(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        options = request_options(operation, arguments)
        options["context"] = context
        return await api.request(operation.method, operation.path, **options)

    return invoke


def _operations(document: Document, api: HttpApi) -> Iterable[Operation]:
    for path, method, item, given in document.operations():
        try:
            operation = read_operation(document, path, method, item, given)
        except OpenApiError as error:
            _log.warning("operation left out", operation=f"{method} {path}", reason=str(error))
            continue
        yield _without_credentials(operation, document, api)


def _without_credentials(operation: Operation, document: Document, api: HttpApi) -> Operation:
    """The operation without the parameters that the connector fills in."""
    hidden = {
        each.argument for each in operation.parameters if is_credential(each.place, each.name, document, api.auth)
    }
    if not hidden:
        return operation
    schema = dict(operation.schema)
    schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in hidden}
    schema["required"] = [name for name in schema.get("required", []) if name not in hidden]
    parameters = tuple(each for each in operation.parameters if each.argument not in hidden)
    return replace(operation, schema=schema, parameters=parameters)


def _named(operations: Iterable[Operation], prefix: str) -> Iterable[Operation]:
    """The operations under names that are unique: a second one of the same name is told by its method and path."""
    taken: set[str] = set()
    for operation in operations:
        base = f"{prefix}{operation.name}"
        by_path = re.sub(r"[^a-zA-Z0-9]+", "_", f"{base}_{operation.label}").strip("_").lower()
        candidates = [base, by_path, *(f"{by_path}_{number}" for number in range(2, 1000))]
        name = next(name for each in candidates if (name := bounded_name(each)) not in taken)
        taken.add(name)
        yield replace(operation, name=name)


def _is_wanted(
    operation: Operation, tags: Collection[str], paths: Collection[str], operations: Collection[str]
) -> bool:
    if tags and set(tags).isdisjoint(operation.tags):
        return False
    if paths and not any(fnmatchcase(operation.template, pattern) for pattern in paths):
        return False
    return not operations or not set(operations).isdisjoint(_names_of(operation))


def _names_of(operation: Operation) -> set[str]:
    return {operation.name, operation.label} | ({operation.id} if operation.id else set())


def _check_names(option: str, names: Iterable[str], listed: Sequence[Operation]) -> None:
    known = {name for operation in listed for name in _names_of(operation)}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise OpenApiError(f"{option}: there is no operation {name!r}{hint}")


def _chosen(given: Mapping[str, Any], operation: Operation) -> Any:
    return next((given[name] for name in sorted(_names_of(operation)) if name in given), None)


def _effect(method: str) -> Effect:
    if method in SAFE:
        return "read"
    return "irreversible" if method == "DELETE" else "write"
