"""What the table of summaries promises on every database: none twice, none of a session that is gone, a few kept."""

import asyncio
from dataclasses import replace
from pathlib import Path

from agent.erasing.sessions import SessionDeletion
from agent.log.log import FileEventLog
from memory.conversation.summaries import KEPT, SummaryStore
from memory.conversation.summary import Summary
from memory.sessions import add_session, new_session
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal

ALICE = Principal(tenant="acme", id="alice")


class Nobody:
    """Stops no run: there is none."""

    async def cancel(self, principal: Principal, run_id: str, reason: str) -> None: ...


async def test_a_session_has_its_latest_summaries_each_once_and_none_when_it_is_gone(
    database: Database, tmp_path: Path
) -> None:
    session = new_session("Talk")
    async with database.write() as connection:
        await connection.execute(add_session(session, ALICE.tenant, ALICE.id))
    store = SummaryStore(database)
    first = Summary(id=new_id(), first=1, last=9, text="nul \0 and all", made_by="m", created_at=now())
    added = await asyncio.gather(*(store.add(ALICE.tenant, session.id, replace(first, id=new_id())) for _ in range(4)))
    assert sorted(added) == [False, False, False, True]
    later = [replace(first, id=new_id(), last=9 + number) for number in range(1, KEPT + 3)]
    for summary in later:
        assert await store.add(ALICE.tenant, session.id, summary)
    assert (await store.latest(ALICE.tenant, session.id)) == replace(
        later[-1], text="nul \ufffd and all", created_at=later[-1].created_at
    )
    before = await store.latest(ALICE.tenant, session.id, before=later[-1].id)
    assert before is not None
    assert before.id == later[-2].id
    # Those before the last few are gone.
    assert await store.latest(ALICE.tenant, session.id, before=later[-KEPT].id) is None
    assert await store.latest("other", session.id) is None
    assert not await store.add("other", session.id, first)
    deletion = SessionDeletion(database, FileEventLog(tmp_path), Nobody())
    await deletion.delete(ALICE, session.id)
    assert await store.latest(ALICE.tenant, session.id) is None
    assert not await store.add(ALICE.tenant, session.id, first)
