"""A run in this worker's hands: one task drives it to its end, or until it waits for a person."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import structlog
from pydantic import TypeAdapter, ValidationError

from agent.collaborators import Collaborators, RunContext
from agent.direct import DirectCall
from agent.ending import Endings, TerminalBody, exchange
from agent.errors import RequestUnreadable, RunTakenOver, UsageLimitExceeded
from agent.events import EventBody, RunCancelled, RunCompleted, RunFailed, RunStarted, TextDelta, ToolReturned
from agent.failures import INTERNAL, classify, run_failed
from agent.journal.journal import Transition
from agent.journal.record import RunRecord
from agent.journal.replay import Past, effects
from agent.knowledge.following import LeaderLost
from agent.knowledge.learning import Learner
from agent.knowledge.preparing import CacheUse
from agent.log.log import EventLog
from agent.log.outlet import Outlet
from agent.log.told import Told
from agent.loop import AgentLoop
from agent.queue.lanes import Lane, LaneLimits
from agent.queue.turns import Turns
from agent.state import Limits, RunState
from memory.sessions import SessionStore
from models.messages import Message
from models.port import ChatModel
from models.tokens import estimate_tokens
from retrieval.documents import Source
from tools.hand_over import HAND_OVER
from tools.toolset import Toolset

_TOOLS_SECONDS = 60.0

_log = structlog.get_logger("cairn.runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a client asks for.

    Attributes:
        tools: Names of the tools to offer; all of them when None.
        retrieval: ``auto`` searches the documents first; ``off`` leaves that to the model.
        cache: ``auto`` may give an answer that was given before; ``bypass`` makes it afresh.
        webhook: A URL that is told of the run, besides those that are told of every run.
        retry_of: The run that this one takes the place of.
        call: A tool's call that the run is to make in place of any model's.
    """

    message: str
    session_id: str | None = None
    collection: str
    model: str | None = None
    tools: tuple[str, ...] | None = None
    retrieval: Literal["auto", "off"] = "auto"
    cache: CacheUse = "auto"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lane: Lane = "interactive"
    webhook: str | None = None
    retry_of: str | None = None
    call: DirectCall | None = None

    @classmethod
    def recorded(cls, request: Mapping[str, Any]) -> "RunRequest":
        """The request of a run, as its record has it.

        Another version may have written it: fields that are not known are passed over, those that lack have defaults.

        Raises:
            RequestUnreadable: What it must have is not there, or something is not what it should be.
        """
        try:
            return _recorded().validate_python(request)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise RequestUnreadable(f"the request of the run cannot be read: {wrong or error}") from error


