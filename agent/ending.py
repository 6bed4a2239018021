"""The end of a run in three steps: recorded in SQL, told through its log, sealed. Recovery makes up for missed ones."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import orjson
import structlog

from agent.errors import RunTakenOver
from agent.events import TERMINAL, RunCancelled, RunCompleted, RunFailed
from agent.failures import run_failed
from agent.journal.journal import Claim, Outcome
from agent.journal.record import RunRecord, RunStatus, RunStore
from agent.log.encoding import RunEvent
from agent.log.log import EventLog
from agent.log.outcome import outcome
from models.messages import Message

_log = structlog.get_logger("cairn.runs")

TerminalBody = RunCompleted | RunFailed | RunCancelled

_STATUS: Mapping[str, RunStatus] = {
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}


class Endings:
    """Ends runs, so that record, session and log tell the same whatever fails between the steps."""

    def __init__(self, store: RunStore, log: EventLog) -> None:
        self._store = store
        self._log = log
        self._unsealed: set[str] = set()
        self._complete: dict[str, set[str]] = {}
        self._sealing: asyncio.Task[None] | None = None

    async def conclude(
        self,
        claim: Claim,
        body: TerminalBody,
        said: Sequence[Message],
        ended: Sequence[Outcome],
        tell: Callable[[TerminalBody], Awaitable[None]],
    ) -> TerminalBody:
        """Record the end, then ``tell`` it, then seal; gives what was told.

        Never raises: an answer that cannot be recorded is a failed run, an end that cannot be kept is still shown to
        the readers, and the next run that ends well makes up for both.
        """
        run_id = claim.run_id
        try:
            await self._store.end(claim, _STATUS[body.type], asdict(body), said, ended)
        except RunTakenOver:
            return body
        except Exception as error:  # noqa: BLE001 - the readers must hear of the end all the same
            _log.error("the end of the run could not be recorded", exc_info=error)
            self._unsealed.add(run_id)
            body = run_failed(error) if isinstance(body, RunCompleted) else body
        try:
            await tell(body)
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the end of the run could not be written to its log", exc_info=error)
            self._unsealed.add(run_id)
            await self._log.abandon(run_id, body)
        if run_id not in self._unsealed:
            self._seal(claim.tenant, run_id)
        return body

    async def recover(self, *, abandoned: bool) -> list[RunRecord]:
        """Finish the ends that other processes had begun; gives the runs that have not come to one, oldest first.

        Args:
            abandoned: Other processes are at work: look only at ends that their worker has left lying.
        """
        going_on: list[RunRecord] = []
        for record in await self._store.unsealed(abandoned=abandoned):
            if record.result is None and not await self._told_its_end(record):
                going_on.append(record)
            else:
                await self.mend(record)
        await self.sealed()
        return going_on

    async def _told_its_end(self, record: RunRecord) -> bool:
        try:
            told = await self._log.read(record.id)
        except Exception as error:  # noqa: BLE001 - it keeps nobody from the other runs
            _log.error("the log of the run cannot be read", exc_info=error, run_id=record.id)
            return False
        return bool(told) and told[-1].type in TERMINAL

    async def sealed(self) -> None:
        """Wait until all that was concluded is sealed, or must be made up for."""
        while self._sealing is not None:
            await self._sealing

    def _seal(self, tenant: str, run_id: str) -> None:
        # Nobody waits for it, so it is done for many runs at once.
        self._complete.setdefault(tenant, set()).add(run_id)
        if self._sealing is None:
            self._sealing = asyncio.create_task(self._seal_all())

    async def _seal_all(self) -> None:
        try:
            while self._complete:
                tenant, complete = self._complete.popitem()
                try:
                    await self._store.seal(tenant, complete)
                    if self._unsealed:
                        await self._make_up()
                except Exception as error:  # noqa: BLE001 - the end is recorded and told: nothing is lost
                    _log.error("runs could not be sealed", exc_info=error)
                    self._unsealed |= complete
        finally:
            self._sealing = None

    async def _make_up(self) -> None:
        missed = frozenset(self._unsealed)
        records = await self._store.unsealed()
        self._unsealed -= missed
        for record in records:
            if record.id in missed:
                await self.mend(record)

    async def mend(self, record: RunRecord) -> None:
        """Take the steps that are missing of a run whose end was recorded or told; what cannot be done now is later."""
        try:
            told = await self._log.read(record.id)
            if record.result is None and not (told and told[-1].type in TERMINAL):
                return  # it goes on
            body = _ended(record, told)
            if record.result is None:
                said = exchange(record.message, outcome(told)["answer"], body)
                await self._store.end(record.claim, _STATUS[body.type], asdict(body), said)
            await self._log.open(record.id, record.fence)
            kept = await self._log.read(record.id)
            if not kept or kept[-1].type not in TERMINAL:
                await self._log.append(record.id, [body])
            self._seal(record.tenant, record.id)
        except Exception as error:  # noqa: BLE001 - one run must not keep the service from starting
            _log.error("the run could not be recovered", exc_info=error, run_id=record.id)
            self._unsealed.add(record.id)


def exchange(question: str, answer: str, body: TerminalBody) -> list[Message]:
    """What a session remembers of a run that did not come to its answer."""
    return [
        Message(role="user", content=question),
        Message(role="assistant", content=answer or f"(There was no answer: {body.type}.)"),
    ]


def _ended(record: RunRecord, told: Sequence[RunEvent]) -> TerminalBody:
    """How a run ended: as SQL has it, else as its readers were told."""
    if record.result is not None:
        return _body(record.result)
    return _body(orjson.loads(told[-1].data))


def _body(data: Mapping[str, Any]) -> TerminalBody:
    kinds: Mapping[str, type[TerminalBody]] = {
        "run.completed": RunCompleted,
        "run.failed": RunFailed,
        "run.cancelled": RunCancelled,
    }
    kind = kinds[data["type"]]
    return kind(**{field.name: data[field.name] for field in fields(kind) if field.name in data})
