"""Arguments that a JSON schema describes, where there is no Python signature: checked, and explained to the model."""

from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from pydantic_core import from_json
from referencing import Registry

from tools.errors import ToolDefinitionError
from tools.signature import ArgumentsError

_MAX_ERRORS = 8
_MAX_SHOWN = 60
_MAX_LISTED = 400
_TYPES = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
          "array": "a list", "object": "an object", "null": "null"}  # fmt: skip


class SchemaArguments:
    """Reads arguments by a JSON schema (draft 2020-12) of an object. What is not in the schema is left to the tool.

    Raises:
        ToolDefinitionError: It is no valid schema.
    """

    def __init__(self, schema: Mapping[str, Any], owner: str) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            msg = f"tool {owner}: its arguments have no valid JSON schema: {error.message}"
            raise ToolDefinitionError(msg) from None
        # With a registry of its own it never fetches a reference from elsewhere.
        self._validator = Draft202012Validator(
            schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments as JSON data; an empty text counts as none.

        Raises:
            ArgumentsError: With one line per wrong field.
        """
        try:
            data = from_json(arguments if arguments.strip() else "{}", allow_inf_nan=False)
        except ValueError as error:
            msg = f"The arguments are not valid JSON: {error}"
            raise ArgumentsError(msg, "malformed_arguments") from None
        if not isinstance(data, dict):
            msg = "The arguments must be one JSON object."
            raise ArgumentsError(msg, "malformed_arguments")
        try:
            lines = list(dict.fromkeys(_lines(self._validator.iter_errors(data))))
        except RecursionError:
            lines = ["they are nested too deeply"]
        if lines:
            more = [f"and {len(lines) - _MAX_ERRORS} more"] if len(lines) > _MAX_ERRORS else []
            listed = "\n".join(f"- {line}" for line in [*lines[:_MAX_ERRORS], *more])
            msg = f"The arguments do not fit:\n{listed}"
            raise ArgumentsError(msg, "invalid_arguments")
        return data


def _lines(errors: Iterable[ValidationError]) -> Iterable[str]:
    for error in sorted(errors, key=lambda error: (error.json_path, error.validator != "required")):
        yield from _explained(error)


def _explained(error: ValidationError) -> Iterable[str]:
    """What is wrong with one value, and what it should be."""
    where = ".".join(map(str, error.absolute_path))
    below = f"{where}." if where else ""
    match error.validator:
        case "required":
            yield from (f"{below}{name}: required, but not given" for name in error.validator_value
                        if name not in error.instance)  # fmt: skip
        case "additionalProperties" if error.validator_value is False:
            known = error.schema.get("properties", {})
            listed = f"; there are {_cut(', '.join(known), _MAX_LISTED)}" if known else ""
            yield from (f"{below}{name}: no such argument{listed}" for name in error.instance if name not in known)
        case "anyOf" | "oneOf" if error.context:
            yield from _closest(error, where)
        case _:
            yield f"{where or 'the arguments'}: {_wanted(error)} (got {_cut(repr(error.instance), _MAX_SHOWN)})"


def _closest(error: ValidationError, where: str) -> Iterable[str]:
    """The alternative that the value comes closest to; all of them where it is of another type than any."""
    kinds = {each.schema_path[0]: each for each in error.context if each.validator == "type" and not each.path}
    of_its_type = [each for each in error.context if each.schema_path[0] not in kinds]
    if not of_its_type:
        types = dict.fromkeys(_type(each.validator_value) for each in kinds.values())
        yield f"{where}: must be {' or '.join(types)} (got {_cut(repr(error.instance), _MAX_SHOWN)})"
        return
    best = best_match(of_its_type)
    if best is not None:
        yield from _explained(best)


def _wanted(error: ValidationError) -> str:
    wanted = error.validator_value
    match error.validator:
        case "type":
            return f"must be {_type(wanted)}"
        case "enum":
            return f"must be one of {_cut(', '.join(map(_shown, wanted)), _MAX_LISTED)}"
        case "const":
            return f"must be {_shown(wanted)}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
            return f"must be {sign.get(error.validator, 'less than')} {wanted}"
        case "minLength" | "maxLength":
            return f"must have {'at least' if error.validator == 'minLength' else 'at most'} {wanted} characters"
        case "minItems" | "maxItems":
            return f"must have {'at least' if error.validator == 'minItems' else 'at most'} {wanted} items"
        case "pattern":
            return f"must match {_cut(wanted, _MAX_LISTED)}"
        case "format":
            return f"must be a {wanted}"
        case "oneOf":
            return "must fit exactly one of the allowed forms"
    return _cut(error.message, _MAX_LISTED)


def _type(wanted: Any) -> str:
    names = wanted if isinstance(wanted, list) else [wanted]
    return " or ".join(_TYPES.get(name, str(name)) for name in names)


def _shown(value: Any) -> str:
    from tools.serialise import to_json

    return to_json(value).decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"
