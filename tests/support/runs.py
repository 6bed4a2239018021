"""The owner of runs with everything that it works with but HTTP and documents."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from agent.approvals.gate import PolicyGate
from agent.approvals.signing import Signer
from agent.approvals.store import ApprovalStore
from agent.collaborators import Collaborators
from agent.events import TERMINAL
from agent.journal.record import RunStore
from agent.journal.stores import open_journal, open_run_store
from agent.knowledge.preparing import Preparation
from agent.log.archive import SqlArchive
from agent.log.encoding import RunEvent
from agent.log.log import EventLog, FileEventLog
from agent.log.redis import RedisEventLog
from agent.observer import NoObserver
from agent.queue.claims import Claims
from agent.queue.lanes import LaneLimits
from agent.queue.queue import Queue
from agent.queue.redis_signals import Signals as RedisSignals
from agent.queue.turns import NoSignals, Signals
from agent.runs import RunRequest, Runs, RunSettings
from agent.state import Limits
from agent.subject_token import TokenSealer
from agent.webhooks.notices import Notices
from memory.sessions import SessionStore
from models.port import ChatModel
from models.scripted import ScriptedModel
from records.database import Database
from records.ids import new_id
from records.principal import Principal
from retrieval.documents import Source
from tools.policy import Policy, Rule
from tools.selection import EveryTool, ToolSelector
from tools.toolset import Toolset

ALICE = Principal(id="alice")
_LANES = LaneLimits()


class OneModel:
    """Offers one model, whatever name is asked for."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def get(self, _name: str | None) -> ChatModel:
        return self._model


class Searcher:
    """Finds nothing."""

    async def search(self, *_: object) -> Sequence[Source]:
        return []


@dataclass(frozen=True, slots=True)
class Bureau:
    """Runs, and the stores they are kept in."""

    runs: Runs
    store: RunStore
    sessions: SessionStore
    log: Any
    database: Database
    approvals: ApprovalStore

    async def start(self, message: str = "Hello there", session_id: str | None = None) -> tuple[str, str]:
        """Start a run without retrieval; gives its id and its session's."""
        request = RunRequest(message=message, session_id=session_id, collection="default", retrieval="off")
        return await self.runs.start(ALICE, request)

    async def end_of(self, run_id: str) -> list[RunEvent]:
        """All events of a run, once it has ended."""
        return [event async for event in self.runs.follow(run_id)]

    async def idle(self) -> None:
        """Wait until no run is going on."""
        while self.runs.active:
            await asyncio.sleep(0)
        await self.runs.settled()

    async def said(self, session_id: str) -> list[str]:
        """What the session remembers, oldest first."""
        return [entry.message.content for entry in await self.sessions.history(ALICE, session_id)]


def terminals(events: Sequence[RunEvent]) -> list[str]:
    """The types of the events that end a run: one, and it is the last."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    ends = [event.type for event in events if event.type in TERMINAL]
    assert ends == [events[-1].type]
    return ends


@dataclass(frozen=True, slots=True)
class Stores:
    """Where runs are kept: on one's own in a folder, or shared with other processes."""

    database: Database
    log: EventLog
    signals: Signals
    alone: bool


@asynccontextmanager
async def own_stores(folder: Path) -> AsyncIterator[Stores]:
    """SQLite and files in the folder."""
    database = await Database.open(f"sqlite+aiosqlite:///{folder}/cairn.db")
    log = FileEventLog(folder / "events")
    try:
        yield Stores(database, log, NoSignals(), alone=True)
    finally:
        await log.aclose()
        await database.aclose()


@asynccontextmanager
async def shared_stores(postgres: str, redis_url: str) -> AsyncIterator[Stores]:
    """PostgreSQL and Redis, which other processes work on, too."""
    database = await Database.open(postgres)
    async with Redis.from_url(redis_url) as redis:
        signals = RedisSignals(redis)
        log = RedisEventLog(redis, signals, SqlArchive(database))
        try:
            yield Stores(database, log, signals, alone=False)
        finally:
            await log.aclose()
            await signals.aclose()
            await database.aclose()


@asynccontextmanager
async def opened_runs(
    folder: Path, model: ChatModel | None = None, tools: Sequence[Any] = (), rules: Sequence[Rule] = (), **limits: Any
) -> AsyncIterator[Bureau]:
    """Runs over a database and a log in the folder; closing stops them."""
    async with own_stores(folder) as stores, runs_over(stores, model, tools, rules, **limits) as bureau:
        yield bureau


@asynccontextmanager
async def runs_over(
    stores: Stores,
    model: ChatModel | None = None,
    tools: Sequence[Any] = (),
    rules: Sequence[Rule] = (),
    selector: ToolSelector | None = None,
    notices: Notices | None = None,
    lanes: LaneLimits = _LANES,
    **limits: Any,
) -> AsyncIterator[Bureau]:
    """Runs over these stores; closing stops them."""
    database, log = stores.database, stores.log
    worker = new_id()
    store, sessions = open_run_store(database, worker, notices), SessionStore(database)
    approvals = ApprovalStore(database, Signer(b"k" * 32), expire_seconds=3600)
    runs = Runs(
        store=store,
        claims=Claims(database, worker, alone=stores.alone),
        signals=stores.signals,
        sessions=sessions,
        log=log,
        models=OneModel(model or ScriptedModel(lambda _: ["Fine."])),
        toolset=Toolset(tools),
        approvals=approvals,
        collaborators=Collaborators(
            preparation=Preparation(Searcher()),
            selector=selector or EveryTool(),
            journal=open_journal(database, notices),
            gate=PolicyGate(Policy(rules)),
            approvals=approvals,
            observer=NoObserver(),
            sealer=TokenSealer(Signer(b"k" * 32)),
        ),
        settings=RunSettings(
            limits=Limits(**limits), source_limit=4, history_tokens=2000, config_version="c", lanes=lanes
        ),
        queue=None if stores.alone else Queue(database, worker, lanes.promote_seconds),
    )
    try:
        yield Bureau(runs, store, sessions, log, database, approvals)
    finally:
        await runs.aclose()
