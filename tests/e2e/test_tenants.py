"""What is another tenant's does not exist: tried on every route that the API document has, and on every list."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import iter_route_contexts
from websockets.asyncio.client import connect

from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import SCOPES, Scope
from service.api import create_app
from service.metrics import Metrics
from tests.support.service import LocalService, running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNDESCRIBED = {"/", "/page/{name}", "/openapi.json", "/mcp", "/v1/runs/{run_id}/ws"}
"""Routes that the API document leaves out: the WebSocket is tried below, MCP in its own tests; the rest is nobody's."""

EVERYBODYS = {"/v1/tools", "/v1/lanes", "/livez", "/readyz", "/metrics"}
"""Routes that tell of the service and not of a tenant; no id of anything of a tenant's is in what they answer."""

COUNTS = {"/v1/cache"}
"""Routes that count what is a tenant's, and list nothing: that they count for each alone is in their own tests."""

WHOLE_TENANTS = {"approval_id"}
"""Ids that other keys of the tenant may use, too: who may decide is not who asked (docs/keys.md)."""

KEPT_AS_SAID = {("POST /v1/memory", "run_id")}
"""Ids in bodies that nothing is looked up by: where something is remembered from is what its writer says it is."""

EMPTY = [{"items": [], "next_cursor": None}, {"items": []}]


@tool(effect="write")
async def refund(order: str) -> str:
    """Pay back."""
    return f"{order} paid back"


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    last = request.messages[-1]
    if last.role == "user" and "refund" in last.content:
        return [ToolCall(id="c", name="refund", arguments='{"order": "R-7"}')]
    return ["Fine."]


@dataclass(frozen=True)
class Operation:
    """A method of a path, as the API document describes it."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def ids(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def schema(self) -> Any:
        """The schema of its JSON body; None when it takes none."""
        content = self.described.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema")

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class House:
    """A service with two tenants, and what one of them has.

    Attributes:
        mine: The key of whoever the objects are of.
        colleagues: Another key of that tenant, without its groups.
        theirs: The key of another tenant's administrator.
        objects: What there is, by the name of its id in paths and bodies.
    """

    service: LocalService
    mine: str
    colleagues: str
    theirs: str
    objects: Mapping[str, str]
    document: Mapping[str, Any]

    async def ask(self, key: str, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}
        return await self.service.client.request(method, path, headers=headers, **request)

    async def call(self, key: str, operation: Operation, objects: Mapping[str, str]) -> httpx.Response:
        """Call a route with these ids in its path, and the least that its body may be."""
        body = {} if operation.schema is None else {"json": self.least(operation.schema)}
        return await self.ask(key, operation.method, operation.path.format(**objects), **body)

    def operations(self) -> Iterator[Operation]:
        for path, methods in self.document["paths"].items():
            for method, described in methods.items():
                yield Operation(method.upper(), path, described)

    def least(self, schema: Mapping[str, Any]) -> Any:
        """The simplest value that fits a schema, as far as ours go."""
        schema = self.resolved(schema)
        if schema.get("examples"):
            return schema["examples"][0]
        if "enum" in schema or "const" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        if schema.get("type") == "object":
            return {name: self.least(schema["properties"][name]) for name in schema.get("required", ())}
        return {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": []}[schema["type"]]

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema or "anyOf" in schema:
            reference = schema.get("$ref")
            schema = schema["anyOf"][0] if reference is None else self.document["components"]["schemas"][reference[21:]]
        return schema


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("tenants")
    async with running_service(folder, model=ScriptedModel(script), tools=[refund]) as service:
        keys = KeyStore(service.services.knowledge.database)
        every: list[Scope] = [scope for scope in SCOPES if scope != "admin"]

        async def key(tenant: str, *scopes: Scope, groups: Sequence[str] = ()) -> str:
            return (await keys.create(tenant=tenant, name="key", scopes=scopes, groups=groups)).text

        mine = await key("acme", *every, groups=["staff"])
        given = House(service, mine, await key("acme", *every), await key("other", *SCOPES), {}, {})
        yield House(service, mine, given.colleagues, given.theirs, await objects(given), await document(given))


async def document(house: House) -> Mapping[str, Any]:
    return dict((await house.ask(house.mine, "GET", "/openapi.json")).json())


async def objects(house: House) -> Mapping[str, str]:
    """One of everything that has an id, made by ``mine``."""
    text = {"title": "Plum", "text": "The plum password is damson.", "acl": ["staff"]}
    added = await house.ask(house.mine, "POST", "/v1/documents", json=text)
    waits = await house.ask(house.mine, "POST", "/v1/chat", json={"message": "A refund", "retrieval": "off"})
    assert (added.status_code, waits.status_code) == (201, 202), (added.text, waits.text)
    run = waits.json()
    [asked] = (await house.ask(house.mine, "GET", "/v1/approvals")).json()["items"]
    remembered = await house.ask(house.mine, "POST", "/v1/memory", json={"text": "I like plums."})
    taken = await house.ask(house.mine, "POST", "/v1/memory/snapshots", json={"name": "plum"})
    assert (remembered.status_code, taken.status_code) == (201, 201), (remembered.text, taken.text)
    return {
        "document_id": added.json()["document"]["id"],
        "run_id": run["run_id"],
        "session_id": run["session_id"],
        "approval_id": asked["id"],
        "memory_id": remembered.json()["id"],
    }


def with_ids(house: House) -> list[Operation]:
    found = [operation for operation in house.operations() if operation.ids]
    assert len(found) >= 8
    assert {name for operation in found for name in operation.ids} == house.objects.keys(), (
        "make one of it in objects()"
    )
    # What ends an object comes last.
    return sorted(found, key=lambda operation: (operation.method != "GET", operation.method == "DELETE"))


def nowhere(house: House) -> dict[str, str]:
    """Ids of the same form that nothing has."""
    return {name: "".join("0" if each.isalnum() else each for each in value) for name, value in house.objects.items()}


def told(answer: httpx.Response, objects: Mapping[str, str]) -> tuple[int, str]:
    """What an answer says, whatever the ids."""
    text = answer.text
    for value in objects.values():
        text = text.replace(value, "…")
    return answer.status_code, text


async def test_what_is_another_tenants_is_answered_as_what_does_not_exist(house: House) -> None:
    """Were it not, the answer would tell that it exists. That it does is shown by the owner, afterwards."""
    for operation in with_ids(house):
        strange = await house.call(house.theirs, operation, house.objects)
        absent = await house.call(house.theirs, operation, nowhere(house))
        assert strange.status_code == 404, (operation.title, strange.text)
        assert told(strange, house.objects) == told(absent, nowhere(house)), operation.title
    for operation in with_ids(house):
        if operation.method == "GET" and not operation.path.endswith("/events"):
            answer = await house.call(house.mine, operation, house.objects)
            assert answer.status_code == 200, (operation.title, answer.text)


async def test_what_is_another_keys_of_the_same_tenant_does_not_exist_either(house: House) -> None:
    """Its runs, its sessions, and the documents of its groups; approvals are for whoever may decide them."""
    for operation in with_ids(house):
        answer = await house.call(house.colleagues, operation, house.objects)
        if WHOLE_TENANTS.isdisjoint(operation.ids):
            assert answer.status_code == 404, (operation.title, answer.text)
        elif operation.method == "GET":
            assert answer.status_code == 200, (operation.title, answer.text)


async def test_an_id_in_a_body_is_no_way_to_what_is_anothers_either(house: House) -> None:
    tried = 0
    for operation in house.operations():
        schema = house.resolved(operation.schema) if operation.schema is not None else {}
        for name in schema.get("properties", {}).keys() & house.objects.keys():
            for key in () if (operation.title, name) in KEPT_AS_SAID else (house.theirs, house.colleagues):
                body = {**house.least(schema), name: house.objects[name]}
                path = operation.path.format(**house.objects)
                answer = await house.ask(key, operation.method, path, json=body)
                assert answer.status_code == 404, (operation.title, name, answer.text)
                tried += 1
    assert tried >= 6


async def test_no_list_and_no_other_answer_shows_what_is_another_tenants(house: House) -> None:
    """Nor does it with the cursor that the owner's list gave."""
    lists = 0
    for operation in house.operations():
        if operation.method != "GET" or operation.ids:
            continue
        answers = [await house.ask(house.theirs, "GET", operation.path)]
        if operation.path not in EVERYBODYS | COUNTS:
            lists += 1
            full = await house.ask(house.mine, "GET", operation.path, params={"limit": 1})
            if "json" not in full.headers["content-type"].partition("/")[2].split("+"):
                assert (answers[0].text, bool(full.text)) == ("", True), operation.title
                continue
            assert answers[0].json() in EMPTY, operation.title
            assert len(full.json()["items"]) == 1, operation.title
            if full.json().get("next_cursor"):
                given = {"cursor": full.json()["next_cursor"]}
                answers.append(await house.ask(house.theirs, "GET", operation.path, params=given))
        for answer in answers:
            assert not [name for name, value in house.objects.items() if value in answer.text], operation.title
    assert lists >= 4


