"""The API as it was promised: the OpenAPI document and the schema of events, against their committed snapshots."""

import copy
from typing import Any

import pytest
import pytest_asyncio

from agent.log.schema import run_event_schema
from tests.golden.conftest import Golden
from tests.support.golden import demands, operations, removals, resolved
from tests.support.service import running_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The OpenAPI document as the service gives it."""
    async with running_service(tmp_path_factory.mktemp("openapi")) as service:
        document = (await service.client.get("/openapi.json")).json()
        document["info"]["version"] = "-"
        return document


def test_the_api_takes_nothing_back(document: Any, golden: Golden) -> None:
    golden.promise("openapi.json", document)


def test_the_events_take_nothing_back(golden: Golden) -> None:
    golden.promise("events.schema.json", run_event_schema())


def test_every_request_body_has_an_example(document: Any) -> None:
    bodies = [
        (method, path, media, body)
        for path, method, operation in operations(document)
        for media, body in operation.get("requestBody", {}).get("content", {}).items()
    ]
    bare = [
        (method, path, media)
        for method, path, media, body in bodies
        if "example" not in body and not resolved(document, body["schema"]).get("examples")
    ]
    assert len(bodies) >= 5
    assert bare == []


def test_every_route_of_the_api_says_what_it_does_and_how_it_fails(document: Any) -> None:
    """Errors are problem details everywhere, also those that the framework would have described otherwise."""
    for path, method, operation in operations(document):
        assert operation["description"], path
        errors = {status: given for status, given in operation["responses"].items() if not status.startswith("2")}
        if path.startswith("/v1/"):
            assert "default" in errors, (method, path)
            assert {media for given in errors.values() for media in given["content"]} == {"application/problem+json"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


def changed(document: Any, change: Any) -> Any:
    after = copy.deepcopy(document)
    change(after)
    return after


CHAT = "/v1/chat"


def run_fields(document: Any) -> Any:
    return document["components"]["schemas"]["RunBody"]["properties"]


BREAKING = {
    "a route is gone": lambda d: d["paths"].pop(CHAT),
    "a field is gone": lambda d: run_fields(d).pop("answer"),
    "a status is gone": lambda d: run_fields(d)["status"]["enum"].remove("failed"),
    "a type has changed": lambda d: d["components"]["schemas"]["UsageBody"]["properties"]["input_tokens"].update(
        type="string"
    ),
    "a parameter is gone": lambda d: d["paths"]["/v1/documents"]["get"]["parameters"].pop(),
    "a field may be missing now": lambda d: d["components"]["schemas"]["RunBody"]["required"].remove("answer"),
    "a request needs more": lambda d: d["components"]["schemas"]["ChatRequest"]["required"].append("session_id"),
    "a parameter is needed": lambda d: d["paths"]["/v1/documents"]["get"]["parameters"].append(
        {"name": "tenant", "in": "query", "required": True, "schema": {"type": "string"}}
    ),
}

HARMLESS = {
    "a new route": lambda d: d["paths"].update({"/v1/new": {"get": {"responses": {}}}}),
    "a new field": lambda d: run_fields(d).update(new={"type": "string"}),
    "a new value": lambda d: run_fields(d)["status"]["enum"].insert(0, "new"),
    "other words": lambda d: d["paths"][CHAT]["post"].update(description="Ask."),
    "a new optional parameter": lambda d: d["paths"]["/v1/documents"]["get"]["parameters"].insert(
        0, {"name": "sort", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_clients_is_found(document: Any, name: str) -> None:
    after = changed(document, BREAKING[name])
    assert [*removals(document, after), *demands(document, after)] != []


@pytest.mark.parametrize("name", HARMLESS)
def test_an_addition_breaks_nobody(document: Any, name: str) -> None:
    after = changed(document, HARMLESS[name])
    assert after != document
    assert [*removals(document, after), *demands(document, after)] == []
