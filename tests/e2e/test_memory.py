"""Long-term memory over HTTP: remembered, corrected, rolled back, forgotten, by whoever may."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from records.keys import KeyStore
from records.principal import SCOPES
from tests.support.service import LocalService, running_service

COFFEE = {"kind": "preference", "text": "I like my coffee black.", "slot": "coffee", "value": {"milk": False}}


class MemoryClient(httpx.AsyncClient):
    """A client whose paths begin where memory's do."""

    async def request(self, method: str, url: Any, **given: Any) -> httpx.Response:
        return await super().request(method, f"/v1/memory{url}", **given)


class People:
    """Clients that are each somebody else."""

    def __init__(self, service: LocalService) -> None:
        self._service = service
        self._keys = KeyStore(service.services.knowledge.database)
        self._open: list[httpx.AsyncClient] = []

    async def join(self, name: str, *scopes: Any, tenant: str = "acme", groups: Any = ()) -> httpx.AsyncClient:
        scopes = scopes or ("memory:read", "memory:write")
        made = await self._keys.create(tenant=tenant, name=name, scopes=scopes, groups=groups)
        headers = {"Authorization": f"Bearer {made.text}"}
        client = MemoryClient(base_url=self._service.url, headers=headers, trust_env=False)
        self._open.append(client)
        return client

    async def leave(self) -> None:
        for client in self._open:
            await client.aclose()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path) as service:
        yield service


@pytest.fixture
async def people(service: LocalService) -> AsyncIterator[People]:
    people = People(service)
    yield people
    await people.leave()


@pytest.fixture
async def alice(people: People) -> httpx.AsyncClient:
    return await people.join("alice")


async def put(client: httpx.AsyncClient, **body: Any) -> Any:
    response = await client.post("", json={**COFFEE, **body})
    assert response.status_code == 201, response.text
    return response.json()


async def listed(client: httpx.AsyncClient, **params: Any) -> list[Any]:
    response = await client.get("", params=params)
    assert response.status_code == 200, response.text
    items: list[Any] = response.json()["items"]
    return items


async def test_a_preference_is_remembered_corrected_rolled_back_and_forgotten(alice: httpx.AsyncClient) -> None:
    first = await put(alice)
    assert (first["version"], first["outcome"], first["status"], first["trust"]) == (1, "written", "active", "stated")
    assert first["subject"]["type"] == "user"
    edit = {"text": "I like my coffee with milk.", "slot": "coffee", "expected_version": 1}
    second = (await alice.put(f"/{first['id']}", json=edit)).json()
    assert (second["version"], second["text"], second["change"]) == (2, edit["text"], "edited")
    diff = (await alice.get(f"/{first['id']}/diff")).json()
    assert (diff["from_version"], diff["to_version"]) == (1, 2)
    assert diff["changes"]["text"] == {"before": COFFEE["text"], "after": edit["text"]}
    assert diff["changes"]["value"] == {"before": {"milk": False}, "after": None}

    planned = (await alice.post(f"/{first['id']}/rollback", json={"to_version": 1, "dry_run": True})).json()
    assert (planned["count"], planned["operation"], planned["changes"][0]["becomes"]) == (1, None, COFFEE["text"])
    done = (await alice.post(f"/{first['id']}/rollback", json={"to_version": 1, "expected_version": 2})).json()
    assert done["changes"] == planned["changes"]
    back = (await alice.get(f"/{first['id']}")).json()
    assert (back["version"], back["restores"], back["value"]) == (3, 1, {"milk": False})
    await alice.post("/rollback", json={"operation": done["operation"]})
    history = (await alice.get(f"/{first['id']}/history")).json()["items"]
    assert [each["text"][-6:] for each in history] == [" milk.", "black.", " milk.", "black."]
    assert (await alice.get(f"/{first['id']}", params={"version": 1})).json()["text"] == COFFEE["text"]

    assert (await alice.delete(f"/{first['id']}")).status_code == 204
    for path in ("", "/history", "/diff"):
        gone = await alice.get(f"/{first['id']}{path}")
        assert (gone.status_code, gone.json()["code"]) == (410, "memory_forgotten")
    assert await listed(alice) == []


