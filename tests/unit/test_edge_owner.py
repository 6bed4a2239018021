"""The embedded store's owner process: what holds when processes die, compete or are busy."""

import asyncio
import os
import resource
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from qdrant_client import models

from retrieval.errors import CollectionNotFound, RetrievalError, StoreLocked, StoreUnavailable
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.edge_link import OwnerLink
from retrieval.vectors.frames import Decoder, encode
from retrieval.vectors.port import Bm25Query, DenseQuery, IndexSpec, Point

ROOT = Path(__file__).parents[2]
SPEC = IndexSpec(dimension=4, language="english")
EVERYTHING = models.Filter()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EdgeStore]:
    store = await EdgeStore.open(tmp_path / "vectors")
    await store.create("a", SPEC)
    yield store
    await store.aclose()


def points(count: int, start: int = 0) -> list[Point]:
    numbers = range(start, start + count)
    return [Point(id=str(uuid.UUID(int=n)), vector=[1, n, 0, 0], text=f"w{n}", payload={"n": n}) for n in numbers]


def named(field: str, value: int) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def kill_owner(store: EdgeStore) -> None:
    assert store.owner_pid
    os.kill(store.owner_pid, signal.SIGKILL)


async def gone(pid: int) -> None:
    """Wait until the process has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(watched, ended.set)
    try:
        async with asyncio.timeout(60):
            await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


async def test_acknowledged_writes_outlive_a_killed_owner(store: EdgeStore) -> None:
    await store.upsert("a", points(300))
    await store.delete("a", models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=100))]))
    kill_owner(store)

    with pytest.raises(StoreUnavailable):
        await asyncio.gather(*(store.search("a", [Bm25Query(text="w200", limit=1)], EVERYTHING) for _ in range(50)))

    assert await store.count("a") == 200
    [[hit]] = await store.search("a", [Bm25Query(text="w200", limit=1)], EVERYTHING)
    assert hit.payload == {"n": 200}


async def test_a_write_cut_by_the_owners_death_fails_and_may_be_repeated(store: EdgeStore) -> None:
    writing = asyncio.create_task(store.upsert("a", points(2000)))
    while not await store.count("a"):
        pass
    kill_owner(store)
    with pytest.raises(StoreUnavailable, match="Try again"):
        await writing

    await store.upsert("a", points(2000))

    assert await store.count("a") == 2000


async def test_an_owner_that_keeps_dying_is_not_started_for_ever(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path)
    for _ in range(4):
        pid = store.owner_pid
        assert pid
        kill_owner(store)
        await gone(pid)
        while store.owner_pid == pid:
            await asyncio.gather(store.ping(), return_exceptions=True)
    kill_owner(store)

    async def died() -> None:
        while True:
            await store.ping()

    with pytest.raises(StoreUnavailable):
        await died()
    with pytest.raises(StoreUnavailable, match="5 times within a minute"):
        await store.ping()
    await store.aclose()


async def test_a_second_owner_is_told_who_holds_the_store(store: EdgeStore, tmp_path: Path) -> None:
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()}"):
        await EdgeStore.open(tmp_path / "vectors", lock_wait=0.1)

    await store.ping()


async def test_a_second_owner_waits_for_the_first_to_end(store: EdgeStore, tmp_path: Path) -> None:
    await store.upsert("a", points(10))
    waiting = asyncio.create_task(EdgeStore.open(tmp_path / "vectors", lock_wait=20))
    await store.aclose()

    second = await waiting

    assert await second.count("a") == 10
    await second.aclose()


HOLDER = """
import asyncio, sys, pathlib
sys.path.insert(0, {root!r})
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.port import IndexSpec, Point
async def main():
    store = await EdgeStore.open(pathlib.Path({folder!r}))
    await store.create("a", IndexSpec(dimension=2, language="english"))
    await store.upsert("a", [Point(id="{id}", vector=[1, 0], text="kept", payload={{}})])
    print(store.owner_pid, flush=True)
    ids = (f"00000000-0000-0000-0001-{{n:012}}" for n in range(20000))
    await store.upsert("a", [Point(id=id, vector=[1, 0], text="x " * 200, payload={{}}) for id in ids])