@cache
def _recorded() -> TypeAdapter[RunRequest]:
    return TypeAdapter(RunRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How runs are carried out; ``config_version`` stands for all settings that shape an answer.

    Attributes:
        hand_over_below: A person replies where the model is less sure of its answer: see ``agent.approvals.doubt``.
    """

    limits: Limits
    source_limit: int
    history_tokens: int
    config_version: str
    lanes: LaneLimits = field(default_factory=LaneLimits)
    hand_over_below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What every run is carried out with."""

    sessions: SessionStore
    log: EventLog
    endings: Endings
    turns: Turns
    collaborators: Collaborators
    settings: RunSettings
    learner: Learner | None = None


class ActiveRun:
    """One run, from being taken up to its end or its rest.

    Attributes:
        waits: Whether it has come to rest because a person has to decide.
        begins_anew: Whether it has to be taken up again, from its journal: whom it followed has let it down.
    """

    def __init__(
        self, record: RunRecord, request: RunRequest, model: ChatModel, toolset: Toolset, past: Past, office: Office
    ) -> None:
        self.record = record
        self.waits = False
        self.begins_anew = False
        self.begins_anew = False
        self._request = request
        self._model = model
        self._toolset = toolset
        self._past = past
        self._office = office
        self._told = Told(past.events)
        self._outlet = Outlet(office.log, record.id)
        self._accepted = time.perf_counter()
        self._text: list[str] = []
        self._loop: AgentLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._cancel_reason: str | None = None
        self._window = 0

    def start(self) -> asyncio.Task[None]:
        """Set it going."""
        self._task = asyncio.create_task(self._own(), name=f"run {self.record.id}")
        return self._task

    def cancel(self, reason: str) -> None:
        """End it as cancelled; the first reason stands."""
        if self._cancel_reason is None:
            self._cancel_reason = reason
            self.interrupt()

    def interrupt(self) -> None:
        """Stop what it does. Unless it was cancelled it does not end: another process goes on with it."""
        if self._task is not None and not self._ending:
            self._task.cancel()

    async def _own(self) -> None:
        structlog.contextvars.bind_contextvars(run_id=self.record.id, session_id=self.record.session_id)
        drain = asyncio.create_task(self._outlet.drain())
        drain.add_done_callback(lambda done: None if done.cancelled() or not done.exception() else self.interrupt())
        try:
            async with AsyncExitStack() as held:
                body = await self._carry_out(held.enter_async_context(self._office.turns.take(self.record)), drain)
                self._ending = True
                if body is not None:
                    await self._conclude(body, drain)
                else:
                    await self._rest()
        finally:
            drain.cancel()
            await asyncio.gather(drain, return_exceptions=True)

    async def _carry_out(self, turn: Coroutine[Any, Any, None], drain: asyncio.Task[None]) -> TerminalBody | None:
        """Wait for the run's turn and drive it; gives its terminal event, or None for a run that has not ended."""
        seconds = self._office.settings.limits.seconds
        deadline = asyncio.timeout(None)
        error: BaseException | None
        try:
            await turn
            async with deadline:
                deadline.reschedule(asyncio.get_running_loop().time() + seconds)
                return await self._drive()
        except asyncio.CancelledError:
            if not drain.done():
                return await self._cancelled() if self._cancel_reason is not None else None
            error = drain.exception()
        except LeaderLost as lost:
            _log.info("the run goes on by itself", detail=str(lost))
            self.begins_anew = True
            return None
        except RunTakenOver as taken:
            _log.warning("let go of the run", detail=str(taken))
            return None
        except Exception as raised:  # noqa: BLE001 - whatever it was, the run ends and says so
            error = raised
        if deadline.expired():
            error = UsageLimitExceeded(f"the run took longer than {seconds:g} s (limits.seconds)")
        return failed(error or RuntimeError("the log of the run is closed"))

    async def _drive(self) -> TerminalBody | None:
        office, record = self._office, self.record
        self._release(
            RunStarted(
                session_id=record.session_id,
                model=self._model.info.name,
                config_version=office.settings.config_version,
                created_at=record.created_at.isoformat(),
            )
        )
        state = RunState(
            turns=(Message(role="user", content=self._request.message),),
            history=await self._history(),
            retrieve=self._request.retrieval == "auto",
        )
        context = RunContext(
            record=record,
            past=self._past,
            principal=record.asker,
            collection=self._request.collection,
            model=self._model,
            toolset=await self._tools(),
            limits=office.settings.limits,
            source_limit=office.settings.source_limit,
            cache=self._request.cache,
            subject_token=office.collaborators.sealer.open(record.sealed_token, record.tenant, record.id),
        )
        self._loop = AgentLoop(state, context, office.collaborators)
        async with aclosing(self._loop.events()) as events:
            async for body in events:
                if isinstance(body, RunCompleted):
                    for rest in self._told.rest(body)[:-1]:
                        self._outlet.put(rest)
                    return body
                if isinstance(body, ToolReturned) and office.learner is not None:
                    await office.learner.returned(record, body)
                self._release(body)
        self.waits = self._loop.waiting
        return None

    async def _tools(self) -> Toolset:
        """The tools of the run; those that it knows and that are still to come, as after a restart, are waited for."""
        named = self._request.tools
        if named is not None and self._office.settings.hand_over_below is not None:
            named = (*named, HAND_OVER)  # whoever asks cannot do without it
        await self._toolset.expect((*(named or ()), *self._past.tools()), _TOOLS_SECONDS)
        return self._toolset if named is None else self._toolset.select(named)

    async def _history(self) -> tuple[Message, ...]:
        if self._request.session_id is None:
            return ()
        settings = self._office.settings
        room = self._model.info.context_tokens // 2 - estimate_tokens(self._request.message)
        tokens = self._window = max(0, min(settings.history_tokens, room))
        return await self._office.sessions.window(
            self.record.tenant, self.record.session_id, tokens, before=self.record.id
        )

    def _release(self, body: EventBody) -> None:
        if isinstance(body, TextDelta):
            if not self._text:
                self._office.collaborators.observer.first_token(time.perf_counter() - self._accepted)
            self._text.append(body.delta)
        else:
            self._office.collaborators.observer.event(body)
        for rest in self._told.rest(body):
            self._outlet.put(rest)

    async def _cancelled(self) -> RunCancelled:
        steps = await self._office.collaborators.journal.load(self.record.claim)
        unrecorded = self._loop.unrecorded if self._loop is not None else ()
        return RunCancelled(reason=self._cancel_reason or "", effects=effects(steps, unrecorded))

    async def _conclude(self, body: TerminalBody, drain: asyncio.Task[None]) -> None:
        await self._outlet.flush()
        if drain.done() and isinstance(body, RunCompleted):
            body = failed(drain.exception() or RuntimeError("the log of the run is closed"))

        heard = self._heard(body)
        if heard is not None and self._office.learner is not None:
            await self._office.learner.answered(self.record, *heard)

        async def tell(told: TerminalBody) -> None:
            self._office.collaborators.observer.event(told)
            self._outlet.put(told)
            await drain

        ended = self._loop.unrecorded if self._loop is not None else ()
        told = await self._office.endings.conclude(self.record.claim, body, self._said(body), ended, tell)
        if isinstance(told, RunCompleted) and self._loop is not None and self._loop.looked is not None:
            self._office.collaborators.preparation.answered(self.record.id, self._loop.looked, self._loop.fresh)
        else:
            self._office.collaborators.preparation.done(self.record.id)
        if heard is not None and self._office.learner is not None:
            self._office.learner.ended(self.record, *heard, self._model)
        if self._window and self._loop is not None:
            said = (*self._loop.state.history, *self._loop.state.turns)
            self._office.sessions.grown(self.record.tenant, self.record.session_id, said, self._window)
        seconds = round(time.perf_counter() - self._accepted, 3)
        _log.info("run ended", type=told.type, model=self._model.info.name, seconds=seconds)

    def _heard(self, body: TerminalBody) -> tuple[str, str, Sequence[Source]] | None:
        """What somebody has said, what he was answered, and from what; None where nobody said anything."""
        if not isinstance(body, RunCompleted) or self._loop is None or self._request.call is not None:
            return None
        return self._request.message, body.answer, self._loop.state.sources

    async def _rest(self) -> None:
        """Let go of a run that has not ended: what is known of it is kept, and whoever follows it goes on waiting."""
        await self._outlet.flush()
        if self._loop is not None and self._loop.unrecorded:
            try:
                ended = Transition(ended=self._loop.unrecorded)
                await self._office.collaborators.journal.write(self.record.claim, ended)
            except Exception as error:  # noqa: BLE001 - the step stays unknown, and its tool says what follows
                _log.error("the outcome of a call could not be recorded", exc_info=error)
        self._office.collaborators.preparation.done(self.record.id)
        await self._office.log.rest(self.record.id)
        _log.info("run waits" if self.waits else "run handed over")

    def _said(self, body: TerminalBody) -> list[Message]:
        """What the session remembers of the run."""
        if isinstance(body, RunCompleted) and self._loop is not None:
            return list(self._loop.state.turns)
        return exchange(self._request.message, "".join(self._text), body)


def failed(error: BaseException) -> RunFailed:
    """The terminal event for what went wrong, which is logged."""
    told = run_failed(error)
    if classify(error) == INTERNAL:
        _log.error("run failed", exc_info=error)
    else:
        _log.warning("run failed", code=told.code, detail=told.detail)
    return told
