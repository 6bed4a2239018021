"""A run keeps who asked it, and with what rights."""

from pathlib import Path

import pytest

from agent.journal.record import RunStore
from records.database import Database
from records.principal import LOCAL, Principal

CLERK = Principal(
    tenant="acme",
    id="clerk",
    groups=frozenset({"staff", "desk"}),
    roles=frozenset({"manager"}),
    scopes=frozenset({"chat", "search"}),
    attributes={"customer": "201"},
)


@pytest.mark.parametrize("asker", [LOCAL, CLERK, Principal()], ids=["the owner", "a key", "nobody in particular"])
async def test_a_run_that_is_taken_up_again_may_do_what_its_asker_might(tmp_path: Path, asker: Principal) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store = RunStore(database, "worker")
    accepted = await store.accept(
        asker, session_id=None, title="Hello", model="scripted", config_version="1", request={"message": "Hello"}
    )
    assert (await store.get(asker, accepted.id)).asker == accepted.asker == asker
    assert [record.asker for record in await store.unsealed()] == [asker]
    await database.aclose()
