"""The Qdrant server adapter when the server is away or refuses: what its callers are told, over real HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from qdrant_client import models

from retrieval.errors import CollectionNotFound, RetrievalError, StoreUnavailable
from retrieval.vectors.port import Bm25Query
from retrieval.vectors.server import QdrantServerStore

Answers = dict[str, tuple[int, dict[str, Any]]]


@pytest.fixture
async def answers() -> Answers:
    """Status and body by the end of the path; anything else is answered 500."""
    return {}


@pytest.fixture
async def store(answers: Answers) -> AsyncIterator[QdrantServerStore]:
    async def answer(request: web.Request) -> web.Response:
        for end, (status, body) in answers.items():
            if request.path.endswith(end):
                return web.json_response(body, status=status)
        return web.json_response({"status": {"error": "out of disk"}}, status=500)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    store = QdrantServerStore.connect(f"http://{host}:{port}")
    yield store
    await store.aclose()
    await runner.cleanup()


async def test_a_server_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    store = QdrantServerStore.connect(url.replace("//", "//someone:password@"))

    with pytest.raises(StoreUnavailable) as raised:
        await store.ping()
    assert str(raised.value).startswith(f"The Qdrant server at {url} does not answer: ")
    assert "password" not in str(raised.value)
    with pytest.raises(StoreUnavailable):
        await store.search("a", [Bm25Query(text="x", limit=1)], models.Filter())
    await store.aclose()


async def test_a_server_that_fails_is_unavailable(store: QdrantServerStore) -> None:
    with pytest.raises(StoreUnavailable, match="out of disk"):
        await store.ping()


async def test_a_wrong_key_is_refused_and_not_taken_for_an_outage(store: QdrantServerStore, answers: Answers) -> None:
    answers["/collections"] = (401, {"status": {"error": "Must provide an API key"}})

    with pytest.raises(RetrievalError, match="API key") as raised:
        await store.ping()

    assert not isinstance(raised.value, StoreUnavailable)


async def test_an_index_that_another_replica_dropped_is_not_found(store: QdrantServerStore, answers: Answers) -> None:
    """Though this one has seen it before."""
    info = {"config": {"metadata": {"dimension": 2, "language": "english"}}}
    answers["/exists"] = (200, {"result": {"exists": True}, "status": "ok", "time": 0})
    answers["/points/query/batch"] = (404, {"status": {"error": "Not found: Collection `cairn-a` doesn't exist!"}})
    answers["/collections/cairn-a"] = (200, {"result": _collection(info), "status": "ok", "time": 0})

    with pytest.raises(CollectionNotFound, match="'a'"):
        await store.search("a", [Bm25Query(text="x", limit=1)], models.Filter())


async def test_a_collection_of_somebody_else_is_left_alone(store: QdrantServerStore, answers: Answers) -> None:
    answers["/exists"] = (200, {"result": {"exists": True}, "status": "ok", "time": 0})
    answers["/collections/cairn-a"] = (200, {"result": _collection({"config": {}}), "status": "ok", "time": 0})

    with pytest.raises(RetrievalError, match="not made by this service"):
        await store.spec("a")


def _collection(info: dict[str, Any]) -> dict[str, Any]:
    config = {
        "params": {},
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
        **info["config"],
    }
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "config": config,
        "payload_schema": {},
    }