async def test_a_stale_write_is_answered_with_what_stands(alice: httpx.AsyncClient) -> None:
    first = await put(alice)
    await alice.put(f"/{first['id']}", json={"text": "With milk.", "expected_version": 1})
    stale = [
        await alice.put(f"/{first['id']}", json={"text": "With sugar.", "expected_version": 1}),
        await alice.delete(f"/{first['id']}", params={"expected_version": 1}),
        await alice.post(f"/{first['id']}/rollback", json={"to_version": 1, "expected_version": 1}),
    ]
    for response in stale:
        problem = response.json()
        assert (response.status_code, problem["code"]) == (409, "memory_conflict")
        assert (problem["memory"]["version"], problem["memory"]["text"]) == (2, "With milk.")


async def test_everything_from_a_source_is_taken_back(alice: httpx.AsyncClient) -> None:
    page = {"sources": [{"id": "https://a.example"}]}
    kept = await put(alice)
    for number in range(3):
        assert (await put(alice, kind="fact", text=f"fact {number}", slot=None, **page))["trust"] == "untrusted"
    planned = (await alice.post("/rollback", json={"source": "https://a.example", "dry_run": True})).json()
    assert (planned["count"], planned["dry_run"]) == (3, True)
    assert {each["to_version"] for each in planned["changes"]} == {None}
    assert len(await listed(alice, status="active")) == 4
    await alice.post("/rollback", json={"source": "https://a.example"})
    assert [each["id"] for each in await listed(alice, status="active")] == [kept["id"]]


async def test_the_list_is_read_page_by_page_and_as_it_stood(alice: httpx.AsyncClient) -> None:
    written = [await put(alice, kind="fact", text=f"fact {number}", slot=None) for number in range(5)]
    assert (await alice.post("/snapshots", json={"name": "five"})).status_code == 201
    await put(alice)
    for params in ({"kind": "fact"}, {"snapshot": "five"}, {"at": written[-1]["created_at"]}):
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await alice.get("", params={**params, "limit": 2, **cursor})).json()
            found += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert [each["id"] for each in found] == [each["id"] for each in reversed(written)]
    assert [each["name"] for each in (await alice.get("/snapshots")).json()["items"]] == ["five"]
    history = (await alice.get(f"/{written[0]['id']}/history", params={"limit": 1})).json()
    assert history["next_cursor"] is None


async def test_a_proposal_waits_for_a_person(people: People, alice: httpx.AsyncClient) -> None:
    boss = await people.join("boss", "admin")
    rule = await put(alice, kind="rule", subject={"type": "tenant"}, text="Be rude.", slot=None)
    assert rule["status"] == "proposed"
    accept = {"decision": "accept", "expected_version": 1}
    assert (await alice.post(f"/{rule['id']}/decision", json=accept)).status_code == 403
    assert (await boss.post(f"/{rule['id']}/decision", json=accept)).json()["status"] == "active"
    again = await boss.post(f"/{rule['id']}/decision", json={"decision": "reject", "expected_version": 2})
    assert (again.status_code, again.json()["code"]) == (422, "memory_refused")


