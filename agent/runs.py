"""Runs: accepted, carried out by tasks of the service's own, followed by any number of connections."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from functools import partial

import structlog
from pydantic import SecretStr

from agent.approvals.store import ApprovalStore
from agent.collaborators import Collaborators
from agent.ending import Endings
from agent.errors import RunTakenOver, ServiceStopping
from agent.idempotency import RequestKey
from agent.journal.record import RunRecord, RunStore
from agent.journal.replay import Past
from agent.knowledge.learning import Learner
from agent.log.encoding import RunEvent
from agent.log.log import EventLog
from agent.offer import Models, Offer
from agent.queue.claims import Claims
from agent.queue.dispatch import Dispatch
from agent.queue.lanes import Lane, Lanes, LaneState
from agent.queue.queue import Queue
from agent.queue.turns import Signals, Turns
from agent.resuming import Resumption
from agent.run import ActiveRun, Office, RunRequest, RunSettings
from memory.sessions import SessionStore
from records.ids import now
from records.principal import Principal
from tools.toolset import Toolset

__all__ = ["Models", "RunRequest", "RunSettings", "Runs"]

CANCEL = "cairn:cancel"
"""The channel on which processes tell each other that somebody wants a run to stop."""

_log = structlog.get_logger("cairn.runs")


class Runs:
    """Starts runs, and owns their tasks: a run belongs to the service, not to the connection that asked for it."""

    def __init__(
        self,
        *,
        store: RunStore,
        claims: Claims,
        signals: Signals,
        sessions: SessionStore,
        log: EventLog,
        models: Models,
        toolset: Toolset,
        approvals: ApprovalStore,
        collaborators: Collaborators,
        settings: RunSettings,
        queue: Queue | None = None,
        learner: Learner | None = None,
    ) -> None:
        self._store = store
        self._claims = claims
        self._signals = signals
        self._sessions = sessions
        self._events = log
        self._endings = Endings(store, log)
        self.lanes = Lanes(settings.lanes)
        self._turns = Turns(claims, self.lanes, collaborators.observer)
        self._offer = Offer(models, toolset)
        self._approvals = approvals
        self._sealer = collaborators.sealer
        self._settings = settings
        self._office = Office(
            sessions=sessions,
            log=log,
            endings=self._endings,
            turns=self._turns,
            collaborators=collaborators,
            settings=settings,
            learner=learner,
        )
        self._learner = learner
        self._running: dict[str, ActiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # One at a time takes up runs, so that nobody takes one up twice.
        self._taking = asyncio.Lock()
        self._closing = False
        self._resumption = Resumption(
            claims=claims, approvals=approvals, offer=self._offer, office=self._office, set_going=self._set_going
        )
        self.dispatch: Dispatch | None = None
        if queue is not None:
            self.dispatch = Dispatch(
                queue=queue,
                claims=claims,
                signals=signals,
                lanes=self.lanes,
                limits=settings.lanes,
                in_hand=self._running,
                taking=self._taking,
                go_on=self._resumption.go_on,
            )

    async def start(
        self,
        principal: Principal,
        request: RunRequest,
        key: RequestKey | None = None,
        *,
        queued: bool = False,
        token: SecretStr | None = None,
    ) -> tuple[str, str]:
        """Accept a run and set it going; gives the run's id and its session's.

        Args:
            queued: Where several processes share a queue, any of them may carry the run out.
            token: What the asker is known by at back ends; kept until the run ends.

        Raises:
            KeyTaken: The idempotency key has come to stand for another run.
            SessionNotFound: The session is not the principal's.
            ModelNotOffered: The model may not be chosen.
            UnknownToolError: A tool that was named does not exist.
            ServiceStopping: No new runs are taken any more.
            LaneFull: Too many wait already.
        """
        if self._closing:
            raise ServiceStopping("the service is stopping; ask again in a moment")
        shared = self.dispatch if queued else None
        if shared is not None:
            await shared.check(request.lane)
        else:
            self.lanes.check(request.lane)
        model = await self._offer.model(request)
        self._offer.check(request)
        if request.session_id is not None:
            await self._sessions.get(principal, request.session_id)
        record = await self._store.accept(
            principal,
            session_id=request.session_id,
            title=request.message,
            model=model.info.name,
            config_version=self._settings.config_version,
            request=asdict(request),
            first="retrieval" if request.retrieval == "auto" else "model",
            key=key,
            held=shared is None,
            seal=None if token is None else partial(self._sealer.seal, token),
        )
        await self._open(record)
        if shared is not None:
            await shared.announce()
            return record.id, record.session_id
        self._set_going(ActiveRun(record, request, model, self._offer.toolset, Past(), self._office))
        return record.id, record.session_id

    @property
    def closing(self) -> bool:
        """Whether no new runs are taken any more."""
        return self._closing

    @property
    def active(self) -> int:
        """How many runs are going on or wait for their turn."""
        return len(self._running)

    async def lane_states(self) -> Mapping[Lane, LaneState]:
        """How full the lanes are, of all processes together where several share a queue."""
        return self.lanes.states() if self.dispatch is None else await self.dispatch.states()

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[RunEvent]:
        """The run's events after ``seq`` ``after``, as they come, up to the terminal one.

        A run that waits for a person ends the stream with ``run.waiting``; whoever comes back after that event waits
        with it.
        """
        async for event in self._events.follow(run_id, after):
            yield event
            if event.type == "run.waiting" and (await self._events.read(run_id))[-1].seq == event.seq:
                return

    async def cancel(self, principal: Principal, run_id: str, reason: str) -> RunRecord:
        """Stop a run at once. Nothing happens to one that has ended, or is about to.

        Raises:
            RunNotFound: It is not one of the principal's runs.
        """
        record = await self._store.get(principal, run_id)
        if record.result is None:
            await self._claims.ask_to_cancel(record, reason)
            run = self._running.get(run_id)
            if run is not None:
                run.cancel(reason)
            else:
                await self._take_up(run_id)
                await self._signals.signal(CANCEL)
        return record

    async def wake(self, run_id: str) -> None:
        """Go on with a run that waited, once nothing of it is left to decide. Nothing happens to any other run."""
        if self.dispatch is not None:
            await self.dispatch.wake(run_id)
        else:
            await self._take_up(run_id)

    async def recover(self) -> int:
        """Go on with every run that the last process left behind; gives the number of those that had not ended."""
        records = await self._endings.recover(abandoned=not self._claims.alone)
        for record in records:
            await self._attempt(record.id)
        return len(records)

    async def heed(self) -> None:
        """See to runs whose end was asked for in another process, as soon as it is; never returns."""
        async with self._signals.listen(CANCEL) as asked:
            while True:
                await asked.wait()
                asked.clear()
                await self._heed()

    async def tend(self) -> None:
        """What has to be done now and then: show signs of life, close approvals out of time, take up orphaned runs."""
        held = dict(self._running)
        if held:
            kept = await self._claims.keep([run.record.claim for run in held.values()])
            for run_id in held.keys() - kept:
                held[run_id].interrupt()
        await self._heed()
        await self._endings.recover(abandoned=True)
        expired = await self._approvals.expire(now())
        if self.dispatch is not None:
            await self.dispatch.tend()
            return
        for run_id in [*expired, *await self._claims.orphans()]:
            await self._attempt(run_id)

    async def _heed(self) -> None:
        if self._running:
            for run_id, reason in (await self._claims.asked_to_cancel(list(self._running))).items():
                if run_id in self._running:
                    self._running[run_id].cancel(reason)

    async def settled(self) -> None:
        """Wait until the ends of runs are recorded in full, and what is learnt from them is."""
        await self._endings.sealed()
        await self._learnt()

    async def _learnt(self) -> None:
        await self._office.collaborators.preparation.settled()
        if self._learner is not None:
            await self._learner.settled()

    async def aclose(self, grace: float = 0.0) -> None:
        """Let runs come to their end for ``grace`` seconds, then let go of them: the next process goes on with them."""
        self._closing = True
        if self.dispatch is not None:
            self.dispatch.close()
        if grace and self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        # A task that is cancelled before its first step never runs at all.
        await asyncio.sleep(0)
        handed_over = list(self._running.values())
        for run in handed_over:
            run.interrupt()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for run in handed_over:
            await self._claims.give_up(run.record.claim)
        if self.dispatch is not None and handed_over:
            await self.dispatch.announce()
        await self._endings.sealed()
        await self._learnt()

    async def _open(self, record: RunRecord) -> None:
        """Let readers wait for the events of a run that was just accepted."""
        try:
            await self._events.open(record.id, record.fence)
        except RunTakenOver:
            if record.fence:
                raise
            # It was queued, and somebody was quick to take it up.
        except Exception:
            # Whoever asked is told that it failed, so nobody may carry it out later.
            await self._claims.ask_to_cancel(record, "its events could not be kept")
            raise

    def _set_going(self, run: ActiveRun) -> None:
        self._running[run.record.id] = run
        task = run.start()
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._let_go(run, done))

    def _let_go(self, run: ActiveRun, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running.pop(run.record.id, None)
        if (run.waits or run.begins_anew) and not self._closing:
            # The decision may have come before the run was at rest.
            waking = asyncio.create_task(self._again(run))
            self._tasks.add(waking)
            waking.add_done_callback(self._tasks.discard)
        if self.dispatch is not None:
            self.dispatch.ended(run.record.id)

    async def _again(self, run: ActiveRun) -> None:
        """Take up a run again that this process has just let go of."""
        try:
            if run.begins_anew:
                await self._claims.give_up(run.record.claim)
            else:
                await self._claims.rest(run.record.claim)
        except Exception as error:  # noqa: BLE001 - then it is taken up once more, for nothing
            _log.error("it could not be noted that the run rests", exc_info=error, run_id=run.record.id)
        await self._attempt(run.record.id)

    async def _attempt(self, run_id: str) -> None:
        """Take up a run; one that cannot be is tried again later, and keeps nobody from the others."""
        try:
            await self.wake(run_id)
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the run could not be taken up", exc_info=error, run_id=run_id)

    async def _take_up(self, run_id: str) -> None:
        async with self._taking:
            if run_id in self._running or self._closing:
                return
            if await self._approvals.waits(run_id) and not (
                await self._claims.asked_to_cancel([run_id]) or await self._claims.untold(run_id)
            ):
                return
            record = await self._claims.take(run_id)
            if record is not None:
                await self._resumption.go_on(record)
