"""The request of a run as another version of Cairn, an older or a newer one, has recorded it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from agent.direct import DirectCall
from agent.errors import RequestUnreadable
from agent.journal.stores import open_journal
from agent.log.outcome import outcome
from agent.retrying import Retries
from agent.run import RunRequest
from agent.starting import Starts
from records.schema import runs
from tests.support.runs import ALICE, opened_runs, terminals

FULL = RunRequest(
    message="Why?",
    session_id="s",
    collection="default",
    model="a:b",
    tools=("pay", "search_documents"),
    retrieval="off",
    metadata={"a": [1, {"b": None}]},
    lane="batch",
    webhook="https://example.org/",
    retry_of="r",
    call=DirectCall(name="pay", arguments="{}"),
)
LEAST = {"message": "Why?", "collection": "default"}


def as_json(request: RunRequest) -> dict[str, Any]:
    recorded = asdict(request)
    return {**recorded, "tools": list(recorded["tools"])}


def test_what_is_recorded_is_read_back() -> None:
    assert RunRequest.recorded(as_json(FULL)) == FULL


def test_what_a_newer_version_adds_is_passed_over_and_what_an_older_one_lacks_has_its_default() -> None:
    newer = as_json(FULL)
    newer |= {"mood": "hasty", "call": {**newer["call"], "patience": 3}}
    assert RunRequest.recorded(newer) == FULL
    assert RunRequest.recorded(LEAST) == RunRequest(message="Why?", collection="default")


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        ({}, "message: Field required"),
        ({"message": "Why?"}, "collection: Field required"),
        ({**LEAST, "message": 5}, "message:"),
        ({**LEAST, "retrieval": "twice"}, "retrieval:"),
        ({**LEAST, "tools": "pay"}, "tools:"),
        ({**LEAST, "call": {"name": "pay"}}, "call.arguments:"),
    ],
    ids=["nothing", "no collection", "no text", "no known choice", "no list", "half a call"],
)
def test_what_cannot_be_read_is_said(request_: dict[str, Any], wrong: str) -> None:
    with pytest.raises(RequestUnreadable, match=wrong):
        RunRequest.recorded(request_)


@pytest.mark.parametrize(
    "damaged", [{}, [], "x", {"message": "Why?", "collection": "default", "retrieval": 3}], ids=repr
)
async def test_a_run_whose_request_cannot_be_read_ends_and_says_so_and_so_does_its_retry(
    tmp_path: Path, damaged: Any
) -> None:
    async with opened_runs(tmp_path) as bureau:
        record = await bureau.store.accept(
            ALICE, session_id=None, title="Why?", model="m", config_version="c", request=LEAST
        )
        mine = (runs.c.id == record.id, runs.c.tenant == ALICE.tenant)
        async with bureau.database.write() as connection:
            await connection.execute(update(runs).where(*mine).values(request=damaged))
        await bureau.runs.recover()
        await bureau.idle()
        events = await bureau.log.read(record.id)
        assert terminals(events) == ["run.failed"]
        assert outcome(events)["error"]["code"] == "request_unreadable"
        assert not await bureau.store.unsealed()
        retries = Retries(Starts(bureau.runs, bureau.store), bureau.store, open_journal(bureau.database))
        with pytest.raises(RequestUnreadable):
            await retries.retry(ALICE, record.id)