asyncio.run(main())
"""


async def test_the_owner_dies_with_a_killed_parent_even_when_busy(tmp_path: Path) -> None:
    """And the folder is free at once, with everything that was acknowledged."""
    code = HOLDER.format(root=str(ROOT), folder=str(tmp_path), id=uuid.UUID(int=1))
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    owner = int(await parent.stdout.readline())

    parent.kill()
    await parent.wait()

    await gone(owner)
    store = await EdgeStore.open(tmp_path)
    [[hit]] = await store.search("a", [Bm25Query(text="kept", limit=1)], EVERYTHING)
    assert hit.id == str(uuid.UUID(int=1))
    await store.aclose()


async def test_the_owner_leaves_signals_to_its_parent(store: EdgeStore) -> None:
    """Ctrl-C reaches the whole process group; the service still needs its store while it shuts down."""
    pid = store.owner_pid
    assert pid
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)

    await store.upsert("a", points(3))

    assert (await store.count("a"), store.owner_pid) == (3, pid)


async def test_closing_ends_the_owner_and_every_later_call(store: EdgeStore) -> None:
    pid = store.owner_pid
    assert pid
    await store.aclose()
    await store.aclose()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ping()


async def test_a_long_write_lets_searches_pass(store: EdgeStore) -> None:
    """Many searches are answered between the batches of one upsert."""
    writing = asyncio.create_task(store.upsert("a", points(4000)))
    counts = set()
    while not writing.done():
        await store.search("a", [DenseQuery(vector=[1, 1, 0, 0], limit=3)], EVERYTHING)
        counts.add(await store.count("a"))
    await writing

    assert len(counts) > 4


async def test_searches_go_before_writes_that_came_earlier(store: EdgeStore) -> None:
    await store.upsert("a", points(10))
    finished: list[str] = []

    async def note(name: str, call: object) -> None:
        await call  # type: ignore[misc]
        finished.append(name)

    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(note("write", store.upsert("a", points(250, start=n * 250))))
        for _ in range(20):
            group.create_task(note("search", store.search("a", [Bm25Query(text="w1", limit=3)], EVERYTHING)))

    assert finished[:10] == ["search"] * 10
    assert await store.count("a") == 2000


async def test_a_cancelled_call_leaves_the_others_alone(store: EdgeStore) -> None:
    await store.upsert("a", points(50))
    calls = [asyncio.create_task(store.search("a", [Bm25Query(text=f"w{n}", limit=1)], EVERYTHING)) for n in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert [answer[0][0].payload["n"] for answer in answers[1::2] if isinstance(answer, list)] == list(range(1, 20, 2))


async def test_an_index_left_half_made_is_cleared_away(store: EdgeStore, tmp_path: Path) -> None:
    await store.aclose()
    (tmp_path / "vectors" / ".new-b" / "shard").mkdir(parents=True)
    (tmp_path / "vectors" / ".old-c" / "shard").mkdir(parents=True)

    again = await EdgeStore.open(tmp_path / "vectors")

    assert await again.indexes() == ["a"]
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == [".lock", "a"]
    await again.aclose()


async def test_a_damaged_index_fails_alone(store: EdgeStore, tmp_path: Path) -> None:
    await store.create("b", SPEC)
    await store.upsert("a", points(3))
    await store.upsert("b", points(3))
    await store.aclose()
    for segment in (tmp_path / "vectors" / "b" / "shard" / "segments").glob("*/segment.json"):
        segment.write_text("{")

    again = await EdgeStore.open(tmp_path / "vectors")

    with pytest.raises(RetrievalError):
        await again.count("b")
    assert await again.count("a") == 3
    await again.aclose()


async def test_a_full_disk_fails_the_write_and_loses_nothing(store: EdgeStore) -> None:
    """The kernel refuses to let the owner's files grow; searches go on, and writes do when there is room again."""
    await store.upsert("a", points(10))
    assert store.owner_pid
    large = [replace(point, text=f"w{n} " + "x" * 100_000) for n, point in enumerate(points(700, start=10))]
    resource.prlimit(store.owner_pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    with pytest.raises(RetrievalError, match="File too large"):
        await store.upsert("a", large)

    [[hit]] = await store.search("a", [Bm25Query(text="w7", limit=1)], models.Filter(must=[named("n", 7)]))
    assert hit.payload == {"n": 7}

    resource.prlimit(store.owner_pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.upsert("a", large[-5:])
    for bounds, expected in ((models.Range(lt=10), 10), (models.Range(gte=705), 5)):
        assert await store.count("a", models.Filter(must=[models.FieldCondition(key="n", range=bounds)])) == expected


async def test_compacting_keeps_what_is_there(store: EdgeStore) -> None:
    await store.upsert("a", points(3000))
    await store.delete("a", models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=2900))]))

    await store.compact("a")

    assert await store.count("a") == 100
    [[hit], dense] = await store.search(
        "a", [Bm25Query(text="w2950", limit=1), DenseQuery(vector=[1, 2950, 0, 0], limit=200)], EVERYTHING
    )
    assert hit.payload == {"n": 2950}
    assert len(dense) == 100


async def test_an_unknown_condition_is_named(store: EdgeStore) -> None:
    where = models.Filter(must=[models.FieldCondition(key="text", match=models.MatchText(text="x"))])
    with pytest.raises(RetrievalError, match="filter by text"):
        await store.count("a", where)
    with pytest.raises(RetrievalError, match="has_vector"):
        await store.count("a", models.Filter(must=[models.HasVectorCondition(has_vector="dense")]))
    with pytest.raises(CollectionNotFound):
        await store.count("b", EVERYTHING)


async def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="file"):
        await EdgeStore.open(tmp_path / "file")


async def test_a_package_of_the_same_name_nearby_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "retrieval").mkdir()
    (tmp_path / "retrieval" / "__init__.py").write_text("raise SystemExit('wrong package')")
    monkeypatch.chdir(tmp_path)

    link, greeting = await OwnerLink.start(tmp_path / "vectors", 1.0)

    assert greeting == {}
    await link.stop()


@pytest.mark.parametrize("size", [1, 3, 7, 4096])
def test_messages_survive_any_cut_of_the_stream(size: int) -> None:
    messages = [(1, "x", None), (2, b"\x00" * 1000, [1.5, {"ü": True}]), (), (3, "y" * 5000)]
    stream = b"".join(encode(message) for message in messages)
    decoder = Decoder()

    received = [each for at in range(0, len(stream), size) for each in decoder.feed(stream[at : at + size])]

    assert received == messages