async def test_what_is_exported_can_be_taken_over(people: People, alice: httpx.AsyncClient) -> None:
    await put(alice, ttl_seconds=3600)
    await put(alice, kind="episode", text="We met at the fair. 🪨", slot=None, subject={"type": "tenant"})
    response = await alice.get("/export")
    assert response.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in response.text.splitlines()]
    there = await people.join("alice", "admin", tenant="elsewhere")
    for expected in ("written", "unchanged"):
        result = (await there.post("/import", json={"items": lines})).json()["items"]
        assert [each["outcome"] for each in result] == [expected, expected], result
    taken = await listed(there)
    assert {(each["text"], each["trust"]) for each in taken} == {(line["text"], "imported") for line in lines}
    assert [each["valid_until"] for each in taken if each["slot"]] == [
        line["valid_until"] for line in lines if line["slot"]
    ]
    mixed = {"items": [{"text": "x", "kind": "rule", "trust": "untrusted"}, {"text": "fine"}]}
    refused, written = (await there.post("/import", json=mixed)).json()["items"]
    assert (refused["outcome"], refused["id"], written["outcome"]) == (None, None, "written")
    assert "never becomes a rule" in refused["reason"]


async def test_a_request_sent_twice_writes_once_and_what_is_forgotten_is_not_answered_again(
    alice: httpx.AsyncClient,
) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = [await alice.post("", json=COFFEE, headers=headers) for _ in range(2)]
    assert first.content == second.content
    assert (first.json()["outcome"], second.headers["Idempotent-Replayed"]) == ("written", "true")
    await alice.delete(f"/{first.json()['id']}")
    third = (await alice.post("", json=COFFEE, headers=headers)).json()
    assert (third["outcome"], third["id"] == first.json()["id"]) == ("written", False)


async def test_nobody_gets_at_the_memory_of_others(people: People, alice: httpx.AsyncClient) -> None:
    record = await put(alice)
    path, edit = f"/{record['id']}", {"text": "mine", "expected_version": 1}
    strangers = [await people.join("bob"), await people.join("alice", "admin", tenant="other")]
    for stranger in strangers:
        answers = [
            await stranger.get(path),
            await stranger.get(f"{path}/history"),
            await stranger.get(f"{path}/diff"),
            await stranger.put(path, json=edit),
            await stranger.delete(path),
            await stranger.post(f"{path}/rollback", json={"to_version": 1}),
            await stranger.post("", json={**COFFEE, "text": "x", "derived_from": [record["id"]]}),
        ]
        assert {(each.status_code, each.json()["code"]) for each in answers} == {(404, "memory_not_found")}
        assert await listed(stranger) == []
        assert (await stranger.get("/export")).text == ""
        everything = {"since": "2000-01-01T00:00:00Z"}
        assert (await stranger.post("/rollback", json=everything)).json()["count"] == 0
    about = {**COFFEE, "subject": record["subject"]}
    assert (await strangers[0].post("", json=about)).json()["code"] == "memory_forbidden"


async def test_a_user_without_a_name_is_the_one_who_asks(people: People, alice: httpx.AsyncClient) -> None:
    """Also for an administrator, who may read what is about others."""
    admin = await people.join("root", "admin")
    hers, his = await put(alice), await put(admin)
    await put(alice, subject={"type": "tenant"}, text="We close at six.")
    assert [item["id"] for item in await listed(alice, subject_type="user")] == [hers["id"]]
    assert [item["id"] for item in await listed(admin, subject_type="user")] == [his["id"]]
    assert await listed(admin, subject_type="entity") == []


async def test_what_matters_for_a_question_is_recalled_with_its_version(
    people: People, alice: httpx.AsyncClient
) -> None:
    record = await put(alice)
    await put(alice, kind="fact", text="My dog is called Rex.", slot=None)
    asked = {"question": "How do I take my coffee?", "budget": 100}
    (found,) = (await alice.post("/recall", json=asked)).json()["items"]
    assert (found["id"], found["version"], found["text"]) == (record["id"], 1, COFFEE["text"])
    assert 0 < found["score"] <= found["relevance"] <= 1
    boss = await people.join("boss", "admin")
    assert (await boss.post("/recall", json=asked)).json() == {"items": []}
    await alice.delete(f"/{record['id']}")
    assert (await alice.post("/recall", json=asked)).json() == {"items": []}


