"""Who may ask what: every route of a real service, with every kind of key, and with none."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.params import Security
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from models.scripted import ScriptedModel
from records.ids import now
from records.keys import KeyStore
from records.principal import SCOPES, Scope
from service.api import create_app
from service.metrics import Metrics
from tests.support.everyones import everyones
from tests.support.service import LocalService, running_service

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOR_EVERYBODY = {"/livez", "/readyz", "/", "/page/{name}"}
FOR_EVERY_KEY = {"/openapi.json"}


@dataclass(frozen=True)
class Keyed:
    """A service with keys, and whose client sends none."""

    service: LocalService
    admin: str

    async def key(self, *scopes: Scope, tenant: str = "acme", **given: Any) -> str:
        keys = KeyStore(self.service.services.knowledge.database)
        return (await keys.create(tenant=tenant, name="test", scopes=scopes, **given)).text

    async def ask(self, method: str, path: str, key: str | None = None, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return await self.service.client.request(method, path, headers=headers, **request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Keyed]:
    model = ScriptedModel(lambda _: ["Fine."])
    async with running_service(tmp_path_factory.mktemp("keyed"), model=model) as service:
        keys = KeyStore(service.services.knowledge.database)
        made = await keys.create(tenant="acme", name="admin", scopes=["admin"])
        yield Keyed(service, made.text)


@dataclass(frozen=True)
class Declared:
    """A method of a route, and the scopes that it declares."""

    method: str
    path: str
    scopes: tuple[Any, ...]

    @property
    def address(self) -> str:
        return self.path.replace("{", "").replace("}", "")


def routes(app: FastAPI) -> Iterator[Declared]:
    for route in iter_route_contexts(app.routes):
        given = getattr(route, "dependencies", [])
        scopes = tuple(scope for each in given if isinstance(each, Security) for scope in each.scopes or ())
        for method in sorted(route.methods or ()):
            yield Declared(method, route.path or "", scopes)


def undeclared(app: FastAPI) -> list[str]:
    known = FOR_EVERYBODY | FOR_EVERY_KEY
    return [f"{r.method} {r.path}" for r in routes(app) if len(r.scopes) != 1 and r.path not in known]


def guarded(keyed: Keyed) -> list[Declared]:
    found = [route for route in routes(create_app(keyed.service.services, Metrics())) if route.scopes]
    assert len(found) >= 13
    return found


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["code"] == code
        and answer.json()["status"] == status
    )


async def test_every_route_declares_the_one_scope_that_it_needs(keyed: Keyed) -> None:
    app = create_app(keyed.service.services, Metrics())
    assert undeclared(app) == []
    assert {scope for route in routes(app) for scope in route.scopes} <= set(SCOPES)

    @app.get("/v1/forgotten")
    async def forgotten() -> None:
        """A route that says nothing."""

    assert undeclared(app) == ["GET /v1/forgotten"]


async def test_every_route_wants_a_key(keyed: Keyed) -> None:
    ended = now() - timedelta(seconds=1)
    revoked = await keyed.key("admin")
    await KeyStore(keyed.service.services.knowledge.database).revoke(revoked.split("_")[1])
    wrong = {
        "none": None,
        "a word": "key",
        "malformed": "sk-123",
        "unknown": f"cairn_{'0' * 32}_{'0' * 48}",
        "with a wrong secret": keyed.admin[:-1] + ("0" if keyed.admin[-1] != "0" else "1"),
        "expired": await keyed.key("admin", expires_at=ended),
        "revoked": revoked,
    }
    paths = [(route.method, route.address) for route in guarded(keyed)]
    for method, path in [
        *paths,
        ("GET", "/openapi.json"),
        ("GET", "/v1/nowhere"),
        ("GET", "/docs"),
        ("PUT", "/v1/chat"),
    ]:
        for kind, key in wrong.items():
            answer = await keyed.ask(method, path, key)
            assert is_problem(answer, 401, "unauthenticated"), (method, path, kind)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_every_route_wants_its_own_scope(keyed: Keyed) -> None:
    for route in guarded(keyed):
        [needed] = route.scopes
        others = await keyed.key(*(scope for scope in SCOPES if scope not in {needed, "admin"}))
        refused = await keyed.ask(route.method, route.address, others)
        assert is_problem(refused, 403, "forbidden"), route
        assert f"'{needed}'" in refused.json()["detail"]
        for key in (await keyed.key(needed), keyed.admin):
            answer = await keyed.ask(route.method, route.address, key)
            assert answer.status_code not in {401, 403, 500}, route


async def test_health_and_the_page_want_no_key(keyed: Keyed) -> None:
    for path in ("/livez", "/readyz", "/", "/page/app.js", "/page/style.css"):
        assert (await keyed.ask("GET", path)).status_code == 200, path


@pytest.mark.parametrize("path", ["/page/../v1/sessions", "//v1/sessions", "/page/%2e%2e/v1/sessions", "/livez/"])
async def test_no_spelling_of_a_path_leads_around_the_key(keyed: Keyed, path: str) -> None:
    url = httpx.URL(keyed.service.url).copy_with(raw_path=path.encode())
    answer = await keyed.service.client.get(url)
    assert answer.status_code in {401, 404}


async def test_a_key_is_all_that_counts_whatever_the_host_and_origin(keyed: Keyed) -> None:
    elsewhere = {"Host": "cairn.example", "Origin": "https://elsewhere.example"}
    client = keyed.service.client
    key = {"Authorization": f"Bearer {keyed.admin}"}
    assert (await client.get("/v1/tools", headers=elsewhere)).status_code == 401
    assert (await client.get("/v1/tools", headers=elsewhere | key)).status_code == 200


async def test_another_tenant_sees_nothing_of_this_one(keyed: Keyed) -> None:
    everything: list[Scope] = ["chat", "search", "documents:read", "documents:write"]
    mine, theirs = await keyed.key(*everything), await keyed.key(*everything, tenant="other")
    body = {"title": "Plum", "text": "The plum password is damson."}
    document = (await keyed.ask("POST", "/v1/documents", mine, json=body)).json()["document"]["id"]
    run = (await keyed.ask("POST", "/v1/chat", mine, json={"message": "What is the plum password?"})).json()
    paths = {
        "document": ("GET", f"/v1/documents/{document}"),
        "deletion": ("DELETE", f"/v1/documents/{document}"),
        "run": ("GET", f"/v1/runs/{run['run_id']}"),
        "events": ("GET", f"/v1/runs/{run['run_id']}/events"),
        "cancel": ("POST", f"/v1/runs/{run['run_id']}/cancel"),
        "session": ("GET", f"/v1/sessions/{run['session_id']}"),
    }
    for what, (method, path) in paths.items():
        assert (await keyed.ask(method, path, theirs)).status_code == 404, what
    assert (await keyed.ask("GET", "/v1/documents", theirs)).json()["items"] == []
    assert (await keyed.ask("GET", "/v1/sessions", theirs)).json()["items"] == []
    assert (await keyed.ask("POST", "/v1/search", theirs, json={"query": "plum password"})).status_code == 404
    found = await keyed.ask("POST", "/v1/search", mine, json={"query": "plum password"})
    assert "damson" in found.json()["items"][0]["text"]
    assert (await keyed.ask(*paths["document"], key=mine)).status_code == 200


async def test_sessions_and_runs_are_the_keys_own_within_a_tenant(keyed: Keyed) -> None:
    mine, colleagues = await keyed.key("chat"), await keyed.key("chat")
    run = (await keyed.ask("POST", "/v1/chat", mine, json={"message": "Hello there"})).json()
    assert (await keyed.ask("GET", f"/v1/runs/{run['run_id']}", colleagues)).status_code == 404
    assert (await keyed.ask("GET", f"/v1/sessions/{run['session_id']}", colleagues)).status_code == 404


async def test_a_key_reads_the_documents_of_its_groups(keyed: Keyed) -> None:
    staff = await keyed.key("search", "documents:write", groups=["staff"])
    guest = await keyed.key("search")
    body = {"title": "Medlar", "text": "The medlar cellar opens at dusk.", "acl": ["staff"]}
    assert (await keyed.ask("POST", "/v1/documents", staff, json=body)).status_code == 201
    query = {"query": "medlar cellar"}

    async def texts(key: str) -> str:
        return json.dumps((await keyed.ask("POST", "/v1/search", key, json=query)).json()["items"])

    assert "dusk" in await texts(staff)
    assert "dusk" not in await texts(guest)


async def test_whoever_hands_over_a_document_for_another_group_is_told_that_it_is_in(keyed: Keyed) -> None:
    clerk = await keyed.key("documents:read", "documents:write", "search")
    body = {"title": "Quince", "text": "The quince press is oiled on the 25th.", "acl": ["staff"]}
    result = (await keyed.ask("POST", "/v1/documents", clerk, json=body)).json()
    assert (result["outcome"], result["document"]["acl"]) == ("added", ["staff"])
    found = await keyed.ask("POST", "/v1/search", clerk, json={"query": "quince press"})
    assert "quince" not in found.text
    path = f"/v1/documents/{result['document']['id']}"
    assert is_problem(await keyed.ask("GET", path, clerk), 404, "document_not_found")
    assert is_problem(await keyed.ask("DELETE", path, clerk), 404, "document_not_found")


async def test_an_administrator_reads_and_manages_every_groups_documents_of_its_tenant(keyed: Keyed) -> None:
    """In the list, by search, in an answer, and to delete; nobody without the scope, and nobody of another tenant."""
    guest = await keyed.key("search", "chat", "documents:read", "documents:write", roles=["admin"])
    stranger = await keyed.key("admin", tenant="other")
    body = {"title": "Sloe: ninety days", "text": "The sloe gin rests for ninety days.", "acl": ["staff"]}
    path = (
        f"/v1/documents/{(await keyed.ask('POST', '/v1/documents', keyed.admin, json=body)).json()['document']['id']}"
    )

    async def seen(key: str) -> dict[str, bool]:
        question = "How long does sloe gin rest?"
        answers = {
            "list": await keyed.ask("GET", "/v1/documents?limit=200", key),
            "text": await keyed.ask("GET", path, key),
            "search": await keyed.ask("POST", "/v1/search", key, json={"query": question}),
            "chat": await keyed.ask("POST", "/v1/chat", key, json={"message": question}),
        }
        return {what: "ninety days" in answer.text for what, answer in answers.items()}

    assert await seen(keyed.admin) == dict.fromkeys(("list", "text", "search", "chat"), True)
    for outsider in (guest, stranger):
        assert await seen(outsider) == dict.fromkeys(("list", "text", "search", "chat"), False)
        assert (await keyed.ask("DELETE", path, outsider)).status_code == 404
    assert (await keyed.ask("DELETE", path, keyed.admin)).status_code == 204


async def test_only_an_administrator_calls_a_document_trusted(keyed: Keyed) -> None:
    body = {"title": "Trusted", "text": "Believe me.", "trust": "trusted"}
    refused = await keyed.ask("POST", "/v1/documents", await keyed.key("documents:write"), json=body)
    assert is_problem(refused, 403, "forbidden")
    assert "'admin'" in refused.json()["detail"]
    assert (await keyed.ask("POST", "/v1/documents", keyed.admin, json=body)).status_code == 201


async def test_only_an_administrators_own_files_are_trusted_by_a_trusted_collection(keyed: Keyed) -> None:
    knowledge = keyed.service.services.knowledge
    await knowledge.catalog.ensure("acme", "handbook", knowledge.indexer, trusted=True)
    clerk = await keyed.key("documents:write")

    async def trust(key: str, **fields: Any) -> str:
        body = {"title": "Hours", "text": "We open at nine.", "collection": "handbook", **fields}
        return str((await keyed.ask("POST", "/v1/documents", key, json=body)).json()["document"]["trust"])

    assert await trust(keyed.admin, remote=False) == "trusted"
    assert await trust(keyed.admin) == await trust(keyed.admin, remote=True) == "untrusted"
    assert await trust(clerk, remote=False) == "untrusted"


async def test_a_secret_is_in_no_answer_no_metric_and_no_log(
    keyed: Keyed, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Good keys and bad ones, refused, served, and in a request that fails inside."""
    caplog.set_level(logging.DEBUG)
    revoked = await keyed.key("admin")
    await KeyStore(keyed.service.services.knowledge.database).revoke(revoked.split("_")[1])
    keys = [
        keyed.admin,
        await keyed.key("search"),
        revoked,
        f"cairn_{'1' * 32}_{'abc' * 16}",
        "sk-plainly-not-a-key-123",
    ]
    async with keyed.service.services.knowledge.database.write() as connection:
        await connection.execute(everyones(text("ALTER TABLE sessions RENAME TO hidden")))
    paths = ("/v1/tools", "/v1/sessions", "/metrics", "/v1/nowhere")
    answers = [await keyed.ask("GET", path, key) for key in keys for path in paths]
    async with keyed.service.services.knowledge.database.write() as connection:
        await connection.execute(everyones(text("ALTER TABLE hidden RENAME TO sessions")))
    assert {answer.status_code for answer in answers} >= {200, 401, 403, 404, 500}
    printed = capfd.readouterr()
    said = [caplog.text, printed.out, printed.err, keyed.service.services.metrics.render().decode()]
    said += [answer.text + str(answer.headers) for answer in answers]
    assert "no such table" in "".join(said[:3])
    for key in keys:
        secret = key.rpartition("_")[2]
        assert not any(secret in text for text in said)


async def test_the_api_describes_the_key_and_each_routes_scope(keyed: Keyed) -> None:
    document = (await keyed.ask("GET", "/openapi.json", await keyed.key("metrics"))).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/v1/search"]["post"]["security"] == [{"key": ["search"]}]
    assert document["paths"]["/v1/documents"]["post"]["security"] == [{"key": ["documents:write"]}]
    assert "security" not in document["paths"]["/livez"]["get"]


async def test_without_keys_this_machine_asks_freely_and_no_other(tmp_path: Path) -> None:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Fine."])) as service:
        assert (await service.client.get("/v1/tools")).status_code == 200
        stray = {"Authorization": "Bearer sk-whatever"}
        assert (await service.client.get("/v1/tools", headers=stray)).status_code == 200
        for headers in ({"Host": "cairn.example"}, {"Origin": "https://elsewhere.example"}):
            for path in ("/v1/tools", "/", "/livez"):
                assert is_problem(await service.client.get(path, headers=headers), 403, "forbidden_origin")
