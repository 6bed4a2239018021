"""From a typed signature to the arguments that a model may give: JSON schema and validation."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import ErrorDetails

from tools.errors import ToolDefinitionError
from tools.principal import Filling, filling, mark_of
from tools.results import ToolContext, ToolFailure

_MAX_ERRORS = 8
_MAX_SHOWN = 60
_MAX_MESSAGE = 300
_SECTION = re.compile(r"^(args|arguments|parameters|params)\s*:\s*$", re.IGNORECASE)
_ENTRY = re.compile(r"^\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)$")


class ArgumentsError(ValueError):
    """The model's arguments do not fit. The message is written for the model to correct itself.

    Attributes:
        failure: ``malformed_arguments`` when it is no JSON object, else ``invalid_arguments``.
    """

    def __init__(self, message: str, failure: ToolFailure) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of one tool.

    Attributes:
        schema: JSON schema (draft 2020-12) of the arguments object.
        context: Name of the parameter that receives the ``ToolContext``, if there is one.
        fillings: How the parameters are filled that the model does not see.
    """

    schema: Mapping[str, Any]
    context: str | None
    model: type[BaseModel]
    names: Mapping[str, str]
    fillings: Mapping[str, Filling]

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments as Python values by parameter name, defaults filled in.

        An empty text counts as no arguments: some providers send it for tools without parameters.

        Raises:
            ArgumentsError: With one line per wrong field.
        """
        try:
            parsed = self.model.model_validate_json(arguments if arguments.strip() else "{}")
        except ValidationError as error:
            raise explain(error) from None
        except Exception as error:
            # A validator of the user's own type may raise anything.
            msg = f"The arguments do not fit: {type(error).__name__}: {str(error)[:_MAX_MESSAGE]}"
            raise ArgumentsError(msg, "invalid_arguments") from error
        return {parameter: getattr(parsed, field) for field, parameter in self.names.items()}


def read_signature(function: Callable[..., Any], owner: str, docstring: str) -> Signature:
    """Read the signature of ``function``, with descriptions from ``Field`` or from the docstring's ``Args``.

    Raises:
        ToolDefinitionError: A parameter has no type, or one that has no JSON schema.
    """
    hints = hints_of(function, f"tool {owner}")
    described = argument_descriptions(docstring)
    context: str | None = None
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    fillings: dict[str, Filling] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if _is_context(hints.get(name)):
            context = name
            continue
        _require_plain(parameter, name in hints, owner)
        if mark_of(hints[name]) is not None:
            fillings[name] = _filling(parameter, hints[name], f"tool {owner}: parameter {name!r}")
            continue
        # Fields get neutral names and an alias, so that a parameter may be called `copy`, `schema` or `_id`.
        field = f"field_{len(names)}"
        names[field] = name
        fields[field] = _field(name, hints[name], parameter.default, described.get(name))
    model, schema = _arguments_model(owner, fields)
    return Signature(schema=schema, context=context, model=model, names=names, fillings=fillings)


def _filling(parameter: inspect.Parameter, hint: Any, where: str) -> Filling:
    if parameter.default is not parameter.empty:
        raise ToolDefinitionError(f"{where} takes no default: who lacks what it is filled from is refused")
    return filling(hint, where)


def context_parameter(function: Callable[..., Any], owner: str) -> str | None:
    """Name of the parameter that is annotated ``ToolContext``, if there is one.

    Raises:
        ToolDefinitionError: An annotation cannot be resolved.
    """
    return next((name for name, hint in hints_of(function, owner).items() if _is_context(hint)), None)


def argument_descriptions(docstring: str) -> dict[str, str]:
    """Descriptions in the ``Args:`` section of a Google-style docstring, by parameter name."""
    lines = inspect.cleandoc(docstring).splitlines()
    start = next((index for index, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    described: dict[str, list[str]] = {}
    current: list[str] = []
    indent: int | None = None
    for line in lines[start + 1 :]:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            break
        indent = depth if indent is None else indent
        entry = _ENTRY.match(line.strip()) if depth == indent else None
        if entry:
            current = described.setdefault(entry["name"], [])
        current.append(entry["text"] if entry else line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in described.items()}


class _Schema(GenerateJsonSchema):
    """JSON schema without the titles that only repeat field names: each costs tokens in every request."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def hints_of(function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """The annotations of a function, resolved.

    Raises:
        ToolDefinitionError: One cannot be resolved.
    """
    target = function.func if isinstance(function, partial) else function
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        msg = f"{owner}: a type annotation cannot be resolved ({error}); define or import the type above the tool"
        raise ToolDefinitionError(msg) from error


def _is_context(hint: Any) -> bool:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return ToolContext in typing.get_args(hint)
    return hint is ToolContext


def _require_plain(parameter: inspect.Parameter, typed: bool, owner: str) -> None:  # noqa: FBT001
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        msg = f"tool {owner}: parameter {parameter} cannot be given by name; use plain parameters"
        raise ToolDefinitionError(msg)
    if not typed:
        msg = f"tool {owner}: parameter {parameter.name!r} needs a type annotation"
        raise ToolDefinitionError(msg)


def _field(name: str, hint: Any, default: Any, description: str | None) -> tuple[Any, Any]:
    if isinstance(default, FieldInfo):
        hint, default = Annotated[hint, default], inspect.Parameter.empty
    has_description = any(
        isinstance(extra, FieldInfo) and extra.description for extra in getattr(hint, "__metadata__", ())
    )
    options: dict[str, Any] = {"alias": name}
    if description and not has_description:
        options["description"] = description
    if default is not inspect.Parameter.empty:
        options["default"] = default
    return hint, Field(**options)


def _arguments_model(owner: str, fields: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    try:
        model = create_model("Arguments", __config__=config, **fields)
        schema = model.model_json_schema(schema_generator=_Schema)
    except (PydanticUserError, TypeError, ValueError) as error:
        msg = f"tool {owner}: the parameters have no JSON schema: {str(error).splitlines()[0]}"
        raise ToolDefinitionError(msg) from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return model, schema


def explain(error: ValidationError) -> ArgumentsError:
    """What pydantic found wrong with a model's arguments, in words that help the model to correct them."""
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    if first["type"] == "json_invalid":
        return ArgumentsError(f"The arguments are not valid JSON: {first['msg']}", "malformed_arguments")
    if not first["loc"]:
        return ArgumentsError("The arguments must be one JSON object.", "malformed_arguments")
    lines = [_line(detail) for detail in details[:_MAX_ERRORS]]
    if len(details) > _MAX_ERRORS:
        lines.append(f"and {len(details) - _MAX_ERRORS} more")
    return ArgumentsError("The arguments do not fit:\n" + "\n".join(f"- {line}" for line in lines), "invalid_arguments")


def _line(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"{where}: required, but not given"
    if detail["type"] == "extra_forbidden":
        return f"{where}: no such argument"
    shown = repr(detail["input"])
    shown = shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + "…"
    return f"{where}: {detail['msg'][0].lower()}{detail['msg'][1:]} (got {shown})"
