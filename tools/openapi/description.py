"""What a model is told of an operation: what it does, in the document's words, and what comes back."""

from collections.abc import Iterator, Mapping
from typing import Any

from tools.openapi.document import Document, OpenApiError, mapping, sequence
from tools.openapi.schema import short

_MAX_DESCRIPTION = 600


def describe(document: Document, given: Mapping[str, Any], method: str, path: str) -> str:
    """What the operation does, in the document's words, and what comes back."""
    texts = [text for key in ("summary", "description") if isinstance(text := given.get(key), str) and text.strip()]
    sentences = " ".join(" ".join(text.split()).rstrip(".") + "." for text in dict.fromkeys(texts))
    said = short(sentences, _MAX_DESCRIPTION)
    found = list(dict.fromkeys(_returned(document, given)))[:12]
    returns = f" Returns {', '.join(found)}." if found else ""
    deprecated = " Deprecated." if given.get("deprecated") is True else ""
    return f"{said}{deprecated}{returns} ({method} {path})".strip()


def _returned(document: Document, given: Mapping[str, Any]) -> Iterator[str]:
    """The names of the fields in the answer; of the entries, where it is a list in an envelope."""
    responses = mapping(given.get("responses"))
    by_status = {str(status): response for status, response in responses.items()}  # YAML reads a status as a number
    status = next((code for code in ("200", "201", "2XX", "default") if code in by_status), None)
    if status is None:
        return
    try:
        response = mapping(document.resolved(by_status[status]))
        media = next(iter(mapping(response.get("content")).values()), None)
        schema = mapping(document.resolved(mapping(media).get("schema")))
        if schema.get("type") == "array":
            schema = mapping(document.resolved(schema.get("items")))
        yield from _property_names(document, schema, 3)
    except OpenApiError:
        return


def _property_names(document: Document, schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, each in mapping(schema.get("properties")).items():
        yield str(name)
        inner = mapping(document.resolved(each))
        if inner.get("type") == "array" and len(mapping(schema["properties"])) <= 5 and depth:
            yield from _property_names(document, mapping(document.resolved(inner.get("items"))), 0)
    if depth:
        for key in ("allOf", "anyOf", "oneOf"):
            for each in sequence(schema.get(key)):
                yield from _property_names(document, mapping(document.resolved(each)), depth - 1)
