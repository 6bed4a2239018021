"""What is forgotten is nowhere: not in the record, not in conversations with their runs and events, not in files."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from cairn import ToolContext, tool
from memory.erasing import Erasures, write_back
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.database import Database
from records.principal import LOCAL
from records.schema import erasures, metadata
from tests.support.everyones import everyones
from tests.support.postgres import fresh_postgres
from tests.support.redis import URL, reachable_redis
from tests.support.service import LocalService, ask, running_service

SECRET = "I like marzipan with wasabi and lime"
WORDS = ("marzipan", "wasabi")
NOTHING = {"learn": "off", "tools": False}


@tool(effect="write", autonomy="auto")
async def note_down(words: str, context: ToolContext) -> str:
    """Note something down."""
    await context.scratch.set("note", {"said": words})
    return f"Noted: {words}"


class Script:
    """A model that repeats what it hears, in small pieces, and notes it down where it is told to."""

    def __init__(self) -> None:
        self.model = ScriptedModel(self._turn)
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    def _turn(self, request: ModelRequest) -> Sequence[ScriptItem]:
        said = request.messages[-1].content
        if request.messages[-1].role == "tool":
            return ["Fine."]
        if said.startswith("Note "):
            return [ToolCall(id="n", name="note_down", arguments=json.dumps({"words": said[5:]}))]
        pieces = ["You said: ", *(said[start : start + 7] for start in range(0, len(said), 7)), " – so be it."]
        return [pieces[0], self._reach, *pieces[1:]] if said.startswith("Wait") else pieces

    async def _reach(self) -> None:
        self.reached.set()
        await self.go.wait()


@dataclass
class House:
    """A service, and everything that it keeps anything in."""

    service: LocalService
    script: Script
    folder: Path
    redis: Redis | None = None

    @property
    def database(self) -> Database:
        return self.service.services.knowledge.database

    async def say(self, message: str, session: str | None = None, **body: Any) -> tuple[str, str]:
        """Ask; gives the run and its session."""
        events = await ask(self.service, message, session_id=session, retrieval="off", **body)
        assert events[-1].type == "run.completed"
        return events[0].data["run_id"], events[0].data["session_id"]

    async def remember(self, **given: Any) -> str:
        made = await self.service.client.post(
            "/v1/memory", json={"text": f"{SECRET}.", "kind": "preference", **given}, headers={"Idempotency-Key": "m"}
        )
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def holds(self, word: str) -> list[str]:
        """Where the word stands: tables by name, keys of Redis, files."""
        found = []
        async with self.database.read() as connection:
            for table in metadata.sorted_tables:
                rows = await connection.execute(everyones(select(table)))
                found += [
                    table.name for row in rows if word in orjson.dumps(list(map(_plain, row)), default=str).decode()
                ]
        if self.redis is not None:
            for key in await self.redis.keys("*"):
                kind = await self.redis.type(key)
                kept = await (self.redis.xrange(key) if kind == b"stream" else self.redis.dump(key))
                found += [str(key)] if word.encode() in repr(kept).encode() else []
        files = [path for path in self.folder.rglob("*") if path.is_file() and "models" not in path.parts]
        return found + [path.name for path in files if word.encode() in _bytes(path)]

    async def erased(self) -> None:
        """Wait until there is nothing left to erase."""
        async with asyncio.timeout(60):
            while True:
                await self.service.services.memory.store.erasures.tend()
                async with self.database.read() as connection:
                    if not (await connection.execute(everyones(select(erasures)))).all():
                        return
                await asyncio.sleep(0.02)

    async def nothing_left(self) -> None:
        """Nothing holds the words, nor any note that they are to be erased."""
        await self.erased()
        left: list[str] = []
        try:
            async with asyncio.timeout(60):
                for word in WORDS:
                    while left := await self.holds(word):
                        # Whoever read meanwhile has kept SQLite's log.
                        await write_back(self.database)
                        await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"the words still stand in {left}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # the store writes elsewhere, and puts it in its place
        return b""


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A service with files and SQLite."""
    async with _house(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def _house(folder: Path, redis: Redis | None = None, **stores: Any) -> AsyncIterator[House]:
    script = Script()
    async with running_service(folder, model=script.model, tools=[note_down], memory=NOTHING, **stores) as service:
        yield House(service, script, folder, redis)
        script.go.set()


async def test_what_is_forgotten_is_nowhere_in_files_and_sqlite(house: House) -> None:
    await _forget_everywhere(house)


async def test_what_is_forgotten_is_nowhere_in_postgresql_and_redis(tmp_path: Path) -> None:
    async with (
        reachable_redis() as redis,
        fresh_postgres() as url,
        _house(tmp_path, redis, database_url=url, redis_url=URL) as house,
    ):
        await _forget_everywhere(house)


async def _forget_everywhere(house: House) -> None:
    client = house.service.client
    said, session = await house.say(f"Please know:\n{SECRET}!\tThat is all. [1]")
    noted, _ = await house.say(f"Note {SECRET.upper()}", session)
    memory = await house.remember(run_id=said, value={"like": SECRET, "n": 1})
    recalled, _ = await house.say("What do I like?")
    before = [event.type for event in await _events(house, said)]
    assert await house.holds("wasabi")

    # One run goes on meanwhile: it is seen to when it has ended.
    waiting = asyncio.create_task(house.say(f"Wait: {SECRET}"))
    await house.script.reached.wait()
    await house.service.services.runs.settled()
    assert (await client.delete(f"/v1/memory/{memory}")).status_code == 204
    assert {"runs", "erasures"} <= {*await house.holds("wasabi")}
    assert (await client.get(f"/v1/runs/{said}")).json()["answer"].count("[forgotten]") == 1
    house.script.go.set()
    await waiting
    await house.nothing_left()

    # The conversation keeps its shape.
    body = (await client.get(f"/v1/sessions/{session}")).json()
    contents = [message["content"] for message in body["messages"]]
    assert contents[0] == "Please know:\n[forgotten]!\tThat is all. [1]"
    assert contents[1] == f"You said: {contents[0]} – so be it."
    assert "[forgotten]" in body["title"]
    call = body["messages"][3]["tool_calls"][0]
    assert json.loads(call["arguments"]) == {"words": "[forgotten]"}
    exported = (await client.get(f"/v1/sessions/{session}/export")).json()
    assert exported["scratch"] == {"note": {"said": "[forgotten]"}}
    # Streams replay the same events with other words, and tell the same answer as the record.
    events = await _events(house, said)
    assert [event.type for event in events] == before
    answer = "".join(event.data["delta"] for event in events if event.type == "text.delta")
    assert answer == contents[1] == events[-1].data["answer"]
    assert (await client.get(f"/v1/runs/{noted}")).json()["tool_calls"][0]["arguments"] == {"words": "[forgotten]"}
    assert (await client.get(f"/v1/runs/{recalled}")).json()["status"] == "completed"
    # To forget it again, or to erase again, changes nothing.
    assert (await client.delete(f"/v1/memory/{memory}")).status_code == 410
    assert [event.data for event in await _events(house, said)] == [event.data for event in events]


async def test_only_what_belongs_to_it_is_erased(house: House) -> None:
    """What another user says of himself stays, and so does what merely sounds like it."""
    client = house.service.client
    from records.keys import KeyStore

    scopes: Any = ("chat", "memory:read", "memory:write")
    keys = KeyStore(house.database)
    ada, bob = [(await keys.create(tenant="acme", name=name, scopes=scopes)).text for name in ("ada", "bob")]
    client.headers["Authorization"] = f"Bearer {bob}"
    _, bobs = await house.say(SECRET)
    client.headers["Authorization"] = f"Bearer {ada}"
    _, adas = await house.say(f"{SECRET}. I like marzipan without it.")
    memory = await house.remember()
    assert (await client.delete(f"/v1/memory/{memory}")).status_code == 204
    await house.erased()
    mine = (await client.get(f"/v1/sessions/{adas}")).json()["messages"]
    assert mine[0]["content"] == "[forgotten]. I like marzipan without it."
    client.headers["Authorization"] = f"Bearer {bob}"
    assert (await client.get(f"/v1/sessions/{bobs}")).json()["messages"][0]["content"] == SECRET


async def test_all_about_a_person_goes_with_his_sessions(house: House) -> None:
    client = house.service.client
    for said in (SECRET, "My wasabi is from Japan."):
        (await client.post("/v1/memory", json={"text": said})).raise_for_status()
    (await client.post("/v1/memory", json={"text": "Lime is green.", "subject": {"type": "tenant"}})).raise_for_status()
    _, session = await house.say(f"Well, {SECRET}")
    await house.say("wasabi, you know", session)
    refused = await client.delete("/v1/memory", params={"subject_type": "tenant", "sessions": True})
    assert refused.status_code == 422
    waiting = asyncio.create_task(ask(house.service, "Wait for wasabi", session_id=session, retrieval="off"))
    await house.script.reached.wait()
    whole: dict[str, Any] = {"subject_type": "user", "sessions": True}
    busy = await client.delete("/v1/memory", params=whole)
    assert (busy.status_code, busy.json()["code"]) == (409, "session_busy")
    assert len((await client.get("/v1/memory")).json()["items"]) == 3  # nothing was forgotten yet
    done = await client.delete("/v1/memory", params={**whole, "cancel": True})
    assert (done.status_code, done.json()) == (200, {"records": 2, "sessions": 1})
    await waiting
    await house.nothing_left()
    assert [each["text"] for each in (await client.get("/v1/memory")).json()["items"]] == ["Lime is green."]
    assert (await client.get("/v1/sessions")).json()["items"] == []


async def test_killed_half_way_it_is_finished_later(tmp_path: Path) -> None:
    """The process dies once the record is forgotten: the next one erases what is left of it."""
    async with _house(tmp_path) as house:
        await house.say(f"Note {SECRET}")
        memory = await house.remember()
        await house.service.services.runs.settled()
        store = house.service.services.memory.store
        store.erasures = Erasures(house.database, [_Dies()])
        await house.service.services.memory.forget(LOCAL, memory)
        assert await house.holds("wasabi")
    async with _house(tmp_path) as house:
        await house.nothing_left()


class _Dies:
    async def erase(self, _: Any) -> bool:
        raise ConnectionError("the process died here")


async def _events(house: House, run_id: str) -> list[Any]:
    from tests.support.service import events

    async with house.service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        return [event async for event in events(response)]


async def test_what_is_forgotten_in_chat_is_gone_with_the_words_that_asked_for_it(tmp_path: Path) -> None:
    """Learnt from what was said, forgotten because it was asked for, without a language model."""
    async with running_service(tmp_path) as service:
        house = House(service, Script(), tmp_path)
        _, session = await house.say(f"{SECRET}.")
        async with asyncio.timeout(60):
            while not (await service.client.get("/v1/memory")).json()["items"]:
                await asyncio.sleep(0.02)
        await service.services.memory.index.tend()
        await house.say(f"Forget that {SECRET}.", session)
        assert (await service.client.get("/v1/memory")).json()["items"] == []
        await house.nothing_left()
        said = (await service.client.get(f"/v1/sessions/{session}")).json()["messages"]
        assert [each["content"] for each in said if each["role"] == "user"] == [
            "[forgotten].",
            "Forget that [forgotten].",
        ]
