"""Contract checks: what can be seen to be wrong with tools before anything calls them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from models.extractive.wishes import acts
from tools.conversation import READ_CONVERSATION
from tools.memory import FORGET_MEMORY, RECALL_MEMORY, REMEMBER
from tools.search import SEARCH_DOCUMENTS
from tools.signature import Signature
from tools.tool import Tool

Level = Literal["error", "warning"]

_BUILT_IN = frozenset({SEARCH_DOCUMENTS, READ_CONVERSATION, RECALL_MEMORY, REMEMBER, FORGET_MEMORY})
_SHORT = 12
_LARGE = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a tool that should be otherwise.

    Attributes:
        level: An error breaks calls or promises; a warning makes them worse than they could be.
    """

    tool: str
    level: Level
    message: str


def check_tools(tools: Sequence[Tool]) -> list[Finding]:
    """What is wrong with each of the tools, and with all of them together."""
    findings = [finding for tool in tools for finding in _checked(tool)]
    return [*findings, *_shared_examples(tools)]


def _checked(tool: Tool) -> Iterator[Finding]:
    schema = tool.spec.parameters
    errors = [*_schema_errors(schema), *_name_errors(tool)]
    yield from (Finding(tool=tool.name, level="error", message=message) for message in errors)
    if not errors:
        warnings = [*_text_warnings(tool), *_effect_warnings(tool), *_value_warnings(schema)]
        yield from (Finding(tool=tool.name, level="warning", message=message) for message in warnings)


def _schema_errors(schema: Mapping[str, Any]) -> Iterator[str]:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"the JSON schema of its arguments is not valid: {error.message}"
    if schema.get("type") != "object":
        yield "its arguments must be an object: providers refuse any other schema"


def _name_errors(tool: Tool) -> Iterator[str]:
    if tool.name in _BUILT_IN:
        yield f"{tool.name} is the name of a built-in tool; give it another"


def _text_warnings(tool: Tool) -> Iterator[str]:
    description = tool.spec.description.strip()
    if len(description) < _SHORT or description.lower() == tool.name.replace("_", " ").lower():
        yield "it has no description that says what it does and when to use it (a docstring, or description=)"
    properties = tool.spec.parameters.get("properties", {})
    bare = [name for name, schema in properties.items() if not _is_described(schema)]
    if bare:
        yield f"no description says what to give as {', '.join(bare)}"
    if not tool.spec.examples:
        yield "it has no examples: the built-in model picks tools by them"
    size = len(str(dict(tool.spec.parameters)))
    if size > _LARGE:
        yield f"its schema has {size} characters, which every request carries: leave out what no model needs"


def _effect_warnings(tool: Tool) -> Iterator[str]:
    if tool.effect == "read":
        if acts(tool.spec):
            yield "its name says that it changes something, but its effect is read: it is called without asking anybody"
        if tool.verifier is not None or tool.reconciler is not None:
            yield "its verify and reconcile are never called, because its effect is read"
        return
    if tool.idempotent and isinstance(tool.arguments, Signature) and tool.arguments.context is None:
        yield (
            "idempotent=True, but it takes no ToolContext and so hands no idempotency_key on:"
            " right only if the same call twice is the same as once"
        )
    if not tool.idempotent and tool.reconciler is None:
        yield "when its answer is lost, only a person can say what happened: offer reconcile=, or idempotent=True"
    if tool.effect == "irreversible" and tool.autonomy == "auto":
        yield "it cannot be undone, and autonomy='auto' lets it act before anybody has agreed"


def _value_warnings(schema: Mapping[str, Any]) -> Iterator[str]:
    """Examples and defaults in the schema that the schema itself refuses."""
    for name, given in schema.get("properties", {}).items():
        if not isinstance(given, Mapping):
            continue
        validator = Draft202012Validator({**given, "$defs": schema.get("$defs", {})})
        examples = given.get("examples", ())
        values = [
            *(examples if isinstance(examples, list) else ()),
            *([given["default"]] if "default" in given else ()),
        ]
        for value in values:
            if not validator.is_valid(value):
                yield f"{name}: the example or default {value!r} does not fit its own schema"


def _is_described(schema: Any) -> bool:
    """Whether a model can tell what is meant: in words, or because there is only so much to choose from."""
    if not isinstance(schema, Mapping):
        return False
    if schema.get("description") or "enum" in schema or "const" in schema:
        return True
    return any(_is_described(each) for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ()))


def _shared_examples(tools: Iterable[Tool]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for tool in tools:
        for example in tool.spec.examples:
            owner = owners.setdefault(example.strip().lower(), tool.name)
            if owner != tool.name:
                message = f"{owner} has the same example ({example!r}): a question can lead to one of them only"
                yield Finding(tool=tool.name, level="warning", message=message)
