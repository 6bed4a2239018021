"""What tools note down in a session: there for later calls, the same for a call that is made again."""

import asyncio
import pickle
from typing import Any

import pytest

from agent.scratch import MAX_NAMES, MAX_VALUE, Scratches, SessionScratch
from memory.sessions import add_session, new_session
from records.database import Database
from tools.scratch import NoScratch, ScratchRefused


@pytest.fixture
async def session_id(database: Database) -> str:
    session = new_session("Talk")
    async with database.write() as connection:
        await connection.execute(add_session(session, "acme", "alice"))
    return session.id


def of(database: Database, session_id: str, call: str, tenant: str = "acme") -> SessionScratch:
    return Scratches(database).of(tenant, session_id, call)


async def test_a_later_call_finds_what_an_earlier_one_wrote(database: Database, session_id: str) -> None:
    first = of(database, session_id, "run:1:0")
    assert await first.get("cart", []) == []
    await first.set("cart", ["a lamp", {"count": 2}])
    assert await first.get("cart") == ["a lamp", {"count": 2}]
    later = of(database, session_id, "run:2:0")
    assert await later.get("cart") == ["a lamp", {"count": 2}]
    await later.set("note", None)
    assert await Scratches(database).all("acme", session_id) == {"cart": ["a lamp", {"count": 2}], "note": None}
    await later.delete("cart")
    await later.delete("never there")
    assert await later.get("cart") is None
    assert await of(database, session_id, "run:3:0").get("cart", "gone") == "gone"


async def test_a_call_that_is_made_again_finds_what_it_found(database: Database, session_id: str) -> None:
    async def count(call: str) -> int:
        scratch = of(database, session_id, call)
        total = int(await scratch.get("total", 0)) + 1
        await scratch.set("total", total)
        assert await scratch.get("total") == total
        return total

    assert [await count("run:1:0") for _ in range(3)] == [1, 1, 1]
    assert [await count("run:2:0") for _ in range(2)] == [2, 2]

    async def take(call: str) -> Any:
        scratch = of(database, session_id, call)
        found = await scratch.get("total")
        await scratch.delete("total")
        assert await scratch.get("total") is None
        return found

    assert [await take("run:3:0") for _ in range(2)] == [2, 2]
    assert await of(database, session_id, "run:4:0").get("total") is None


async def test_no_other_session_and_no_other_tenant_sees_it(database: Database, session_id: str) -> None:
    await of(database, session_id, "run:1:0").set("secret", 1)
    assert await of(database, "another", "run:1:0").get("secret") is None
    stranger = of(database, session_id, "run:9:0", tenant="other")
    assert await stranger.get("secret") is None
    with pytest.raises(ScratchRefused, match="gone"):
        await stranger.set("secret", 2)
    with pytest.raises(ScratchRefused, match="gone"):
        await of(database, "another", "run:1:0").set("secret", 2)
    assert await of(database, session_id, "run:2:0").get("secret") == 1


async def test_what_is_too_large_or_no_json_is_refused(database: Database, session_id: str) -> None:
    refused: list[tuple[str, Any, str]] = [
        ("", 1, "1 to 64"),
        ("x" * 65, 1, "1 to 64"),
        ("a\0b", 1, "1 to 64"),
        ("x", "y" * MAX_VALUE, "8192 bytes"),
        ("x", object(), "JSON"),
        ("x", b"raw", "JSON"),
    ]
    for name, value, why in refused:
        with pytest.raises(ScratchRefused, match=why):
            await of(database, session_id, "run:1:0").set(name, value)
    assert await Scratches(database).all("acme", session_id) == {}


async def test_there_are_no_more_than_so_many_however_they_are_written(database: Database, session_id: str) -> None:
    calls = [of(database, session_id, f"run:{call}:0") for call in range(MAX_NAMES + 6)]
    done = await asyncio.gather(
        *(call.set(f"name {number}", number) for number, call in enumerate(calls)), return_exceptions=True
    )
    assert len([each for each in done if isinstance(each, ScratchRefused)]) == 6
    kept = await Scratches(database).all("acme", session_id)
    assert len(kept) == MAX_NAMES
    later = of(database, session_id, "later")
    await later.delete(next(iter(kept)))
    await of(database, session_id, "latest").set("one more", True)


async def test_a_thread_uses_it_too_and_another_process_does_not(database: Database, session_id: str) -> None:
    scratch = of(database, session_id, "run:1:0")

    def work() -> Any:
        scratch.blocking.set("from", "a thread")
        scratch.blocking.set("other", 1)
        scratch.blocking.delete("other")
        return scratch.blocking.get("from"), scratch.blocking.get("other", 2)

    assert await asyncio.to_thread(work) == ("a thread", 2)
    elsewhere = pickle.loads(pickle.dumps(scratch))
    assert isinstance(elsewhere, NoScratch)
    with pytest.raises(ScratchRefused, match="no scratch here"):
        await elsewhere.get("from")
