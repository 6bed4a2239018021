"""OpenAPI documents, sloppy ones too, as tools: their names, arguments and promises."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cairn import ApiKey, Basic, Bearer, HttpApi, OAuth2, Tool, from_openapi, server_url
from models.messages import ToolCall
from tools.http import Auth
from tools.openapi import OpenApiError
from tools.results import ToolResult
from tools.signature import ArgumentsError
from tools.toolset import Toolset

API = HttpApi("https://shop.example/v1")
STRING = {"type": "string"}


def document(paths: Mapping[str, Any], *, version: str = "3.0.3", **more: Any) -> dict[str, Any]:
    return {"openapi": version, "info": {"title": "Shop", "version": "1"}, "paths": paths, **more}


def tools(paths: Mapping[str, Any], api: HttpApi = API, **more: Any) -> dict[str, Tool]:
    options = {key: more.pop(key) for key in list(more) if key in {"effects", "autonomy", "idempotent", "prefix"}}
    return {tool.name: tool for tool in from_openapi(document(paths, **more), api, **options)}


def only(operation: Mapping[str, Any], path: str = "/things", method: str = "get", **more: Any) -> Tool:
    [tool] = tools({path: {method: operation}}, **more).values()
    return tool


def properties(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = tool.spec.parameters["properties"]
    return found


def query(name: str, schema: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", **({} if schema is None else {"schema": schema}), **more}


def refused(tool: Tool, **arguments: Any) -> str:
    with pytest.raises(ArgumentsError) as error:
        tool.validate(json.dumps(arguments))
    return str(error.value)


# Names


def test_a_name_comes_from_the_operation_id_or_from_method_and_path() -> None:
    found = tools(
        {
            "/orders/{order_id}": {"get": {}, "delete": {"operationId": "orders/remove!"}},
            "/a": {"get": {"operationId": "x" * 90}, "post": {"operationId": "same"}},
            "/b": {"get": {"operationId": "same"}, "post": {"operationId": "same"}},
        }
    )
    long = next(name for name in found if name.startswith("xxx"))
    assert len(long) == 64
    assert set(found) - {long} == {"get_orders_order_id", "orders_remove", "same", "same_get_b", "same_post_b"}


def test_names_that_are_alike_only_after_they_are_cut_stay_apart() -> None:
    ids = [f"{'y' * 80}{number}" for number in range(3)]
    assert len(tools({f"/{i}": {"get": {"operationId": name}} for i, name in enumerate(ids)})) == 3


def test_a_prefix_keeps_two_apis_apart() -> None:
    assert list(tools({"/a": {"get": {"operationId": "list"}}}, prefix="crm_")) == ["crm_list"]


# What is taken


PATHS = {
    "/orders": {"get": {"operationId": "listOrders", "tags": ["orders"]}, "post": {"operationId": "place"}},
    "/orders/{id}": {"delete": {"operationId": "cancel", "tags": ["orders", "admin"]}},
    "/users": {"get": {"operationId": "listUsers", "tags": ["admin"]}, "trace": {}, "x-note": "none"},
}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["listOrders", "place", "cancel", "listUsers"]),
        ({"tags": ["admin"]}, ["cancel", "listUsers"]),
        ({"paths": ["/orders*"]}, ["listOrders", "place", "cancel"]),
        ({"paths": ["/orders*"], "tags": ["admin"]}, ["cancel"]),
        ({"operations": ["place", "GET /users"]}, ["place", "listUsers"]),
    ],
)
def test_operations_are_chosen_by_tag_path_or_name(options: Any, names: list[str]) -> None:
    assert [tool.name for tool in from_openapi(document(PATHS), API, **options)] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effects": {"placed": "read"}}, "effects: there is no operation 'placed'; did you mean 'place'"),
        ({"autonomy": {"xyz": "auto"}}, "autonomy: there is no operation 'xyz'"),
        ({"operations": ["place", "plaice"]}, "operations: there is no operation 'plaice'"),
        ({"tags": ["nothing"]}, "no operation of the document is left"),
    ],
)
def test_an_option_that_names_nothing_is_a_mistake(options: Any, message: str) -> None:
    with pytest.raises(OpenApiError, match=message):
        from_openapi(document(PATHS), API, **options)


def test_the_method_says_what_a_call_changes_and_whether_it_may_be_repeated() -> None:
    methods = {method: {"operationId": method} for method in ("get", "head", "post", "put", "patch", "delete")}
    found = tools({"/x": methods})
    assert {name: (tool.effect, tool.default_autonomy, tool.idempotent) for name, tool in found.items()} == {
        "get": ("read", "auto", True),
        "head": ("read", "auto", True),
        "post": ("write", "confirm", False),
        "put": ("write", "confirm", True),
        "patch": ("write", "confirm", False),
        "delete": ("irreversible", "confirm", True),
    }


def test_what_the_method_says_may_be_said_otherwise() -> None:
    methods = {method: {"operationId": method} for method in ("get", "post", "put")}
    found = tools(
        {"/x": methods},
        effects={"post": "read", "PUT /x": "irreversible"},
        autonomy={"put": "suggest"},
        idempotent={"put": False},
    )
    assert (found["post"].effect, found["put"].effect) == ("read", "irreversible")
    assert (found["put"].default_autonomy, found["put"].idempotent) == ("suggest", False)
    assert {tool.default_autonomy for tool in tools({"/x": methods}, autonomy="auto").values()} == {"auto"}


def test_a_header_for_the_key_of_the_call_is_a_promise_and_no_argument() -> None:
    header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": STRING}
    tool = only({"parameters": [header]}, method="post")
    assert tool.idempotent
    assert tool.spec.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    keyed = HttpApi("https://a.example", honours_idempotency_key=True)
    assert only({}, method="post", api=keyed).idempotent


# Arguments


def test_parameters_of_the_path_and_of_the_operation_are_arguments() -> None:
    item = {
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
            query("page", {"type": "integer"}),
        ],
        "get": {
            "parameters": [
                query("page", {"type": "integer", "minimum": 1}, description="From 1."),
                query("filter[state]", {"enum": ["new", "sent"]}),
                query("id", STRING, required=True),
                {"name": "X-Trace", "in": "header", "schema": STRING},
                {"name": "Authorization", "in": "header", "schema": STRING},
            ]
        },
    }
    [tool] = tools({"/orders/{id}/{line}": item}).values()
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "line": STRING,
            "page": {"type": "integer", "minimum": 1, "description": "From 1."},
            "filter_state": {"enum": ["new", "sent"]},
            "query_id": STRING,
            "X-Trace": STRING,
        },
        "required": ["id", "line", "query_id"],
        "additionalProperties": False,
    }


def test_a_parameter_may_lack_a_schema_or_have_the_type_in_itself_or_be_json() -> None:
    parameters = [
        query("bare"),
        query("old", type="integer", enum=[1, 2], required=True),
        query("where", content={"application/json": {"schema": {"type": "object"}}}),
        {"name": "nameless"},
        None,
    ]
    tool = only({"parameters": parameters})
    assert properties(tool) == {
        "bare": {},
        "old": {"type": "integer", "enum": [1, 2]},
        "where": {"type": "object"},
    }
    assert tool.spec.parameters["required"] == ["old"]


def test_examples_of_a_parameter_are_shown() -> None:
    named = {"a": {"value": 3}, "b": {"$ref": "#/components/examples/B"}, "c": {"$ref": "#/components/examples/C"}}
    parameters = [query("one", STRING, example="x"), query("more", {"type": "integer"}, examples=named)]
    tool = only({"parameters": parameters}, components={"examples": {"B": {"value": 4}}})
    assert [each["examples"] for each in properties(tool).values()] == [["x"], [3, 4]]


def test_a_description_is_bounded() -> None:
    fields: dict[str, Any] = {f"field_{number}": {} for number in range(100)}
    answer = {"200": {"content": {"application/json": {"schema": {"type": "object", "properties": fields}}}}}
    tool = only({"summary": "word " * 500, "description": "more " * 500, "responses": answer})
    assert len(tool.spec.description) < 1024


def test_the_fields_of_a_body_are_arguments_of_their_own() -> None:
    schema = {
        "type": "object",
        "required": ["sku", "id"],
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "sku": {"type": "string", "example": "PET-500"},
            "note": {"type": "string", "nullable": True},
        },
    }
    body = {"required": True, "content": {"application/json; charset=utf-8": {"schema": schema}}}
    tool = only({"requestBody": body}, method="post")
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {"sku": {"type": "string", "examples": ["PET-500"]}, "note": {"type": ["string", "null"]}},
        "required": ["sku"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": STRING},
        {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
        {"oneOf": [{"type": "object", "properties": {"a": STRING}}, {"type": "object", "properties": {"b": STRING}}]},
        {"type": "object"},
        {},
    ],
)
def test_a_body_that_is_more_than_its_fields_is_one_argument(schema: Any) -> None:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    tool = only({"requestBody": body}, method="post")
    assert properties(tool) == {"body": schema}
    assert tool.spec.parameters["required"] == ["body"]


def test_a_body_that_may_be_left_out_but_not_halved_is_one_argument() -> None:
    schema = {"type": "object", "properties": {"a": STRING}, "required": ["a"]}
    tool = only({"requestBody": {"content": {"application/json": {"schema": schema}}}}, method="post")
    assert properties(tool) == {"body": schema}
    assert tool.validate("{}") == {}


def test_an_operation_that_takes_a_file_is_left_out() -> None:
    upload = {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}
    found = tools({"/files": {"post": {"requestBody": upload}, "get": {"operationId": "files"}}})
    assert list(found) == ["files"]


# Schemas


def converted(schema: Any, **components: Any) -> Any:
    tool = only({"parameters": [query("x", schema)]}, components={"schemas": components})
    Draft202012Validator.check_schema(tool.spec.parameters)
    return properties(tool)["x"]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"nullable": True, "allOf": [STRING], "description": "d"},
            {"description": "d", "anyOf": [{"allOf": [STRING]}, {"type": "null"}]},
        ),
        ({"type": "string", "pattern": "^\\p{L}+$", "minLength": "3", "xml": {}, "x-a": 1}, STRING),
        ({"type": "String", "enum": [1, "a", "a"]}, {"type": "string", "enum": ["1", "a"]}),
        ({"type": "int", "format": "int32", "minimum": "0"}, {"type": "integer", "format": "int32"}),
        ({"type": "money"}, {}),
        ({"items": STRING}, {"type": "array", "items": STRING}),
        ({"type": "array"}, {"type": "array"}),
        (
            {"properties": {"a": {"type": "string", "required": True}}, "required": True},
            {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        ),
        ({"type": "object", "properties": None, "required": None}, {"type": "object"}),
        ({"$ref": "#/components/schemas/Missing", "description": "d"}, {"description": "d"}),
        ({"$ref": "other.yaml#/Thing"}, {}),
        ({"$ref": "#/components/schemas/Self"}, {"$ref": "#/$defs/Self"}),
        ({"$ref": "#/components/schemas/A~1b%20c", "description": "own"}, {"type": "string", "description": "own"}),
        ("string", {}),
    ],
)
def test_a_schema_becomes_json_schema_whatever_is_wrong_with_it(given: Any, made: Any) -> None:
    shared = {"A/b c": {"type": "string", "description": "its"}, "Self": {"$ref": "#/components/schemas/Self"}}
    assert converted(given, **shared) == made


def test_openapi_31_is_json_schema_already() -> None:
    given = {"type": ["string", "null"], "const": "a", "examples": ["a", "b"], "exclusiveMinimum": 3}
    tool = only({"parameters": [query("x", given)]}, version="3.1.0")
    assert properties(tool)["x"] == given
    beside = {"$ref": "#/components/schemas/S", "maxLength": 3}
    tool = only({"parameters": [query("x", beside)]}, version="3.1.0", components={"schemas": {"S": STRING}})
    assert properties(tool)["x"] == {"allOf": [STRING, {"maxLength": 3}]}


def test_a_reference_that_leads_back_to_itself_becomes_a_definition() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": STRING,
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
            "owner": {"$ref": "#/components/schemas/Owner"},
        },
        "required": ["name"],
    }
    owner = {"type": "object", "properties": {"root": {"$ref": "#/components/schemas/Node"}}}
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    tool = only({"requestBody": body}, method="post", components={"schemas": {"Node": node, "Owner": owner}})
    good = {"name": "a", "children": [{"name": "b", "children": []}], "owner": {"root": {"name": "c"}}}
    assert tool.validate(json.dumps(good)) == good
    bad = {"name": "a", "children": [{"name": "b", "children": [{"name": 3}]}]}
    assert "children.0.children.0.name: must be text (got 3)" in refused(tool, **bad)


def test_a_schema_that_would_fill_a_prompt_is_not_written_out() -> None:
    schemas: dict[str, Any] = {
        f"L{n}": {"type": "object", "properties": {s: {"$ref": f"#/components/schemas/L{n + 1}"} for s in "abcd"}}
        for n in range(12)
    }
    schemas["L12"] = STRING
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/L0"}}}}
    tool = only({"requestBody": body}, method="post", components={"schemas": schemas})
    assert len(json.dumps(tool.spec.parameters)) < 60_000  # written out it has 16 million parts
    deep: Any = "x"
    for _ in range(12):
        deep = {"d": deep}
    assert tool.validate(json.dumps(deep)) == deep
    assert "must be text" in refused(tool, **json.loads(json.dumps(deep).replace('"x"', "5")))


def test_what_does_not_fit_is_told_so_that_a_model_can_correct_it() -> None:
    parameters = [
        query("state", {"type": "string", "enum": ["new", "sent"]}),
        query("limit", {"type": "integer", "minimum": 1, "maximum": 50}),
        query("who", {"oneOf": [{"type": "integer"}, {"type": "object", "required": ["name"]}]}),
        query("q", STRING, required=True),
        query("when", {"type": "string", "format": "date"}),
    ]
    tool = only({"parameters": parameters})
    assert refused(tool, state="old", limit=0, who="me", sate=1, when="soon").splitlines() == [
        "The arguments do not fit:",
        "- q: required, but not given",
        "- sate: no such argument; there are state, limit, who, q, when",
        "- limit: must be at least 1 (got 0)",
        '- state: must be one of "new", "sent" (got \'old\')',
        "- when: must be a date (got 'soon')",
        "- who: must be a whole number or an object (got 'me')",
    ]
    assert refused(tool, q="a", who={}).splitlines()[1:] == ["- who.name: required, but not given"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"q": NaN}', '"q"'])
def test_what_is_no_json_object_is_malformed(text: str) -> None:
    result = Toolset([only({"parameters": [query("q", {"type": "number"})]})]).check(
        ToolCall(id="1", name="get_things", arguments=text)
    )
    assert isinstance(result, ToolResult)
    assert result.failure == "malformed_arguments"


def test_arguments_that_are_nested_without_end_are_refused() -> None:
    node = {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Node"}}}
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    tool = only({"requestBody": body}, method="post", components={"schemas": {"Node": node}})
    with pytest.raises(ArgumentsError):
        tool.validate('{"a":' * 5000 + "{}" + "}" * 5000)


# The document


def test_a_document_may_be_a_mapping_a_file_or_its_text_in_json_or_yaml(tmp_path: Path) -> None:
    given = document({"/a": {"get": {"operationId": "on", "parameters": [query("since", {"default": "x"})]}}})
    text = yaml.safe_dump(given)
    (tmp_path / "api.yaml").write_text(text)
    (tmp_path / "api.json").write_text("\ufeff" + json.dumps(given))
    for spec in (given, text, json.dumps(given), tmp_path / "api.yaml", str(tmp_path / "api.json")):
        assert [tool.name for tool in from_openapi(spec, API)] == ["on"]


def test_yaml_is_read_as_json_knows_it() -> None:
    text = """