async def test_a_list_of_a_colleague_shows_what_he_may_see(house: House) -> None:
    seen = {
        operation.path: {name for name, value in house.objects.items() if value in answer.text}
        for operation in house.operations()
        if operation.method == "GET" and not operation.ids and operation.path not in EVERYBODYS
        for answer in [await house.ask(house.colleagues, "GET", operation.path)]
    }
    # Whoever decides is told of which run.
    assert {path: names for path, names in seen.items() if names} == {
        "/v1/approvals": {"approval_id", "run_id", "session_id"}
    }


async def test_a_kept_answer_is_given_to_nobody_else(house: House) -> None:
    """The same request under the same idempotency key is another one when another key sends it."""
    request: dict[str, Any] = {"json": {"message": "Hello", "retrieval": "off"}, "headers": {"Idempotency-Key": "one"}}
    runs = set()
    for key in (house.mine, house.colleagues, house.theirs):
        first = await house.ask(key, "POST", "/v1/chat", **{**request, "headers": dict(request["headers"])})
        again = await house.ask(key, "POST", "/v1/chat", **{**request, "headers": dict(request["headers"])})
        assert first.json()["run_id"] == again.json()["run_id"]
        runs.add(first.json()["run_id"])
    assert len(runs) == 3


async def test_a_websocket_follows_no_run_of_anothers(house: House) -> None:
    url = f"{house.service.url.replace('http', 'ws')}/v1/runs/{house.objects['run_id']}/ws?after=0"
    for key in (house.theirs, house.colleagues):
        async with connect(url, proxy=None, additional_headers={"Authorization": f"Bearer {key}"}) as connection:
            said = json.loads(await connection.recv())
        assert (said["type"], said["code"]) == ("error", "run_not_found")
    async with connect(url, proxy=None, additional_headers={"Authorization": f"Bearer {house.mine}"}) as connection:
        assert json.loads(await connection.recv())["type"] == "run.started"


async def test_every_route_is_described_or_known_by_name(house: House) -> None:
    """So that a new one is tried here without anybody having to think of it."""
    app = create_app(house.service.services, Metrics())
    paths = {route.path for route in iter_route_contexts(app.routes)}
    assert paths - house.document["paths"].keys() <= UNDESCRIBED
    assert house.document["paths"].keys() <= paths