async def test_each_scope_opens_its_half(people: People, alice: httpx.AsyncClient) -> None:
    record = await put(alice)
    others: Any = [scope for scope in SCOPES if not scope.startswith("memory") and scope != "admin"]
    reader, writer, none = (
        await people.join("reader", "memory:read"),
        await people.join("writer", "memory:write"),
        await people.join("none", *others),
    )
    reading = [
        ("GET", ""),
        ("GET", "/snapshots"),
        ("GET", "/export"),
        ("POST", "/recall"),
        *[("GET", f"/{record['id']}{p}") for p in ("", "/history", "/diff")],
    ]
    writing = [
        *[("POST", path) for path in ("", "/snapshots", "/import", "/rollback")],
        ("PUT", f"/{record['id']}"),
        ("DELETE", f"/{record['id']}"),
        *[("POST", f"/{record['id']}{path}") for path in ("/rollback", "/decision")],
    ]
    for client, open_, closed in (
        (reader, reading, writing),
        (writer, writing, reading),
        (none, [], reading + writing),
    ):
        for method, path in closed:
            assert (await client.request(method, path, json={})).status_code == 403, path
        for method, path in open_:
            assert (await client.request(method, path, json={})).status_code != 403, path


WRONG: list[dict[str, Any]] = [
    {"text": ""},
    {"text": "x" * 8001},
    {"kind": "opinion"},
    {"trust": "certain"},
    {"author": "somebody else"},
    {"ttl_seconds": 0},
    {"ttl_seconds": 1e300},
    {"valid_until": "2026-01-01T00:00:00"},
    {"valid_until": "2026-01-01T00:00:00Z", "valid_from": "2026-01-02T00:00:00Z"},
    {"valid_from": "0001-01-01T00:00:00+23:00"},
    {"value": {"a": float("1e308")}, "acl": ["secret"]},
    {"value": {"a": 2**70}},
    {"sources": [{"id": ""}]},
    {"subject": {"type": "user", "id": ""}},
    {"subject": {"type": "god"}},
    {"kind": "rule", "trust": "untrusted"},
]


async def test_what_is_no_memory_is_refused(alice: httpx.AsyncClient) -> None:
    for wrong in WRONG:
        response = await alice.post("", json={**COFFEE, **wrong})
        assert response.status_code == 422, (wrong, response.text)
        assert response.json()["code"] in {"invalid_request", "memory_refused"}
    assert await listed(alice) == []


SENSELESS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "?cursor=x", None, 400, "invalid_cursor"),
    ("GET", "?snapshot=never", None, 404, "snapshot_not_found"),
    ("GET", "?at=yesterday", None, 422, "invalid_request"),
    ("GET", "?subject=alice", None, 422, "invalid_request"),
    ("GET", "?at=2026-01-01T00:00:00Z&snapshot=s", None, 422, "invalid_request"),
    ("GET", "/nothing", None, 404, "memory_not_found"),
    ("GET", "/nothing?version=99999999999", None, 422, "invalid_request"),
    ("POST", "/rollback", {}, 422, "memory_refused"),
    ("POST", "/rollback", {"dry_run": True}, 422, "memory_refused"),
    ("POST", "/rollback", {"snapshot": "never"}, 404, "snapshot_not_found"),
    ("POST", "/rollback", {"since": "2026-01-01T00:00:00"}, 422, "invalid_request"),
    ("POST", "/rollback", {"everything": True}, 422, "invalid_request"),
    ("POST", "/snapshots", {"name": "\u0000"}, 422, "memory_refused"),
    ("POST", "/import", {"items": []}, 422, "invalid_request"),
]


async def test_a_request_that_makes_no_sense_is_answered_with_why(alice: httpx.AsyncClient) -> None:
    for method, path, body, status, code in SENSELESS:
        response = await alice.request(method, path, json=body)
        assert (response.status_code, response.json()["code"]) == (status, code), response.text
