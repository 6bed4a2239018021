"""An OpenAPI document as it was written: read from text, its references followed, its versions told apart."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tools.errors import ToolDefinitionError

Json = Any
METHODS = ("get", "head", "post", "put", "patch", "delete")
_DEPTH = 32


class OpenApiError(ToolDefinitionError):
    """A document is not OpenAPI 3, or something in it cannot be used. The message says what."""


class Document:
    """An OpenAPI 3.0 or 3.1 document.

    Raises:
        OpenApiError: It is something else.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        if "swagger" in root:
            raise OpenApiError(
                f"the document is Swagger {root['swagger']}, not OpenAPI 3: convert it first"
                " (for instance with https://converter.swagger.io)"
            )
        version = str(root.get("openapi", ""))
        if not version.startswith("3."):
            said = f"says openapi: {version}" if version else "has no field openapi"
            raise OpenApiError(f"the document {said}; OpenAPI 3.0 and 3.1 can be read")
        if not isinstance(root.get("paths"), Mapping):
            raise OpenApiError("the document has no paths")
        self.is_30 = version.startswith("3.0")

    @cached_property
    def security_schemes(self) -> Mapping[str, Mapping[str, Any]]:
        """The security schemes by name."""
        listed = mapping(mapping(self.root.get("components")).get("securitySchemes"))
        return {name: mapping(self.resolved(scheme)) for name, scheme in listed.items()}

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
        """Path, method, path item and operation, in the document's order."""
        for path, given in self.root["paths"].items():
            item = mapping(self.resolved(given))
            for method in METHODS:
                operation = item.get(method)
                if isinstance(operation, Mapping) and str(path).startswith("/"):
                    yield str(path), method.upper(), item, operation

    def resolved(self, value: Json) -> Json:
        """What a reference leads to; anything else as it is.

        Raises:
            OpenApiError: It leads nowhere, to another document, or in a circle.
        """
        for _ in range(_DEPTH):
            if not is_reference(value):
                return value
            value = self.at(value["$ref"])
        raise OpenApiError(f"the reference {value['$ref']} leads in a circle")

    def found(self, value: Json) -> Json:
        """What a reference leads to, and None where it leads nowhere."""
        try:
            return self.resolved(value)
        except OpenApiError:
            return None

    def at(self, reference: str) -> Json:
        """What stands at a reference (RFC 6901 behind a ``#``).

        Raises:
            OpenApiError: Nothing does.
        """
        if not reference.startswith("#"):
            raise OpenApiError(f"the reference {reference} leads to another document; bundle them into one first")
        found: Any = self.root
        for part in reference[1:].split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise OpenApiError(f"the reference {reference} leads nowhere")
        return found


def read_document(spec: Mapping[str, Any] | str | Path) -> Document:
    """The document in a mapping, in a JSON or YAML file, or in such a file's text.

    Raises:
        OpenApiError: It is none.
    """
    if isinstance(spec, Mapping):
        return Document(spec)
    root = _parsed(_text_of(spec))
    if not isinstance(root, Mapping):
        raise OpenApiError("the document is no object; give a path, the text of a file, or a mapping")
    return Document(root)


def server_url(spec: Mapping[str, Any] | str | Path) -> str:
    """The first server's URL that a document names, its variables filled with their defaults.

    Raises:
        OpenApiError: It names none, or one that is relative to where the document was found.
    """
    servers = read_document(spec).root.get("servers")
    server = mapping(servers[0]) if isinstance(servers, list) and servers else {}
    url = str(server.get("url", ""))
    for name, variable in mapping(server.get("variables")).items():
        url = url.replace(f"{{{name}}}", str(mapping(variable).get("default", "")))
    if not url.startswith(("http://", "https://")) or "{" in url:
        raise OpenApiError(f"the document names no server that can be used ({url or 'none'}); give the base URL")
    return url


def is_reference(value: Json) -> bool:
    """Whether a value stands for another."""
    return isinstance(value, Mapping) and isinstance(value.get("$ref"), str)


def mapping(value: Json) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one: documents have null and lists in the oddest places."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Json) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def _text_of(spec: str | Path) -> str:
    if isinstance(spec, str) and ("\n" in spec or spec.lstrip().startswith("{")):
        return spec
    if isinstance(spec, str) and spec.startswith(("http://", "https://")):
        raise OpenApiError("a URL is not fetched here: save the document beside your tools, and give its path")
    try:
        return Path(spec).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OpenApiError(f"{spec} cannot be read: {error}") from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    from yaml import SafeLoader, YAMLError, load

    class Loader(SafeLoader):
        """YAML as JSON knows it: a date stays the text that was written, as does the country code NO."""

    Loader.yaml_implicit_resolvers = {
        sign: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(("timestamp", "bool"))]
        for sign, resolvers in SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
    )
    try:
        return load(text, Loader)  # noqa: S506 - derived from SafeLoader
    except YAMLError as error:
        raise OpenApiError(f"the document is neither JSON nor YAML: {' '.join(str(error).split())}") from error