openapi: 3.0.0
paths:
  /a:
    get:
      parameters:
        - {name: x, in: query, schema: {type: string, enum: [NO, on, 2024-01-01], default: 2024-01-01}}
      responses: {200: {description: ok, content: {application/json: {schema: {properties: {total: {}}}}}}}
"""
    [tool] = from_openapi(text, API)
    assert properties(tool)["x"] == {"type": "string", "enum": ["NO", "on", "2024-01-01"], "default": "2024-01-01"}
    assert tool.spec.description == "Returns total. (GET /a)"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"swagger": "2.0", "paths": {}}, "Swagger 2.0, not OpenAPI 3: convert it"),
        ({"openapi": "4.0.0", "paths": {}}, "openapi: 4.0.0"),
        ({"openapi": "3.0.0"}, "no paths"),
        ({"info": {}}, "no field openapi"),
        ("[1,\n2]", "no object"),
        ("a: [\n", "neither JSON nor YAML"),
        ("nowhere.yaml", "cannot be read"),
        ("https://shop.example/openapi.json", "not fetched"),
    ],
)
def test_what_is_no_openapi_document_is_told_from_one(spec: Any, message: str) -> None:
    with pytest.raises(OpenApiError, match=message):
        from_openapi(spec, API)


def test_references_may_stand_for_paths_parameters_and_bodies() -> None:
    given = document(
        {
            "/a": {"$ref": "#/components/pathItems/A"},
            "/b": {"get": {"parameters": [{"$ref": "#/components/parameters/Missing"}]}},
            "/c": {"get": {"parameters": [{"$ref": "#/components/parameters/Loop"}]}},
        },
        components={
            "pathItems": {"A": {"post": {"operationId": "a", "requestBody": {"$ref": "#/components/requestBodies/B"},
                                         "parameters": [{"$ref": "#/components/parameters/P"}]}}},
            "parameters": {"P": query("p", STRING), "Loop": {"$ref": "#/components/parameters/Loop"}},
            "requestBodies": {"B": {"content": {"application/json": {"schema": {"type": "array"}}}}},
        },
    )  # fmt: skip
    [tool] = from_openapi(given, API)
    assert properties(tool) == {"p": STRING, "body": {"type": "array"}}


def test_the_first_server_is_the_base_url_with_its_variables_filled_in() -> None:
    servers = [
        {"url": "https://{region}.shop.example/{v}", "variables": {"region": {"default": "eu"}, "v": {"default": "v2"}}}
    ]
    assert server_url(document({}, servers=servers)) == "https://eu.shop.example/v2"
    for bad in ([], [{"url": "/v1"}], [{"url": "https://{x}/"}]):
        with pytest.raises(OpenApiError, match="give the base URL"):
            server_url(document({}, servers=bad))


def test_a_description_says_what_is_done_and_what_comes_back() -> None:
    order = {"type": "object", "properties": {"id": {}, "state": {}}}
    listed = {"type": "object", "properties": {"items": {"type": "array", "items": order}, "next": {}}}
    tool = only(
        {
            "summary": "List orders",
            "description": "Newest first.\n\nOnly one's own.",
            "deprecated": True,
            "responses": {"200": {"content": {"application/json": {"schema": listed}}}},
        },
        path="/orders",
    )
    assert tool.spec.description == (
        "List orders. Newest first. Only one's own. Deprecated. Returns items, id, state, next. (GET /orders)"
    )


# Credentials


SCHEMES = {
    "key": {"type": "apiKey", "in": "query", "name": "key"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "oauth": {"type": "oauth2", "flows": {}},
    "tls": {"type": "mutualTLS"},
}


@pytest.mark.parametrize(
    ("security", "auth", "lack"),
    [
        ([{"key": []}], (), 'key (auth=ApiKey(…, name="key", place="query"))'),
        ([{"key": []}], ApiKey("s", name="key", place="query"), None),
        ([{"key": []}], ApiKey("s", name="key"), "key"),
        ([{"bearer": []}], Bearer("s"), None),
        ([{"bearer": []}], OAuth2("https://a.example", "i", "s"), None),
        ([{"oauth": ["read"]}], Bearer("s"), None),
        ([{"basic": []}], Bearer("s"), "Basic"),
        ([{"basic": []}], Basic("u", "s"), None),
        ([{"basic": []}, {"bearer": []}], Bearer("s"), None),
        ([{"key": [], "bearer": []}], Bearer("s"), "ApiKey"),
        ([{"key": [], "bearer": []}], (Bearer("s"), ApiKey("s", name="key", place="query")), None),
        ([{"tls": []}], Bearer("s"), "mutualTLS, which HttpApi does not have"),
        ([{"tls": []}, {}], (), None),
        ([], (), None),
        ([{"undefined": []}], (), None),
    ],
)
def test_the_api_must_have_the_credentials_that_an_operation_asks_for(
    security: Any, auth: Auth, lack: str | None
) -> None:
    api = HttpApi("https://a.example", auth=auth)
    paths = {"/a": {"get": {"operationId": "a", "security": security}}}
    if lack is None:
        assert list(tools(paths, api, components={"securitySchemes": SCHEMES})) == ["a"]
        return
    with pytest.raises(OpenApiError) as error:
        tools(paths, api, components={"securitySchemes": SCHEMES})
    assert lack in str(error.value)


def test_a_parameter_that_is_a_credential_is_no_argument() -> None:
    parameters = [query("key", STRING, required=True), query("q", STRING, required=True)]
    api = HttpApi("https://a.example", auth=ApiKey("s", name="key", place="query"))
    tool = only({"parameters": parameters}, api=api)
    assert tool.spec.parameters["required"] == list(properties(tool)) == ["q"]


def test_the_tools_of_one_api_are_closed_with_it() -> None:
    assert only({}).resources == (API,)
