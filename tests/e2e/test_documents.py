"""Documents and search over real HTTP, with input good and bad."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from docx import Document as Word

from ingest.items import Item
from ingest.options import IngestOptions
from models.messages import ModelRequest
from models.scripted import ScriptedModel
from records.principal import LOCAL
from tests.support.service import LocalService, ask, running_service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path) as service:
        yield service


async def add(service: LocalService, title: str, text: str, **fields: Any) -> dict[str, Any]:
    response = await service.client.post("/v1/documents", json={"title": title, "text": text, **fields})
    assert response.is_success, response.text
    result: dict[str, Any] = response.json()
    return result


async def search(service: LocalService, query: str, **body: Any) -> list[dict[str, Any]]:
    response = await service.client.post("/v1/search", json={"query": query, **body})
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def word_file() -> bytes:
    document = Word()
    document.add_heading("Opening hours", 1)
    document.add_paragraph("The shop in Galway opens at ten on Sundays.")
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


async def test_a_document_is_added_found_opened_listed_and_deleted(service: LocalService) -> None:
    document = (await add(service, "Hours", "# Hours\n\nWe open at nine.", metadata={"lang": "en"}))["document"]
    assert document["trust"] == "untrusted"
    found = await search(service, "When do you open?")
    assert [item["document_id"] for item in found] == [document["id"]]
    assert found[0]["heading_path"] == ["Hours"]
    opened = (await service.client.get(f"/v1/documents/{document['id']}")).json()
    assert opened["text"] == "# Hours\n\nWe open at nine."
    listed = (await service.client.get("/v1/documents")).json()
    assert [item["id"] for item in listed["items"]] == [document["id"]]
    assert (await service.client.delete(f"/v1/documents/{document['id']}")).status_code == 204
    assert await search(service, "When do you open?") == []
    gone = await service.client.get(f"/v1/documents/{document['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "document_not_found")


async def test_the_same_document_again_changes_nothing_and_another_text_replaces_it(service: LocalService) -> None:
    assert (await add(service, "Hours", "We open at nine."))["outcome"] == "added"
    assert (await add(service, "Hours", "We open at nine."))["outcome"] == "unchanged"
    changed = await add(service, "Hours", "We open at ten.")
    assert changed["outcome"] == "changed"
    assert [item["text"] for item in await search(service, "When do you open?")] == ["We open at ten."]


async def test_a_version_that_was_cited_still_opens_after_the_document_changed(service: LocalService) -> None:
    first = (await add(service, "Hours", "We open at nine."))["document"]
    await add(service, "Hours", "We open at ten.")
    old = await service.client.get(f"/v1/documents/{first['id']}", params={"version": first["version"]})
    assert old.json()["text"] == "We open at nine."


async def test_an_uploaded_file_is_known_by_its_content_not_its_name(service: LocalService) -> None:
    files = {"file": ("hours.txt", word_file(), "text/plain")}
    response = await service.client.post("/v1/documents", files=files, data={"metadata": '{"source": "upload"}'})
    assert response.status_code == 201, response.text
    document = response.json()["document"]
    assert "wordprocessingml" in document["media_type"]
    assert "Galway" in (await search(service, "When does Galway open?"))[0]["text"]


async def test_a_type_that_says_nothing_is_the_same_as_none(service: LocalService) -> None:
    """Else a folder ingested with and without a running service would be new each time."""
    item = Item(uri="file:///hours.md", name="hours.md", data=b"We open at nine.")

    async def items() -> AsyncIterator[Item]:
        yield item

    await service.services.knowledge.ingestor.ingest(items(), IngestOptions(principal=LOCAL))
    files = {"file": (item.name, item.data or b"", "application/octet-stream")}
    response = await service.client.post("/v1/documents", files=files, data={"uri": item.uri})
    assert response.json()["outcome"] == "unchanged"


async def test_a_row_far_down_a_table_is_found_and_told_by_the_names_of_its_columns(service: LocalService) -> None:
    rows = "".join(f"Item {n},{n % 7} kg,€{n}.50,{n % 5} days\n" for n in range(1, 201))
    files = {"file": ("catalogue.csv", f"Item,Weight,Price,Delivery\n{rows}".encode(), "text/csv")}
    document = (await service.client.post("/v1/documents", files=files)).json()["document"]
    text = (await service.client.get(f"/v1/documents/{document['id']}")).json()["text"]

    told = await ask(service, "What is the price of item 137?")
    assert told[-1].data["answer"].startswith("Item: Item 137; Price: €137.50. [1]")
    (sources,) = [event.data["sources"] for event in told if event.type == "retrieval.completed"]
    assert "Item 137" in sources[0]["text"]
    for source in sources:
        assert source["text"] == text[source["start"] : source["end"]]
        below = "| Item | Weight | Price | Delivery |\n| --- | --- | --- | --- |" if source["start"] else ""
        assert source["table_head"] == below
    run = (await service.client.get(f"/v1/runs/{told[0].data['run_id']}")).json()
    assert run["sources"] == sources


async def test_filters_limit_a_search_to_documents_with_a_value(service: LocalService) -> None:
    await add(service, "Irish hours", "The store opens at nine.", metadata={"country": "ie"})
    await add(service, "French hours", "The store opens at ten.", metadata={"country": "fr"})
    found = await search(service, "When does the store open?", metadata={"country": "fr"})
    assert [item["title"] for item in found] == ["French hours"]


async def test_collections_are_apart(service: LocalService) -> None:
    await add(service, "Hours", "We open at nine.", collection="north")
    await add(service, "Hours", "We open at ten.", collection="south")
    assert [item["text"] for item in await search(service, "open?", collection="north")] == ["We open at nine."]
    missing = await service.client.post("/v1/search", json={"query": "x", "collection": "west"})
    assert (missing.status_code, missing.json()["code"]) == (404, "collection_not_found")
    unknown = await service.client.post("/v1/chat", json={"message": "x?", "collection": "west"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "collection_not_found")


async def test_a_list_of_documents_goes_on_where_its_page_ended(service: LocalService) -> None:
    for number in range(5):
        await add(service, f"Note {number}", f"Text {number}.")
    titles, cursor = [], None
    while True:
        page = (
            await service.client.get("/v1/documents", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        titles += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert titles == [f"Note {number}" for number in range(5)]


async def test_a_document_deleted_while_it_is_quoted_does_not_break_the_answer(tmp_path: Path) -> None:
    """The run keeps the passages that it has read; the next one finds nothing."""
    reading, deleted = asyncio.Event(), asyncio.Event()

    def answer(_: ModelRequest) -> list[Any]:
        reading.set()
        return ["We open ", deleted.wait, "at nine. [1]"]

    async with running_service(tmp_path, model=ScriptedModel(answer)) as service:
        document = (await add(service, "Hours", "We open at nine."))["document"]
        stream = asyncio.create_task(ask(service, "When do you open?"))
        await reading.wait()
        await service.client.delete(f"/v1/documents/{document['id']}")
        deleted.set()
        told = await stream
        assert told[-1].type == "run.completed"
        assert next(event.data for event in told if event.type == "citation")["document_id"] == document["id"]
        again = await ask(service, "When do you open?")
        assert next(event.data for event in again if event.type == "retrieval.completed")["sources"] == []


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "invalid_request"),
        ({"json": {"title": "x"}}, 422, "invalid_request"),
        ({"json": {"title": "x", "text": ""}}, 422, "invalid_request"),
        ({"json": {"title": "x", "text": " \n "}}, 422, "document_empty"),
        ({"json": {"title": "x", "text": 5}}, 422, "invalid_request"),
        ({"json": {"title": "x", "text": "y", "unknown": 1}}, 422, "invalid_request"),
        ({"json": {"title": "x", "text": "y", "collection": "../etc"}}, 422, "invalid_request"),
        ({"content": b"hello", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"files": {"other": ("a.txt", b"x")}}, 422, "invalid_request"),
        ({"files": {"file": ("a.txt", b"")}}, 422, "document_empty"),
        ({"files": {"file": ("a.bin", bytes(range(256)) * 64)}}, 415, "document_unsupported"),
        ({"files": {"file": ("a.txt", b"x")}, "data": {"metadata": "no json"}}, 422, "invalid_request"),
        ({"json": {"text": "Neither a title nor a name."}}, 422, "invalid_request"),
    ],
)
async def test_a_bad_document_is_refused_with_a_problem_and_nothing_is_stored(
    service: LocalService, request_: dict[str, Any], status: int, code: str
) -> None:
    response = await service.client.post("/v1/documents", **request_)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]
    assert (await service.client.get("/v1/documents")).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/chat", {"message": ""}, 422, "invalid_request"),
        ("POST", "/v1/chat", {"message": "  \n"}, 422, "message_rejected"),
        ("POST", "/v1/chat", {"message": "x" * 40_000}, 422, "message_rejected"),
        ("POST", "/v1/chat", {"message": 5}, 422, "invalid_request"),
        ("POST", "/v1/chat", {"message": "x", "retrieval": "maybe"}, 422, "invalid_request"),
        ("POST", "/v1/chat", {"message": "x", "session_id": "nope"}, 404, "session_not_found"),
        ("POST", "/v1/chat/stream", {"message": "x", "session_id": "nope"}, 404, "session_not_found"),
        ("POST", "/v1/chat", {"message": "x", "model": "openai:other"}, 422, "model_not_offered"),
        ("POST", "/v1/search", {"query": " "}, 422, "invalid_request"),
        ("POST", "/v1/search", {"query": "x", "limit": 0}, 422, "invalid_request"),
        ("GET", "/v1/runs/nope", None, 404, "run_not_found"),
        ("GET", "/v1/runs/nope/events", None, 404, "run_not_found"),
        ("POST", "/v1/runs/nope/cancel", None, 404, "run_not_found"),
        ("GET", "/v1/sessions/nope", None, 404, "session_not_found"),
        ("GET", "/v1/sessions?cursor=nope", None, 400, "invalid_cursor"),
        ("GET", "/v1/documents/nope", None, 404, "document_not_found"),
        ("GET", "/v1/documents?cursor=nope", None, 400, "invalid_cursor"),
        ("GET", "/nothing/here", None, 404, "not_found"),
        ("DELETE", "/v1/chat", None, 405, "method_not_allowed"),
    ],
)
async def test_a_bad_request_is_answered_with_a_problem(
    service: LocalService, method: str, path: str, body: dict[str, Any] | None, status: int, code: str
) -> None:
    response = await service.client.request(method, path, json=body)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"urn:cairn:problem:{code}"


@pytest.mark.parametrize(
    ("content_type", "content", "says"),
    [
        ("application/json", b"{message: hi}", "body: it is not JSON"),
        ("application/x-www-form-urlencoded", b'{"message": "hi"}', "content-type: application/json"),
        ("application/json", b'"hi"', "a JSON object"),
    ],
)
async def test_a_body_that_is_no_object_of_json_is_told_what_to_send(
    service: LocalService, content_type: str, content: bytes, says: str
) -> None:
    response = await service.client.post("/v1/chat", content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert says in response.json()["detail"]


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "٣"])
async def test_a_last_event_id_that_is_no_number_is_refused(service: LocalService, value: str) -> None:
    run = (await ask(service, "Hello"))[0].data["run_id"]
    headers = httpx.Headers({b"Last-Event-ID": value.encode()})
    response = await service.client.get(f"/v1/runs/{run}/events", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_last_event_id")


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    async with running_service(tmp_path, http={"max_body_bytes": 1_000_000}) as service:
        told = await service.client.post("/v1/documents", files={"file": ("a.txt", b"x" * 2_000_000)})
        headers = {"content-type": "application/json"}
        chunked = await service.client.post("/v1/documents", content=chunks(), headers=headers)
    assert (told.status_code, told.json()["code"]) == (413, "too_large")
    assert (chunked.status_code, chunked.json()["code"]) == (413, "too_large")


async def test_a_page_of_another_origin_may_not_use_the_service(service: LocalService) -> None:
    """Neither by its origin nor by a host name that it has pointed at this machine."""
    foreign = await service.client.post("/v1/chat", json={"message": "x"}, headers={"origin": "https://evil.example"})
    rebound = await service.client.get("/v1/documents", headers={"host": "evil.example"})
    same = await service.client.get("/v1/documents", headers={"origin": service.url})
    assert [foreign.status_code, rebound.status_code, same.status_code] == [403, 403, 200]


async def test_the_service_says_whether_it_is_ready_and_what_it_measures(service: LocalService) -> None:
    ready = await service.client.get("/readyz")
    assert (ready.status_code, ready.json()["parts"]) == (200, {"database": "ok", "vectors": "ok"})
    await service.client.get("/v1/runs/nope")
    metrics = (await service.client.get("/metrics")).text
    assert 'cairn_errors_total{code="run_not_found",where="http"} 1.0' in metrics
    assert 'cairn_http_requests_total{route="/v1/runs/{run_id}",status="404"} 1.0' in metrics


async def test_the_tools_show_their_schemas(service: LocalService) -> None:
    tools = (await service.client.get("/v1/tools")).json()["items"]
    assert [tool["name"] for tool in tools] == [
        "search_documents",
        "recall_memory",
        "remember",
        "forget_memory",
        "read_conversation",
    ]
    assert tools[0]["parameters"]["required"] == ["query"]
    assert tools[0]["effect"] == "read"


async def test_a_killed_store_is_replaced_and_nothing_is_lost(service: LocalService) -> None:
    import psutil

    await add(service, "Hours", "We open at nine.")
    owner = next(
        child for child in psutil.Process().children() if any("edge_owner" in part for part in child.cmdline())
    )
    owner.kill()
    owner.wait()
    for _ in range(50):
        response = await service.client.post("/v1/search", json={"query": "When do you open?"})
        if response.status_code == 200:
            break
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    assert response.json()["items"][0]["text"] == "We open at nine."


async def test_a_stream_is_parsed_alike_however_it_arrives(service: LocalService) -> None:
    """Frames as raw bytes: event, id, data and a blank line, nothing else."""
    async with service.client.stream("POST", "/v1/chat/stream", json={"message": "Hello"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        raw = b"".join([part async for part in response.aiter_raw()])
    for number, frame in enumerate(raw.decode().split("\n\n")[:-1], 1):
        event, identity, data = frame.split("\n")
        assert identity == f"id: {number}"
        assert json.loads(data.removeprefix("data: "))["type"] == event.removeprefix("event: ")
