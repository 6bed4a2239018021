"""Whatever a document's schemas are, they become valid JSON schema that takes what they describe."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cairn import HttpApi, Tool, from_openapi
from tools.openapi import OpenApiError
from tools.signature import ArgumentsError
from tools.tool import NAME

API = HttpApi("https://a.example")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FIELD = st.text("abcdeXY_-[].$ é", min_size=1, max_size=6)


@dataclass(frozen=True)
class Described:
    """A schema as OpenAPI 3.0 has it, and values that fit."""

    schema: dict[str, Any]
    values: st.SearchStrategy[Any]


@st.composite
def leaves(draw: st.DrawFn) -> Described:
    low = draw(st.integers(-50, 50))
    exclusive = draw(st.booleans())
    length = draw(st.integers(0, 4))
    choices = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    return draw(
        st.sampled_from(
            [
                Described({"type": "string", "minLength": length}, TEXT.map(lambda text: text + "x" * length)),
                Described({"type": "String", "enum": choices}, st.sampled_from(choices)),
                Described(
                    {"type": "integer", "format": "int32", "minimum": low, "exclusiveMinimum": exclusive},
                    st.integers(low + 1, low + 100),
                ),
                Described({"type": "number", "maximum": low}, st.floats(-1e6, low, allow_nan=False)),
                Described({"type": "boolean", "default": "yes"}, st.booleans()),
                Described({"type": "int", "xml": {"name": "n"}}, st.integers(-(2**53), 2**53)),
                Described({"$ref": "#/components/schemas/Tree"}, trees()),
                Described({}, st.none() | st.booleans() | TEXT),
            ]
        )
    )


def trees() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.just({"name": "leaf"}),
        lambda inner: st.fixed_dictionaries({"name": TEXT, "children": st.lists(inner, max_size=2)}),
        max_leaves=4,
    )


COMPONENTS = {
    "schemas": {
        "Tree": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
            },
        }
    }
}


def described(depth: int = 2) -> st.SearchStrategy[Described]:
    if depth == 0:
        return leaves()
    inner = described(depth - 1)
    return leaves() | inner.map(nullable) | inner.map(listed) | st.dictionaries(FIELD, inner, max_size=3).map(fields)


def nullable(inner: Described) -> Described:
    schema = (
        {**inner.schema, "nullable": True}
        if "$ref" not in inner.schema
        else {"nullable": True, "allOf": [inner.schema]}
    )
    return Described(schema, st.none() | inner.values)


def listed(inner: Described) -> Described:
    return Described({"type": "array", "items": inner.schema, "maxItems": 3}, st.lists(inner.values, max_size=3))


def fields(inner: dict[str, Described]) -> Described:
    required = sorted(inner)[::2]
    schema = {"type": "object", "properties": {name: each.schema for name, each in inner.items()}, "required": required}
    values = st.fixed_dictionaries(
        {name: inner[name].values for name in required},
        optional={name: each.values for name, each in inner.items() if name not in required},
    )
    return Described(schema, values)


def tool_of(parameters: dict[str, Any], body: Any = None) -> Tool:
    operation: dict[str, Any] = {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()]
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    document = {"openapi": "3.0.3", "paths": {"/x": {"post": operation}}, "components": COMPONENTS}
    [tool] = from_openapi(document, API)
    return tool


@settings(max_examples=150, deadline=None)
@given(st.data(), st.dictionaries(st.text("abc", min_size=1, max_size=3), described(), max_size=3))
def test_arguments_that_a_schema_describes_are_taken_as_they_are(
    data: st.DataObject, parameters: dict[str, Described]
) -> None:
    tool = tool_of({name: each.schema for name, each in parameters.items()})
    arguments = data.draw(st.fixed_dictionaries({}, optional={name: each.values for name, each in parameters.items()}))
    assert tool.validate(json.dumps(arguments)) == json.loads(json.dumps(arguments))
    with pytest.raises(ArgumentsError, match="zzzz: no such argument"):
        tool.validate(json.dumps({**arguments, "zzzz": 1}))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.dictionaries(FIELD, described(1), min_size=1, max_size=3).map(fields))
def test_the_fields_of_a_body_come_back_out_of_the_arguments(data: st.DataObject, body: Described) -> None:
    from tools.openapi.document import read_document
    from tools.openapi.operation import read_operation
    from tools.openapi.request import request_options

    operation = {"requestBody": {"required": True, "content": {"application/json": {"schema": body.schema}}}}
    document = read_document({"openapi": "3.0.3", "paths": {}, "components": COMPONENTS})
    read = read_operation(document, "/x", "POST", {}, operation)
    assert read.body is not None
    value = data.draw(body.values)
    arguments = {argument: value[name] for argument, name in read.body.fields.items() if name in value}
    assert request_options(read, tool_of({}, body.schema).validate(json.dumps(arguments)))["json"] == json.loads(
        json.dumps(value)
    )


KEYWORDS = """
type properties items required enum allOf oneOf anyOf not nullable $ref minimum exclusiveMinimum pattern minLength
additionalProperties format example examples description default readOnly const prefixItems
tags summary security responses 200 content application/json schema parameters requestBody name in style explode
"""
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["string", "object", "x", "#/components/schemas/Tree", "(", "query", "path", "id"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS.split()), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JUNK, JUNK, JUNK)
def test_no_document_makes_an_invalid_tool(schema: Any, body: Any, operation: Any) -> None:
    operation = operation if isinstance(operation, dict) else {}
    paths = {
        "/x/{id}": {
            "post": {
                **operation,
                "operationId": "made",
                "parameters": [{"name": "x", "in": "query", "schema": schema}, schema],
                "requestBody": {"content": {"application/json": {"schema": body}}},
            },
            "get": operation,
        },
        "/y": operation,
    }
    try:
        tools = from_openapi({"openapi": "3.0.3", "paths": paths, "components": COMPONENTS}, API)
    except OpenApiError:
        return
    for tool in tools:
        Draft202012Validator.check_schema(tool.spec.parameters)
        assert NAME.fullmatch(tool.name)


@given(st.lists(st.tuples(st.text(max_size=90), st.sampled_from(["get", "post"])), min_size=1, max_size=6))
def test_names_are_valid_and_unique_whatever_the_ids_are(ids: list[tuple[str, str]]) -> None:
    paths = {f"/p{number}": {method: {"operationId": name}} for number, (name, method) in enumerate(ids)}
    tools = from_openapi({"openapi": "3.0.3", "paths": paths}, API)
    assert len({tool.name for tool in tools}) == len(ids)
