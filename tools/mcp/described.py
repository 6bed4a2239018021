"""What a server says of a tool, made fit for a model: bounded, readable, and cheap to check arguments against.

All of it is untrusted text. A description may try to tell the model what to do, hide that from whoever reads it
(Unicode UTS #39), or be made so that checking a value against it takes for ever.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tools.errors import ToolDefinitionError
from tools.json_schema import SchemaArguments

_DESCRIPTION = 1000
_PARAMETER = 300
_SCHEMA_BYTES = 64 << 10
_DEEPEST = 40
_EXPANDED = 20_000
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]+")
# A pattern may take for ever to match; the server checks it. An id would change what references mean.
_LEFT_OUT = frozenset({"$schema", "$id", "pattern", "patternProperties"})
_TEXTS = frozenset({"description", "title", "$comment"})
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"enum", "const", "default", "examples", "required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A tool as its server says it is.

    Attributes:
        remote: Its name there.
        schema: What a model is shown.
        arguments: Checks arguments against the same.
        digest: Of all that the server says; another one is another tool.
    """

    remote: str
    description: str
    schema: Mapping[str, Any]
    arguments: SchemaArguments = field(repr=False, compare=False)
    digest: str
    reads: bool
    destroys: bool
    repeatable: bool


def described(told: Mapping[str, Any], before: Described | None = None) -> Described:
    """Read an entry of ``tools/list``, as JSON data.

    Args:
        told: The entry.
        before: What was read of that tool before; given back where the server says the same.

    Raises:
        ToolDefinitionError: It cannot be offered to a model.
    """
    said = {name: told[name] for name in told if name not in {"_meta", "icons", "execution"}}
    digest = "sha256:" + hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
    if before is not None and before.digest == digest:
        return before
    annotations = told.get("annotations") or {}
    name = str(told["name"])
    schema = argument_schema(told.get("inputSchema"), name)
    return Described(
        remote=name,
        description=readable(str(told.get("description") or annotations.get("title") or name), _DESCRIPTION),
        schema=schema,
        arguments=SchemaArguments(schema, readable(name, 64)),
        digest=digest,
        # As the specification has them where they are not given: it changes something, and may destroy.
        reads=annotations.get("readOnlyHint") is True,
        destroys=annotations.get("destructiveHint") is not False,
        repeatable=annotations.get("idempotentHint") is True,
    )


def tool_name(server: str, remote: str) -> str:
    """The name under which a model calls the tool: ``server_tool``, fit for every provider.

    Where that cannot be the tool's whole name it ends with a hash of it, so that two tools never have one name.
    """
    plain = _UNFIT.sub("_", remote)
    name = f"{server}_{plain}"
    if plain == remote and len(name) <= 64:
        return name
    return f"{name[:57]}_{hashlib.sha256(remote.encode('utf-8', 'replace')).hexdigest()[:6]}"


def readable(text: str, most: int) -> str:
    """The text on one line, without what cannot be seen, and no longer than ``most`` characters."""
    seen = "".join(character if character.isprintable() else " " for character in text[: 4 * most])
    line = " ".join(seen.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def argument_schema(schema: Any, owner: str) -> Mapping[str, Any]:
    """The JSON schema of a tool's arguments, made safe to show and to check against.

    Raises:
        ToolDefinitionError: It is too large, or no schema of an object.
    """
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise ToolDefinitionError(f"tool {readable(owner, 64)}: its arguments are no object")
    try:
        size = len(orjson.dumps(schema))
        cleaned: dict[str, Any] = {"properties": {}, **_cleaned(schema, 0), "type": "object"}
    except (TypeError, RecursionError) as error:
        raise ToolDefinitionError(f"tool {readable(owner, 64)}: its schema cannot be read: {error}") from None
    if size > _SCHEMA_BYTES:
        raise ToolDefinitionError(f"tool {readable(owner, 64)}: its schema has {size} bytes; {_SCHEMA_BYTES} are read")
    return cleaned if _is_cheap(cleaned) else _flat(cleaned)


def _cleaned(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise TypeError("it is nested too deeply")
    kept: dict[str, Any] = {}
    open_ended = "patternProperties" in schema
    for key, value in schema.items():
        if key in _LEFT_OUT or (key == "additionalProperties" and open_ended):
            continue
        if key in _TEXTS:
            kept[key] = readable(str(value), _PARAMETER)
        elif key in _NAMED_SCHEMAS and isinstance(value, Mapping):
            kept[key] = {name: _inner(each, depth + 1) for name, each in value.items()}
        else:
            kept[key] = value if key in _DATA else _inner(value, depth + 1)
    return kept


def _inner(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _cleaned(value, depth)
    if isinstance(value, list):
        return [_inner(each, depth + 1) for each in value]
    return value


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the arguments alone: the server checks their values."""
    properties = schema.get("properties")
    names = properties if isinstance(properties, Mapping) else {}
    texts = {
        name: {"description": each["description"]} if isinstance(each, Mapping) and "description" in each else {}
        for name, each in names.items()
    }
    flat: dict[str, Any] = {"type": "object", "properties": texts}
    if isinstance(schema.get("required"), list):
        flat["required"] = schema["required"]
    if schema.get("additionalProperties") is False:
        flat["additionalProperties"] = False
    return flat


def _is_cheap(schema: Mapping[str, Any]) -> bool:
    """Whether the schema is small with every reference replaced by what it stands for.

    One that refers to itself never is, and few references to references can stand for millions.
    """
    left = [schema]
    for _ in range(_EXPANDED):
        if not left:
            return True
        node = left.pop()
        reference = node.get("$ref")
        if "$dynamicRef" in node or "$recursiveRef" in node:
            return False
        if reference is not None:
            target = _target(schema, reference)
            if target is None:
                return False
            left.append(target)
        left += _children(node)
    return False


def _children(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key, value in node.items():
        if key in _DATA or key in {"$defs", "definitions"}:
            continue
        if key in _NAMED_SCHEMAS and isinstance(value, Mapping):
            yield from (each for each in value.values() if isinstance(each, Mapping))
        elif isinstance(value, Mapping):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, Mapping))


def _target(root: Mapping[str, Any], reference: Any) -> Mapping[str, Any] | None:
    """What a reference within the schema stands for; nothing is fetched from elsewhere."""
    if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
        return None
    found: Any = root
    for part in reference[2:].split("/") if len(reference) > 1 else ():
        key = part.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None
