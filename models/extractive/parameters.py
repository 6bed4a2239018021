"""A tool's JSON schema, read as what to look for in a sentence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.extractive.words import STOPWORDS, stem, tokens
from models.messages import ToolSpec

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WEAK_TEXT = """
id ids identifier number numbers no num nr code value values string list integer float given default format optional
example e.g type specific required used use using want parameter input name names be whether
"""
_WEAK = frozenset(stem(word) for word in _WEAK_TEXT.split())
_DESCRIPTION_END = re.compile(r"\be\.g\.|\bdefaults?\b|[.;(]|\bfor example\b", re.IGNORECASE)
_ID_NAME = re.compile(r"(?:^|_)(?:id|sku)s?$|[a-z]_(?:no|nr|code|ref|reference)s?$")
_ID_NOUN = re.compile(r"^(?:the |a |an )?(?!(?:the|a|an|first|second|third|next|last|given|whole|positive|other)\b)"
                      r"(?:unique )?\w+ (?:number|id|identifier|code)\b(?! of)")  # fmt: skip
_BEGINNINGS = frozenset({"start", "from", "origin", "source", "min", "minimum", "initial", "lower", "departure"})
_ENDS = frozenset({"end", "to", "destination", "target", "max", "maximum", "final", "upper", "arrival", "until"})
_FREE_TEXT = re.compile(
    r"(?:^|_)(?:query|question|text|message|words?|keywords?|topic|subject|note|comment|content|body|search|term)$"
)
_QUOTED = re.compile(r"['\"‘“`]([A-Za-z][^'\"’”`]{0,30})['\"’”`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of a tool.

    Attributes:
        type: JSON type; `string` when the schema gives none.
        options: The values it may take, where they are listed.
        hints: Values that its description quotes; it may take others.
        strong: Stems of the words in its name: they announce its value.
        weak: Stems of the words of its description.
        is_id: Whether it names a thing rather than measures one.
        is_text: Whether it takes free text.
    """

    name: str
    type: str
    description: str
    required: bool
    options: tuple[Any, ...]
    hints: tuple[str, ...]
    pattern: str
    format: str
    minimum: float | None
    maximum: float | None
    item: "Parameter | None"
    members: "tuple[Parameter, ...]"
    strong: frozenset[str]
    weak: frozenset[str]
    is_id: bool
    is_text: bool


def parameters_of(spec: ToolSpec) -> tuple[Parameter, ...]:
    """The arguments of a tool, in the schema's order."""
    return _members(spec.parameters, spec.parameters, depth=0)


def words_of(name: str) -> list[str]:
    """The words that an identifier is made of: `getOrder_id` → get, order, id."""
    return [word.lower() for word in re.split(r"[_\W]+|(?<=[A-Za-z]{2})(?=\d+$)", _CAMEL.sub("_", name)) if word]


def announcing_words(parameter: Parameter) -> frozenset[str]:
    """Prepositions that announce a beginning or an end: `from` a start, an origin or a minimum, `to` the opposite."""
    words = set(words_of(parameter.name))
    found = frozenset[str]()
    if words & _BEGINNINGS:
        found |= {"from", "between", "since"}
    if words & _ENDS:
        found |= {"to", "until", "till", "and"}
    return found


def _members(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> tuple[Parameter, ...]:
    required = schema.get("required") or ()
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or depth > 3:
        return ()
    return tuple(
        _parameter(name, _resolved(given, root), root, required=name in required, depth=depth)
        for name, given in properties.items()
    )


def _parameter(
    name: str, schema: Mapping[str, Any], root: Mapping[str, Any], *, required: bool, depth: int
) -> Parameter:
    description = str(schema.get("description") or "")
    words = words_of(name)
    snake = "_".join(words)
    kind = _type(schema)
    items = schema.get("items")
    item = None
    if kind == "array" and depth <= 3:
        inner = _resolved(items, root) if isinstance(items, Mapping) else {}
        item = _parameter(name, {"description": description, **inner}, root, required=True, depth=depth + 1)
    strong = frozenset(stem(word) for word in words if not word.isdigit()) - _WEAK
    return Parameter(
        name=name,
        type=kind,
        description=description,
        required=required,
        options=_options(schema),
        hints=tuple(_QUOTED.findall(description)) if kind == "string" else (),
        pattern=str(schema.get("pattern") or ""),
        format=str(schema.get("format") or ""),
        minimum=schema.get("minimum", schema.get("exclusiveMinimum")),
        maximum=schema.get("maximum", schema.get("exclusiveMaximum")),
        item=item,
        members=_members(schema, root, depth + 1) if kind == "object" else (),
        strong=strong or frozenset(map(stem, words)),
        weak=frozenset(stem(word) for word in tokens(_DESCRIPTION_END.split(description)[0]) if word not in STOPWORDS)
        - _WEAK
        - strong,
        is_id=kind in ("integer", "string") and _names_a_thing(snake, description.lower()),
        is_text=kind == "string" and bool(_FREE_TEXT.search(snake)),
    )


def _names_a_thing(name: str, description: str) -> bool:
    if "number of" in description:
        return False
    return bool(_ID_NAME.search(name) or _ID_NOUN.search(description))


def _resolved(schema: Any, root: Mapping[str, Any], hops: int = 0) -> Mapping[str, Any]:
    """A schema with its reference followed and `null` taken out of its alternatives."""
    if not isinstance(schema, Mapping) or hops > 8:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        target: Any = root
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        return {**_resolved(target, root, hops + 1), **{key: value for key, value in schema.items() if key != "$ref"}}
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(alternatives := schema.get(key), list):
            real = [one for one in alternatives if isinstance(one, Mapping) and one.get("type") != "null"]
            if real:
                rest = {name: value for name, value in schema.items() if name != key}
                return {**_resolved(real[0], root, hops + 1), **rest}
    return schema


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    if isinstance(kind, str):
        return kind
    options = _options(schema)
    return "integer" if options and all(isinstance(one, int) for one in options) else "string"


def _options(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(listed := schema.get("enum"), list):
        return tuple(one for one in listed if one is not None)
    return (schema["const"],) if "const" in schema else ()
