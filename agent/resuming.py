"""Going on with a run that was taken up: from what is recorded of it, or not at all where that leads nowhere."""

from collections.abc import Callable, Sequence

import structlog

from agent.approvals.store import ApprovalStore
from agent.ending import TerminalBody, exchange
from agent.errors import RunStalled
from agent.events import TERMINAL, RunCancelled
from agent.failures import passes
from agent.journal.record import RunRecord
from agent.journal.replay import Past, effects
from agent.log.encoding import RunEvent
from agent.offer import Offer
from agent.queue.claims import Claims
from agent.run import ActiveRun, Office, RunRequest, failed

TAKEN_UP = 5
"""How often a run may be taken up in a row without anything being written for it, before it is a dead letter."""

_log = structlog.get_logger("cairn.runs")


class Resumption:
    """Goes on with runs.

    Args:
        set_going: Takes a run that is to go on into this process's hands.
    """

    def __init__(
        self,
        *,
        claims: Claims,
        approvals: ApprovalStore,
        offer: Offer,
        office: Office,
        set_going: Callable[[ActiveRun], None],
    ) -> None:
        self._claims = claims
        self._approvals = approvals
        self._offer = offer
        self._office = office
        self._set_going = set_going
        self._events = office.log
        self._endings = office.endings
        self._journal = office.collaborators.journal
        self._observer = office.collaborators.observer

    async def go_on(self, record: RunRecord) -> None:
        """Carry on with a run that was just taken up, unless that has not got it any further time after time."""
        if record.stalled > TAKEN_UP:
            await self._bury(record)
            return
        try:
            await self._resume(record)
        except Exception as error:
            if passes(error):
                await self._claims.spare(record.claim)
            raise

    async def _bury(self, record: RunRecord) -> None:
        """End a run that whoever takes it up dies of, or fails with."""
        events: Sequence[RunEvent] = ()
        try:
            await self._events.open(record.id, record.fence)
            events = await self._events.read(record.id)
            await self._approvals.cancel(record)
        except Exception as error:
            if passes(error):  # its log may tell its end: it is looked at again
                raise
            _log.error("what is known of the run cannot be read", exc_info=error, run_id=record.id)
        if events and events[-1].type in TERMINAL:
            await self._endings.mend(record)
            return
        why = RunStalled(
            f"it was taken up {record.stalled} times and got no further: each time its process died, or met an error "
            "of which its log says more; `cairn runs retry` starts it anew"
        )
        await self._end(record, failed(why))

    async def _resume(self, record: RunRecord) -> None:
        """Carry on with a run from what is recorded of it."""
        await self._events.open(record.id, record.fence)
        # With the first fence nobody had it before.
        past = await self._past(record) if record.fence > 1 else Past()
        if past.events and past.events[-1].type in TERMINAL:
            await self._endings.mend(record)
            return
        if record.cancel_reason is not None:
            await self._approvals.cancel(record)
            ended = RunCancelled(reason=record.cancel_reason, effects=effects(list(past.steps.values())))
            await self._end(record, ended)
            return
        try:
            request = RunRequest.recorded(record.request)
            model = await self._offer.model(request)
        except Exception as error:  # noqa: BLE001 - it cannot be read, or what the run needs is not offered any more
            await self._end(record, failed(error))
            return
        if record.stalled and self._claims.alone:
            # It may have to wait here for its turn: those that wait are not to blame if the process dies.
            await self._claims.spare(record.claim)
        self._set_going(ActiveRun(record, request, model, self._offer.toolset, past, self._office))

    async def _past(self, record: RunRecord) -> Past:
        """What is recorded of a run that was taken up before."""
        return Past(
            steps={step.seq: step for step in await self._journal.load(record.claim)},
            approvals=await self._approvals.of_run(record.id),
            events=await self._events.read(record.id),
        )

    async def _end(self, record: RunRecord, body: TerminalBody) -> None:
        async def tell(told: TerminalBody) -> None:
            self._observer.event(told)
            await self._events.append(record.id, [told])

        said = exchange(record.message, "", body)
        await self._endings.conclude(record.claim, body, said, (), tell)
