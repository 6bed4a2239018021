"""Snapshots of promises: compared with what is committed, written anew by ``--update-golden``."""

from collections.abc import Iterator, Mapping
from typing import Any

JSON = Mapping[str, Any]


def removals(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """What ``after`` has lost or changed of ``before``: what breaks somebody who reads it.

    Prose and examples may change freely; keys may be added, and so may alternatives and values of an enum.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if key in _PROSE and not isinstance(value, Mapping):
                continue
            place = f"{path}/{key}"
            if key not in after:
                yield f"{place} is gone"
            else:
                yield from removals(value, after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        kept = [_key(item) for item in after]
        for item in before:
            if _key(item) not in kept:
                yield f"{path} has lost {_key(item)}"
    elif before != after:
        yield f"{path} was {before!r} and is {after!r}"


def demands(before: JSON, after: JSON) -> Iterator[str]:
    """What the requests of ``after`` ask for that those of ``before`` did not."""
    for path, method, operation in operations(before):
        now = after["paths"].get(path, {}).get(method)
        if now is None:
            continue
        place = f"{method.upper()} {path}"
        known = {(given["name"], given["in"]) for given in operation.get("parameters", []) if given["required"]}
        for given in now.get("parameters", []):
            if given["required"] and (given["name"], given["in"]) not in known:
                yield f"{place} now requires the parameter {given['name']!r}"
        for media, body in operation.get("requestBody", {}).get("content", {}).items():
            told = now.get("requestBody", {}).get("content", {}).get(media)
            if told is not None:
                more = _required(after, told["schema"]) - _required(before, body["schema"])
                yield from (f"{place} now requires the field {name!r}" for name in sorted(more))


def operations(document: JSON) -> Iterator[tuple[str, str, JSON]]:
    """Every route of an OpenAPI document: path, method, operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: JSON, schema: JSON) -> JSON:
    """A schema, or the component that it refers to."""
    if "anyOf" in schema:
        return next(resolved(document, choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    name = schema.get("$ref", "").rpartition("/")[2]
    found: JSON = document["components"]["schemas"][name] if name else schema
    return found


def _required(document: JSON, schema: JSON) -> set[str]:
    return set(resolved(document, schema).get("required", []))


_PROSE = frozenset({"description", "title", "examples", "example", "summary", "version", "default"})


def _key(item: Any) -> str:
    """What a member of a list is known by; where it stands does not matter."""
    if isinstance(item, Mapping):
        if "name" in item and "in" in item:
            return f"{item['in']} parameter {item['name']}: {_shape(item.get('schema', {}))}"
        return _shape(item)
    return str(item)


def _shape(schema: JSON) -> str:
    return repr({key: value for key, value in sorted(schema.items()) if key not in _PROSE})
