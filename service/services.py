"""The composition root: every part is made here, once, from the settings, and closed in the opposite order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from agent.approvals.autonomy import AutonomyGate, Patience, TrackRecord
from agent.approvals.doubt import DoubtedModels
from agent.approvals.gate import PolicyGate
from agent.approvals.signing import SecretError, Signer, read_secret, secret_of_folder
from agent.approvals.store import ApprovalStore
from agent.approvals.switches import Switches
from agent.collaborators import Collaborators
from agent.erasing.answers import AnswerEraser
from agent.erasing.exporting import SessionExport
from agent.erasing.forgotten import ConversationEraser
from agent.erasing.sessions import SessionDeletion
from agent.idempotency import Reservations
from agent.journal.record import RunStore
from agent.journal.stores import open_journal, open_run_store
from agent.knowledge.answer_desk import AnswerDesk
from agent.knowledge.answers import CachedAnswers
from agent.knowledge.feedback import FeedbackStore, called_wrong
from agent.knowledge.following import Leaders
from agent.knowledge.learning import Learner
from agent.knowledge.preparing import Preparation
from agent.knowledge.recalling import LongTermMemory
from agent.log.log import EventLog, FileEventLog
from agent.queue.claims import Claims
from agent.queue.queue import Queue
from agent.queue.turns import NoSignals, Signals
from agent.retrying import Retries
from agent.runs import Runs, RunSettings
from agent.scratch import Scratches
from agent.starting import Starts
from agent.subject_token import TokenSealer
from agent.webhooks.deliverer import Deliverer
from agent.webhooks.deliveries import Deliveries
from agent.webhooks.endpoints import Endpoints
from agent.webhooks.notices import Notices
from agent.webhooks.reminders import Reminders
from agent.webhooks.sender import Sender
from memory.chat import MemoryInChat
from memory.conversation.compressing import Compressor
from memory.expiry import Expiry
from memory.index import MemoryIndex
from memory.memory import Memory
from memory.sessions import SessionStore
from models.port import ChatModel
from records.database import Database
from records.ids import new_id, now
from records.principal import Principal
from retrieval.cache.cache import AnswerCache
from retrieval.catalog import Catalog
from retrieval.documents import Source
from retrieval.errors import CollectionNotFound
from retrieval.retriever import Retriever
from service.knowledge import Knowledge, open_knowledge
from service.memory_schemas import load_schemas
from service.metrics import Metrics
from service.models import OpenModels
from service.settings import ProviderSettings, Settings
from service.upkeep import background, every
from tools.conversation import read_conversation_tool
from tools.hand_over import hand_over_tool
from tools.limits.local import LocalLimits
from tools.limits.port import RateLimiter
from tools.loading import load_entry_points, load_tools
from tools.memory import memory_tools
from tools.policy import Policy
from tools.search import search_documents_tool
from tools.selection import HybridSelector
from tools.toolset import Toolset

_TEND_SECONDS = 2.0
_PURGE_SECONDS = 600.0

Ping = Callable[[], Awaitable[Any]]
"""Raises unless the part answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a running service works with.

    Attributes:
        closing: Closes first what others have opened over these parts.
    """

    settings: Settings
    knowledge: Knowledge
    metrics: Metrics
    events: EventLog
    run_store: RunStore
    sessions: SessionStore
    session_deletion: SessionDeletion
    session_export: SessionExport
    memory: Memory
    cache: AnswerCache
    answer_desk: AnswerDesk
    runs: Runs
    starts: Starts
    retries: Retries
    reservations: Reservations
    approvals: ApprovalStore
    feedback: FeedbackStore
    endpoints: Endpoints
    toolset: Toolset
    model: ChatModel
    pings: Mapping[str, Ping]
    closing: AsyncExitStack

    @property
    def catalog(self) -> Catalog:
        """The record of documents."""
        return self.knowledge.catalog

    @property
    def retriever(self) -> Retriever:
        """Hybrid search."""
        return self.knowledge.retriever

    async def ping(self) -> dict[str, str]:
        """``ok``, or what is wrong, for each part that the service cannot do without."""
        if self.runs.closing:
            return {"runs": "the service is stopping"}
        states = await asyncio.gather(*(_state(ping) for ping in self.pings.values()))
        return dict(zip(self.pings, states, strict=True))


async def _state(ping: Ping) -> str:
    try:
        async with asyncio.timeout(2):
            await ping()
    except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
        return str(error) or type(error).__name__
    return "ok"


@asynccontextmanager
async def open_services(
    settings: Settings,
    providers: ProviderSettings,
    metrics: Metrics,
    *,
    model: ChatModel | None = None,
    tools: Sequence[Any] = (),
) -> AsyncIterator[Services]:
    """Open everything that a service needs.

    Args:
        model: Takes the place of the model that the settings name.
        tools: Further tools, beside those that the settings name.

    Raises:
        ModelError: The model cannot be opened.
        SecretError: The secret cannot be used.
        ToolLoadingError: A tool cannot be loaded.
        DatabaseError: The database cannot be opened.
        RetrievalError: The vector store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        signer = open_signer(settings)
        knowledge = await stack.enter_async_context(open_knowledge(settings))
        searcher = _Searcher(knowledge.retriever, settings.collection)
        models = OpenModels(settings, providers, knowledge.embedder.embed, default=model)
        stack.push_async_callback(models.aclose)
        default = await models.get(None)
        events, signals, pings = await stack.enter_async_context(_open_log(settings, knowledge.database))
        compressor = Compressor(knowledge.database, models.get)
        sessions = SessionStore(knowledge.database, compressor.note)
        worker = new_id()
        endpoints = Endpoints(settings.webhooks)
        notices = Notices(endpoints)
        run_store = open_run_store(knowledge.database, worker, notices)
        journal = open_journal(knowledge.database, notices)
        approvals = ApprovalStore(knowledge.database, signer, settings.approvals.expire_seconds)
        cache = AnswerCache(knowledge.database, knowledge.store, knowledge.embedder, settings.cache.cache())
        stack.push_async_callback(cache.aclose)
        index = MemoryIndex(knowledge.database, knowledge.store, knowledge.embedder, settings.retrieval.language)
        memory = Memory.over(
            knowledge.database,
            index,
            schemas=load_schemas(settings.memory.schemas),
            erasers=[ConversationEraser(knowledge.database, events), AnswerEraser(knowledge.database, cache)],
        )
        toolset = Toolset([*_all_tools(settings, searcher, memory, tools), read_conversation_tool(sessions)])
        toolset.share_limits(await stack.enter_async_context(_open_limits(settings)))
        stack.push_async_callback(toolset.aclose)
        await toolset.open()
        config_version = settings.config_version(
            model=default.info.name, tools=[tool.spec.parameters for tool in toolset]
        )
        answers = CachedAnswers(cache, knowledge.catalog, config_version, partial(called_wrong, knowledge.database))
        desk = AnswerDesk(
            cache,
            answers,
            models=models,
            toolset=toolset,
            source_limit=settings.retrieval.sources,
            runs=run_store,
            log=events,
        )
        runs = Runs(
            store=run_store,
            claims=Claims(knowledge.database, worker, alone=settings.alone),
            signals=signals,
            sessions=sessions,
            log=events,
            models=models if settings.hand_over_below is None else DoubtedModels(models, settings.hand_over_below),
            toolset=toolset,
            approvals=approvals,
            collaborators=Collaborators(
                preparation=Preparation(
                    searcher,
                    answers=answers if settings.cache.enabled else None,
                    memories=LongTermMemory(memory, settings.memory.recall_tokens),
                    leaders=Leaders(events),
                ),
                selector=HybridSelector(knowledge.embedder.embed, settings.tools_shown),
                journal=journal,
                gate=_gate(settings, knowledge.database),
                approvals=approvals,
                observer=metrics,
                sealer=TokenSealer(signer),
                scratches=Scratches(knowledge.database),
            ),
            settings=RunSettings(
                limits=settings.limits.limits(),
                source_limit=settings.retrieval.sources,
                history_tokens=settings.history_tokens,
                lanes=settings.lanes.limits(),
                hand_over_below=settings.hand_over_below,
                config_version=config_version,
            ),
            learner=Learner(memory, settings.memory.learn, settings.memory.authoritative),
            queue=None if settings.alone else Queue(knowledge.database, worker, settings.lanes.promote_seconds),
        )
        stack.push_async_callback(runs.aclose)
        metrics.watch_active(lambda: runs.active)
        metrics.watch_lanes(runs.lanes)
        await runs.recover()
        await stack.enter_async_context(background(runs.heed()))
        if runs.dispatch is not None:
            metrics.watch_queue(runs.dispatch)
            await stack.enter_async_context(background(runs.dispatch.listen()))
        await stack.enter_async_context(every(_TEND_SECONDS, runs.tend))
        if endpoints:
            await stack.enter_async_context(_telling(settings, knowledge.database, endpoints, notices, metrics))
        await stack.enter_async_context(every(_TEND_SECONDS, memory.index.tend))
        await stack.enter_async_context(every(_TEND_SECONDS, memory.store.erasures.tend))
        await stack.enter_async_context(background(compressor.work()))
        deletion = SessionDeletion(knowledge.database, events, runs)
        await stack.enter_async_context(every(_TEND_SECONDS, deletion.tend))
        if settings.sessions.ttl_days is not None:
            expire = partial(deletion.expire, settings.sessions.ttl_days)
            await stack.enter_async_context(every(_PURGE_SECONDS, expire))
        if settings.cache.enabled:
            await stack.enter_async_context(every(_TEND_SECONDS, cache.tend))
        starts, reservations = Starts(runs, run_store), Reservations(knowledge.database)
        await stack.enter_async_context(every(_PURGE_SECONDS, reservations.purge))
        await stack.enter_async_context(every(_PURGE_SECONDS, Expiry(memory.store).purge))
        await stack.enter_async_context(every(_PURGE_SECONDS, Deliveries(knowledge.database).purge))
        yield Services(
            settings=settings,
            knowledge=knowledge,
            metrics=metrics,
            events=events,
            run_store=run_store,
            sessions=sessions,
            session_deletion=deletion,
            session_export=SessionExport(knowledge.database, sessions, events),
            memory=memory,
            cache=cache,
            answer_desk=desk,
            runs=runs,
            starts=starts,
            retries=Retries(starts, run_store, journal),
            reservations=reservations,
            approvals=approvals,
            feedback=FeedbackStore(knowledge.database, events, desk.hear),
            endpoints=endpoints,
            toolset=toolset,
            model=default,
            pings={"database": knowledge.database.ping, "vectors": knowledge.store.ping, **pings},
            closing=await stack.enter_async_context(AsyncExitStack()),
        )


