"""The tasks of a shop told to a service, one telling a run, and what became of the shop by it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from evals.retail import model_server
from evals.retail.asking import Approval, Asker, Heard
from evals.retail.processes import Addresses, Fleet, Service, back_end, link_models
from evals.retail.shop import Data
from evals.retail.tasks import ANSWER, Call, Expected, Task, applied, next_turn, reference
from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem

_SETTINGS = {
    "CAIRN_LIMITS__MODEL_CALLS": "1000",
    "CAIRN_LIMITS__TOOL_CALLS": "1000",
    "CAIRN_LIMITS__TOKENS": "1000000000",
    "CAIRN_MODEL_OPTIONS__CONTEXT_TOKENS": "1000000",
    "CAIRN_AUTONOMY__WRONG": "20",
    "CAIRN_RETRIEVAL__THREADS": "1",
    "CAIRN_LOG_LEVEL": "warning",
}
"""So that what a run may use, and how often a tool may go wrong by itself, ends none of them."""


@dataclass(slots=True)
class Telling:
    """One task, told once.

    Attributes:
        kills: How often the service died under it.
        asked: Calls of the model so far.
        stalls: Kills in a row between which the task came no further.
        holds: Whether the model has come to its answer, and holds it back.
        released: Whether it may be given.
    """

    task: Task
    key: str
    expected: Expected
    kills: int = 0
    asked: int = 0
    stalls: int = 0
    holds: bool = False
    asked_before: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Heard = field(default_factory=Heard)
    done: bool = False

    def survived(self) -> None:
        """The service was killed."""
        self.kills += 1
        # A call that is made again after a kill is not made for the first time before it has been followed by another.
        self.stalls = 0 if self.asked > self.asked_before + 1 else self.stalls + 1
        self.asked_before = self.asked
        self.holds = False
        self.released.set()

    def script(self, request: ModelRequest) -> list[ScriptItem]:
        """What the model says next."""
        self.asked += 1
        turn = next_turn(self.task, request)
        self.moved.set()
        if turn != list(ANSWER):
            return turn
        self.holds = not self.released.is_set()
        return [ANSWER[0], self.released.wait, ANSWER[1]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the shop by one telling.

    Attributes:
        doubled: Effects that came more often than they should have; one that the shop refused because it had been done
            before counts, too.
        lost: Effects that never came.
        differs: Whether the state of the shop is not the one after making the calls directly.
    """

    doubled: int
    lost: int
    differs: bool


@dataclass(slots=True)
class Stage:
    """Services, their back end and their model, ready to be told tasks."""

    fleet: Fleet
    addresses: Addresses
    client: aiohttp.ClientSession
    tellings: dict[str, Telling]

    async def tell(self, telling: Telling, *, copies: int) -> None:
        """Have a task done, and wait for the end."""
        self.tellings[telling.key] = telling
        asker = Asker(self.fleet, self.client, self._decision, copies=copies)
        telling.heard = asker.heard
        await asker.ask(f"[{telling.key}] {telling.task.request}", telling.key)
        telling.done = True
        telling.moved.set()

    async def verdict(self, telling: Telling) -> Verdict:
        """Compare what the back end did with what it should have done."""
        truth = await self._truth(f"/truth/sessions/{telling.heard.session_id}")
        return judged(telling.expected, truth["state"], truth["log"])

    async def faults(self) -> Counter[str]:
        """How often which fault was met."""
        return Counter(await self._truth("/truth/faults"))

    async def _decision(self, approval: Approval) -> dict[str, str]:
        """A person agrees to what is asked; of what may have been done already, the back end's own log is read."""
        if approval["kind"] == "outcome_unknown":
            call = Call(approval["tool"], approval["arguments"]).name
            truth = await self._truth(f"/truth/sessions/{approval['session_id']}")
            if any(entry["call"] == call and entry["came_to"] == "acted" for entry in truth["log"]):
                return {"decision": "reject", "reason": "It was done."}
        return {"decision": "approve"}

    async def _truth(self, path: str) -> Any:
        async with self.client.get(self.addresses.truth + path) as response:
            response.raise_for_status()
            return await response.json()


def judged(expected: Expected, state: Mapping[str, Any], log: list[Mapping[str, str]]) -> Verdict:
    """Compare a session's log and shop with what they should be."""
    acted: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for entry in log:
        if entry["came_to"] == "acted":
            acted[entry["call"]] += 1
        elif entry["came_to"] == "refused" and acted[entry["call"]]:
            again[entry["call"]] += 1
    doubled = (acted + again) - expected.effects - expected.refused
    lost = expected.effects - acted
    differs = json.dumps(state, sort_keys=True) != json.dumps(expected.state, sort_keys=True)
    return Verdict(doubled.total(), lost.total(), differs)


def telling(data: Data, task: Task, key: str) -> Telling:
    """A task, ready to be told."""
    return Telling(task, key, applied(data, task))


@asynccontextmanager
async def stage(
    folder: Path,
    data: str,
    mode: str,
    *,
    faults: float = 0.0,
    seconds: float = 10.0,
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
    members: int = 1,
) -> AsyncIterator[Stage]:
    """Services over a folder, with a back end of their own; they are not started yet.

    Args:
        seconds: What a call may take; a hanging back end takes twice that.
        settings: Further settings of the service.
        members: How many services; more than one need settings that let them share their stores.
    """
    tellings: dict[str, Telling] = {}
    model = ScriptedModel(lambda request: tellings[reference(request)].script(request))
    folders = [folder / str(number) for number in range(members)]
    for each in folders:
        (each / "data").mkdir(parents=True)
        link_models(each / "data")
    async with AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(back_end(data, mode, faults=faults, hang=seconds * 2, seed=seed))
        model_url = await stack.enter_async_context(model_server.served(model))
        timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
        connector = aiohttp.TCPConnector(limit=0)
        client = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, connector=connector))
        environment = {
            **_SETTINGS,
            **(settings or {}),
            "OPENAI_BASE_URL": model_url,
            "RETAIL_URL": addresses.url,
            "RETAIL_MODE": mode,
            "RETAIL_SECONDS": str(seconds),
        }
        fleet = Fleet([Service(each, environment) for each in folders], seed)
        try:
            yield Stage(fleet, addresses, client, tellings)
        finally:
            await asyncio.gather(*(member.kill() for member in fleet.members))
