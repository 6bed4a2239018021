"""From the schemas of an OpenAPI document to one JSON schema (draft 2020-12) that needs nothing but itself.

Only keywords that validation or a model can use are taken over, each only where its value is of the right type; so what
comes out is always valid, whatever the document has. References are written out, unless they lead back to themselves or
would make the schema too large for a prompt: those become ``$defs``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tools.openapi.document import Document, OpenApiError, is_reference, mapping

_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_NEARLY = {"int": "integer", "long": "integer", "int32": "integer", "int64": "integer", "float": "number",
           "double": "number", "decimal": "number", "bool": "boolean", "str": "string", "text": "string",
           "date": "string", "datetime": "string", "date-time": "string", "uuid": "string", "list": "array",
           "dict": "object", "map": "object", "file": "string"}  # fmt: skip
_WRITTEN_OUT = 400
_MAX_EXAMPLES = 3
_MAX_DESCRIPTION = 400
_DEEP = 40


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError):
        return False  # JavaScript's own syntax: the back end knows it, Python does not
    return True


_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "format": lambda value: isinstance(value, str),
    "pattern": _is_pattern,
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "minLength": _is_count,
    "maxLength": _is_count,
    "minItems": _is_count,
    "maxItems": _is_count,
    "minProperties": _is_count,
    "maxProperties": _is_count,
    "uniqueItems": lambda value: isinstance(value, bool),
    "const": lambda _: True,
    "default": lambda _: True,
}


class Schemas:
    """Converts the schemas of one document. What several share goes to ``definitions``.

    Attributes:
        definitions: What ``$ref`` in the converted schemas leads to, by name: their ``$defs``.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._size = 0
        self.definitions: dict[str, Any] = {}

    def convert(self, schema: Any) -> Any:
        """The schema as JSON schema, for what is sent: read-only properties are left out."""
        return self._convert(schema, ())

    def _convert(self, schema: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping) or len(inside) > _DEEP:
            return {}
        if is_reference(schema):
            return self._reference(schema, inside)
        self._size += 1
        given = self._put_right(schema)
        made = {name: given[name] for name, fits in _PLAIN.items() if name in given and fits(given[name])}
        made |= _type(given)
        made |= _annotations(given)
        made |= _values(given, made.get("type"))
        made |= self._object(given, inside)
        made |= self._array(given, inside)
        for name in ("allOf", "anyOf", "oneOf"):
            if isinstance(given.get(name), list) and given[name]:
                made[name] = [self._convert(each, inside) for each in given[name]]
        if isinstance(given.get("not"), Mapping):
            made["not"] = self._convert(given["not"], inside)
        return _or_null(made) if given.get("nullable") is True else made

    def _reference(self, schema: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
        reference = schema["$ref"]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        try:
            target = self._document.at(reference)
        except OpenApiError:
            return self._convert(beside, inside)  # the back end checks what is not described here
        if reference in inside or self._size > _WRITTEN_OUT:
            made: Any = {"$ref": f"#/$defs/{self._defined(reference, target)}"}
        else:
            made = self._convert(target, (*inside, reference))
        if not isinstance(made, dict):
            return made
        made = {**made, **_annotations(beside)}
        if beside.get("nullable") is True:
            return _or_null(made)
        rest = {key: value for key, value in beside.items() if key not in {"description", "example", "nullable"}}
        if rest and not self._document.is_30:  # there, what stands beside a reference is ignored
            return {"allOf": [made, self._convert(rest, inside)]}
        return made

    def _defined(self, reference: str, target: Any) -> str:
        """The name of a definition, which is made when it is first asked for."""
        if reference not in self._names:
            wanted = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2])[:60] or "schema"
            name = wanted
            while name in self.definitions:
                name = f"{wanted}_{len(self.definitions)}"
            self._names[reference] = name
            self.definitions[name] = {}
            made = self._convert(target, (reference,))
            # One that is nothing but itself says nothing.
            self.definitions[name] = {} if made == {"$ref": f"#/$defs/{name}"} else made
        return self._names[reference]

    def _put_right(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema with what OpenAPI 3.0 writes differently written as JSON schema has it."""
        given = dict(schema)
        for bound in ("minimum", "maximum"):
            exclusive = f"exclusive{bound.capitalize()}"
            if given.get(exclusive) is True and _is_number(given.get(bound)):
                given[exclusive] = given.pop(bound)
        if isinstance(given.get("examples"), Mapping):  # of a parameter: named, each with a value
            given["examples"] = [
                mapping(self._document.found(each)).get("value") for each in given["examples"].values()
            ]
        elif "example" in given and "examples" not in given:
            given["examples"] = [given["example"]]
        return given

    def _object(self, given: Mapping[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        listed = mapping(given.get("properties"))
        shown = {
            str(name): self._convert(each, inside)
            for name, each in listed.items()
            if mapping(each).get("readOnly") is not True
        }
        if listed:
            made["properties"] = shown
        required = given.get("required")
        names = [str(name) for name in required if isinstance(name, str)] if isinstance(required, list) else []
        # As documents of old have it: the property itself says that it is required.
        names += [str(name) for name, each in listed.items() if mapping(each).get("required") is True]
        hidden = {str(name) for name in listed} - set(shown)
        if names := [name for name in dict.fromkeys(names) if name not in hidden]:
            made["required"] = names
        more = given.get("additionalProperties")
        if isinstance(more, bool | Mapping):
            made["additionalProperties"] = self._convert(more, inside)
        return made

    def _array(self, given: Mapping[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if isinstance(given.get("items"), Mapping | bool):
            made["items"] = self._convert(given["items"], inside)
        prefix = given.get("prefixItems")
        if isinstance(prefix, list) and prefix:
            made["prefixItems"] = [self._convert(each, inside) for each in prefix]
        return made


def _type(given: Mapping[str, Any]) -> dict[str, Any]:
    """The type, its common misspellings put right; told from the other keywords where it is missing."""
    named = given.get("type")
    names = named if isinstance(named, list) else [named]
    known = [_NEARLY.get(name.lower(), name.lower()) for name in names if isinstance(name, str)]
    known = [name for name in dict.fromkeys(known) if name in _TYPES]
    if known:
        return {"type": known[0] if len(known) == 1 else known}
    if mapping(given.get("properties")):
        return {"type": "object"}
    if isinstance(given.get("items"), Mapping):
        return {"type": "array"}
    return {}


def _values(given: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """What may be chosen from. YAML makes numbers of the digits in a list of texts: they become texts again."""
    values = given.get("enum")
    if not isinstance(values, list) or not values:
        return {}
    if kind == "string":
        values = [str(value) if _is_number(value) else value for value in values]
    return {"enum": [value for index, value in enumerate(values) if value not in values[:index]]}


def _annotations(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    description = given.get("description") or given.get("title")
    if isinstance(description, str) and description.strip():
        made["description"] = short(description, _MAX_DESCRIPTION)
    examples = given.get("examples")
    if isinstance(examples, list) and examples:
        made["examples"] = [each for each in examples if each is not None][:_MAX_EXAMPLES]
    return made


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, which null fits too."""
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    combined = {"$ref", "allOf", "anyOf", "oneOf", "not", "const"} & set(schema)
    kind = schema.get("type")
    if combined:
        described = {key: value for key, value in schema.items() if key in {"description", "examples", "default"}}
        rest = {key: value for key, value in schema.items() if key not in described}
        return {**described, "anyOf": [rest, {"type": "null"}]}
    if kind is None:
        return schema
    kinds = kind if isinstance(kind, list) else [kind]
    return {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}


def short(text: str, most: int) -> str:
    """The text without Markdown's line breaks, cut at a word."""
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    return flat[:most].rsplit(" ", 1)[0].rstrip(",;:") + " …"