@asynccontextmanager
async def _open_log(
    settings: Settings, database: Database
) -> AsyncIterator[tuple[EventLog, Signals, Mapping[str, Ping]]]:
    """Where events are kept: in Redis, where several processes serve, else in files."""
    if settings.redis_url is None:
        log = FileEventLog(settings.data_dir / "events")
        yield log, NoSignals(), {}
        await log.aclose()
        return
    from redis.asyncio import Redis

    from agent.log.archive import SqlArchive
    from agent.log.redis import RedisEventLog
    from agent.queue.redis_signals import Signals as RedisSignals

    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        signals = RedisSignals(redis)
        shared = RedisEventLog(redis, signals, SqlArchive(database))
        try:
            yield shared, signals, {"events": redis.ping}
        finally:
            await shared.aclose()
            await signals.aclose()


@asynccontextmanager
async def _open_limits(settings: Settings) -> AsyncIterator[RateLimiter]:
    """Who counts the requests of connectors: Redis for all processes, where there are several, else this one."""
    if settings.redis_url is None:
        yield LocalLimits()
        return
    from redis.asyncio import Redis

    from tools.limits.shared import RedisLimits

    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        yield RedisLimits(redis)


@asynccontextmanager
async def _telling(
    settings: Settings, database: Database, endpoints: Endpoints, notices: Notices, metrics: Metrics
) -> AsyncIterator[None]:
    """Tell endpoints what is to be told while the block goes on."""
    deliveries, sender = Deliveries(database), Sender()
    before = timedelta(seconds=min(settings.approvals.remind_seconds, settings.approvals.expire_seconds / 2))
    reminders = Reminders(database, endpoints, notices, before)

    async def remind() -> None:
        await reminders.remind(now())

    async with AsyncExitStack() as stack:
        stack.push_async_callback(sender.aclose)
        deliverer = Deliverer(deliveries, endpoints, sender, metrics, notices.written)
        await stack.enter_async_context(background(deliverer.work()))
        await stack.enter_async_context(every(_TEND_SECONDS, remind))
        yield


