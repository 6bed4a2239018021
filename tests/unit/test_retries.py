"""A run that failed is started anew as another one; what it has done is not done again unasked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RunHasActed, RunNotOver
from agent.idempotency import RequestKey
from agent.journal.record import RunNotFound
from agent.journal.stores import open_journal
from agent.retrying import Retries, authority
from agent.runs import RunRequest
from agent.starting import Starts
from cairn import ToolContext, tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.principal import Principal
from tests.support.runs import ALICE, Bureau, opened_runs

BOB = Principal(id="bob")


def retries(bureau: Bureau) -> Retries:
    return Retries(Starts(bureau.runs, bureau.store), bureau.store, open_journal(bureau.database))


class Shop:
    """Fails after each purchase, until it is mended."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.bought: list[str] = []
        self.mended = False
        self._failure = failure

        @tool(effect="write", autonomy="auto")
        async def buy(what: str, context: ToolContext) -> str:
            """Buy."""
            self.bought.append(context.idempotency_key)
            if self._failure is not None:
                raise self._failure
            return what

        self.tools = [buy]

    def script(self, request: ModelRequest) -> list[ScriptItem]:
        if request.messages[-1].role != "tool":
            return [ToolCall(id="c", name="buy", arguments='{"what": "a lamp"}')]
        if not self.mended:
            raise RuntimeError("the model is out")
        return ["Bought."]


async def failed_run(bureau: Bureau, **request: Any) -> str:
    asked = RunRequest(message="Buy it.", collection="default", retrieval="off", **request)
    run_id, _ = await bureau.runs.start(ALICE, asked)
    await bureau.end_of(run_id)
    await bureau.idle()
    assert (await bureau.store.get(ALICE, run_id)).status == "failed"
    return run_id


def broken(_: ModelRequest) -> list[ScriptItem]:
    raise RuntimeError("the model is out")


async def test_a_failed_run_is_started_anew_with_the_same_request_in_its_session(tmp_path: Path) -> None:
    out = [True]

    def script(request: ModelRequest) -> list[ScriptItem]:
        return broken(request) if out else ["Here you are."]

    async with opened_runs(tmp_path, ScriptedModel(script)) as bureau:
        failed = await failed_run(bureau, metadata={"ticket": 7}, lane="batch", webhook="https://a.example/")
        out.clear()
        retried = await retries(bureau).retry(ALICE, failed)
        assert retried.run_id != failed
        assert retried.deeds == []
        await bureau.end_of(retried.run_id)
        old, new = await bureau.store.get(ALICE, failed), await bureau.store.get(ALICE, retried.run_id)
        assert (new.status, new.session_id, new.authority) == ("completed", old.session_id, old.authority)
        assert new.request == {**old.request, "session_id": old.session_id, "retry_of": failed}
        assert (await bureau.store.get(ALICE, failed)).result == old.result


async def test_what_was_done_is_listed_and_done_again_only_on_demand(tmp_path: Path) -> None:
    shop = Shop()
    async with opened_runs(tmp_path, ScriptedModel(shop.script), shop.tools) as bureau:
        failed = await failed_run(bureau)
        assert len(shop.bought) == 1
        with pytest.raises(RunHasActed, match="buy \\(done\\)") as refused:
            await retries(bureau).retry(ALICE, failed)
        (deed,) = refused.value.deeds
        assert (deed.tool, deed.effect, deed.arguments, deed.outcome) == ("buy", "write", {"what": "a lamp"}, "done")
        assert (await bureau.store.list(ALICE, limit=10))[0].id == failed, "nothing was started"
        shop.mended = True
        retried = await retries(bureau).retry(ALICE, failed, force=True)
        assert retried.deeds == [deed]
        await bureau.end_of(retried.run_id)
        assert len(set(shop.bought)) == 2, "the new run acts under keys of its own"


async def test_what_may_have_been_done_counts_as_done(tmp_path: Path) -> None:
    shop = Shop(TimeoutError("no answer"))
    async with opened_runs(tmp_path, ScriptedModel(shop.script), shop.tools) as bureau:
        run_id, _ = await bureau.start("Buy it.")
        await bureau.end_of(run_id)
        await bureau.runs.cancel(ALICE, run_id, "never mind")
        await bureau.idle()
        with pytest.raises(RunHasActed, match="buy \\(unknown\\)"):
            await retries(bureau).retry(ALICE, run_id)


async def test_asked_twice_it_is_one_run(tmp_path: Path) -> None:
    async with opened_runs(tmp_path, ScriptedModel(broken)) as bureau:
        failed = await failed_run(bureau)
        asked = await asyncio.gather(*(retries(bureau).retry(ALICE, failed, force=n > 2) for n in range(5)))
        assert len({each.run_id for each in asked}) == 1
        key = RequestKey(tenant=ALICE.tenant, principal=ALICE.id, route="r", key="mine", digest="d")
        own = [await retries(bureau).retry(ALICE, failed, key=key) for _ in range(2)]
        assert len({each.run_id for each in own}) == 1
        assert own[0].run_id != asked[0].run_id
        await bureau.idle()


async def test_only_what_failed_or_was_cancelled_is_retried_and_only_by_its_asker(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with opened_runs(tmp_path, ScriptedModel(lambda _: [never.wait, "Fine."])) as bureau:
        goes_on, _ = await bureau.start()
        with pytest.raises(RunNotOver, match="not ended"):
            await retries(bureau).retry(ALICE, goes_on)
        with pytest.raises(RunNotFound):
            await retries(bureau).retry(BOB, goes_on)
        with pytest.raises(RunNotFound):
            await retries(bureau).retry(Principal(tenant="other", id="alice"), goes_on)
        never.set()
        await bureau.end_of(goes_on)
        await bureau.idle()
        with pytest.raises(RunNotOver, match="completed"):
            await retries(bureau).retry(ALICE, goes_on)


@pytest.mark.parametrize(
    ("then", "now", "may"),
    [
        (
            {"groups": {"a", "b"}, "roles": {"x", "y"}},
            {"groups": {"b", "c"}, "roles": {"y", "z"}},
            ({"b"}, {"y"}, set()),
        ),
        ({"scopes": {"chat", "search"}}, {"scopes": {"chat", "metrics"}}, (set(), set(), {"chat"})),
        ({"scopes": {"admin"}}, {"scopes": {"chat"}, "groups": {"a"}}, ({"a"}, set(), {"chat"})),
        ({"scopes": {"chat"}, "groups": {"a"}}, {"scopes": {"admin"}}, ({"a"}, set(), {"chat"})),
        ({"scopes": {"admin"}}, {"scopes": {"admin"}}, (set(), set(), {"admin"})),
    ],
)
async def test_a_retry_may_what_its_asker_might_then_and_may_still(
    tmp_path: Path, then: dict[str, set[Any]], now: dict[str, set[Any]], may: tuple[set[str], ...]
) -> None:
    def person(rights: dict[str, set[Any]], customer: str) -> Principal:
        given: dict[str, Any] = {name: frozenset(values) for name, values in rights.items()}
        return Principal(id="alice", attributes={"customer": customer}, **given)

    async with opened_runs(tmp_path) as bureau:
        record = await bureau.store.accept(
            person(then, "1"), session_id=None, title="t", model="m", config_version="c", request={}
        )
    acts_for = authority(record, person(now, "2"))
    assert (set(acts_for.groups), set(acts_for.roles), set(acts_for.scopes)) == may
    assert acts_for.attributes == {"customer": "2"}