def open_signer(settings: Settings) -> Signer:
    """What signs approvals: with the secret that was set, or with the data folder's own.

    Raises:
        SecretError: It cannot be used, or has to be set: several services must sign alike.
    """
    if settings.secret is not None:
        return Signer(read_secret(settings.secret.get_secret_value()))
    if not settings.alone:
        raise SecretError("services that share a database need one secret: set CAIRN_SECRET (openssl rand -hex 32)")
    return Signer(secret_of_folder(settings.data_dir))


def _gate(settings: Settings, database: Database) -> AutonomyGate:
    patience = Patience(window=settings.autonomy.window, wrong=settings.autonomy.wrong)
    return AutonomyGate(PolicyGate(Policy(settings.policy)), Switches(database), TrackRecord(database, patience))


def _all_tools(settings: Settings, searcher: "_Searcher", memory: Memory, further: Sequence[Any]) -> list[Any]:
    remembered = memory_tools(MemoryInChat(memory)) if settings.memory.tools else []
    loaded = [tool for reference in settings.tools for tool in load_tools(reference).given]
    person = [hand_over_tool()] if settings.hand_over or settings.hand_over_below is not None else []
    servers = settings.mcp_servers()
    own = [*load_entry_points().given, *loaded, *servers, *further]
    return [search_documents_tool(searcher), *own, *person, *remembered]


class _Searcher:
    """The retriever as a run sees it: before the first document, the default collection is empty, not missing."""

    def __init__(self, retriever: Retriever, default: str) -> None:
        self._retriever = retriever
        self._default = default

    async def search(self, query: str, principal: Principal, collection: str, limit: int) -> Sequence[Source]:
        try:
            return await self._retriever.search(query, principal=principal, collection=collection, limit=limit)
        except CollectionNotFound:
            if collection != self._default:
                raise
            return []
