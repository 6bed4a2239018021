"""The tools of one turn of the model: all of its calls are judged before any is made.

A call is made at once, settled without being made, or asked of a person (`agent.approvals.judge`); while one waits for
a person, the others wait with it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import Any

from agent import events
from agent.approvals.approval import Approval
from agent.approvals.judge import ATTEMPTS, Act, Ask, Judge, Plan, Settled, content_of
from agent.journal.journal import LEASE, Intent, Outcome, Step, Transition
from agent.journal.replay import returned
from agent.tool_turn import events as turn_events
from agent.tool_turn.context import TurnContext
from models.messages import ToolCall
from retrieval.documents import Source
from tools.outcome import NOTHING_DONE
from tools.results import ToolResult
from tools.toolset import CheckedCall
from tools.withheld import withheld

RETRY_SECONDS = 0.2
"""Before the second attempt; each further one waits four times as long."""


class ToolTurn:
    """The calls of one turn, from the model's wish to their results."""

    def __init__(self, calls: Sequence[ToolCall], context: TurnContext) -> None:
        self.calls = calls
        self._context = context
        self._judge = Judge(context)
        self._checked = [context.toolset.check(call, context.principal) for call in calls]
        self._steps = dict(context.past.steps)
        self._asked: list[Approval] = [each for each in context.past.approvals if self._is_mine(each.step)]
        self._waves_told = 0
        self._plans: list[Plan] = []
        self._unheard: dict[int, ToolResult] = {}
        self._told: set[int] = set()

    @property
    def waits(self) -> bool:
        """Whether a person has to decide before anything of the turn happens."""
        return any(isinstance(plan, Ask) for plan in self._plans)

    @property
    def results(self) -> list[ToolResult] | None:
        """The results of all calls, once all have one."""
        settled = [plan.result for plan in self._plans if isinstance(plan, Settled)]
        return settled if len(settled) == len(self.calls) else None

    @property
    def unheard(self) -> list[Outcome]:
        """Outcomes of calls that came to their end while the run was being stopped."""
        return [returned(self._seq(index), result) for index, result in self._unheard.items()]

    async def plan(self) -> Transition:
        """Judge every call that has no result; gives what must be written before anything happens."""
        self._plans = list(await asyncio.gather(*map(self._judged, range(len(self.calls)))))
        ended = [
            returned(self._seq(index), plan.result)
            for index, plan in enumerate(self._plans)
            if isinstance(plan, Settled) and not plan.recorded
        ]
        # What was settled without a call has no intent yet; what is asked for has none before it is decided.
        begun = [
            self._intent(index, plan)
            for index, plan in enumerate(self._plans)
            if (isinstance(plan, Settled) and not plan.recorded and self._seq(index) not in self._steps)
            or (isinstance(plan, Act) and not self.waits)
        ]
        requests = [plan.request for plan in self._plans if isinstance(plan, Ask) and plan.request is not None]
        asked = self._context.approvals.rows(self._context.asker, requests) if requests else []
        self._asked += [_pending(row) for row in asked]
        for intent in begun:
            self._steps[intent.seq] = Step(
                seq=intent.seq,
                kind="tool",
                key=intent.key,
                intent=intent.intent,
                attempt=intent.attempt,
                status="started",
                result=None,
            )
        for outcome in ended:
            self._steps[outcome.seq] = replace(self._steps[outcome.seq], result=outcome.result)
        return Transition(ended=ended, begun=begun, asked=asked, lease=self.lease)

    @property
    def lease(self) -> timedelta:
        """How long the run must stay this worker's while these calls are made.

        A worker that loses the run while it acts could not be kept from acting: its lease must outlive them.
        """
        calls = [plan.call.tool for plan in self._plans if isinstance(plan, Act)]
        return LEASE + timedelta(seconds=max((tool.timeout for tool in calls if tool.effect != "read"), default=0))

    def called(self) -> Iterator[events.ToolCalled]:
        """The calls, as they are told."""
        for index, (call, check) in enumerate(zip(self.calls, self._checked, strict=True)):
            yield turn_events.called(self._context.place(index).call_id, call, check)

    def deliberation(self) -> Iterator[events.EventBody]:
        """What was asked and decided, as it is told; each wave of questions once."""
        by_wave = sorted(self._asked, key=lambda approval: (approval.created_at, approval.id))
        waves = [list(wave) for _, wave in groupby(by_wave, key=lambda approval: approval.created_at)]
        for wave in waves[self._waves_told :]:
            ids = tuple(approval.id for approval in wave)
            yield from (turn_events.requested(approval) for approval in wave)
            yield events.RunWaiting(approvals=ids)
            if any(approval.status == "pending" for approval in wave):
                return
            yield from (turn_events.decided(approval) for approval in wave)
            yield events.RunResumed(approvals=ids)
            self._waves_told += 1

    def known(self) -> Iterator[events.ToolReturned]:
        """The results that are known and were not told yet; none while a person has to decide."""
        for index, plan in enumerate(() if self.waits else self._plans):
            if isinstance(plan, Settled) and index not in self._told:
                yield self._returned(index, plan.result, 0.0)

    def searched(self) -> Iterator[tuple[str, Sequence[Source]]]:
        """The sources that the calls brought, each with what was searched for."""
        for check, result in zip(self._checked, self.results or (), strict=False):
            if result.sources and isinstance(check, CheckedCall):
                yield str(check.arguments.get("query", "")), result.sources

    async def perform(self) -> AsyncGenerator[tuple[Outcome, events.ToolReturned], None]:
        """Make the calls that may be made, all at once; gives each result as it comes, those of unknown outcome not."""
        acts = [(index, plan) for index, plan in enumerate(self._plans) if isinstance(plan, Act)]
        making = [asyncio.create_task(self._make(index, act)) for index, act in acts]
        try:
            for made in asyncio.as_completed(making):
                index, result, seconds = await made
                self._context.observer.stage("tool", seconds)
                if result.failure != "unknown":
                    self._plans[index] = Settled(result, recorded=True)
                    outcome = returned(self._seq(index), result)
                    self._steps[outcome.seq] = replace(self._steps[outcome.seq], result=outcome.result)
                    yield outcome, self._returned(index, result, seconds)
        finally:
            for task in making:
                task.cancel()
            await asyncio.gather(*making, return_exceptions=True)

    async def _make(self, index: int, act: Act) -> tuple[int, ToolResult, float]:
        if 1 < act.attempt <= ATTEMPTS:  # further ones are made because a person said so, and has waited
            await asyncio.sleep(RETRY_SECONDS * 4 ** (act.attempt - 2))
        started = time.perf_counter()
        call = self._attempt(index, act)
        result = await (call if act.call.tool.effect == "read" else self._unbroken(index, call))
        return index, result, time.perf_counter() - started

    async def _attempt(self, index: int, act: Act) -> ToolResult:
        told = self._context.tool_context(self._context.place(index), perhaps_done=act.perhaps_done)
        result = withheld(await self._context.toolset.run(act.call, told), self._context.subject_token)
        if act.perhaps_done and result.failure in NOTHING_DONE:
            return replace(result, failure="unknown")
        return result

    async def _unbroken(self, index: int, call: Coroutine[Any, Any, ToolResult]) -> ToolResult:
        """A call with effects: cancelled, it comes to its outcome first (within its time-out), so that this is known.

        A second cancellation ends it at once, and its outcome is unknown.
        """
        running = asyncio.create_task(call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            result = await running
            if result.failure != "unknown":
                self._unheard[index] = result
            raise

    async def _judged(self, index: int) -> Plan:
        seq = self._seq(index)
        asked = next((each for each in reversed(self._asked) if each.step == seq), None)
        place = self._context.place(index)
        return await self._judge.judge(place, self._checked[index], self._steps.get(seq), asked)

    def _intent(self, index: int, plan: Plan) -> Intent:
        check = self._checked[index]
        if isinstance(plan, Act):
            intent = {"name": plan.call.tool.name, "arguments": plan.call.data, "effect": plan.call.tool.effect}
            if plan.record is not None:
                intent["record"] = content_of(plan.record)
        else:
            call = self.calls[index]
            intent = {"name": call.name, "arguments": check.data if isinstance(check, CheckedCall) else call.arguments}
        attempt = plan.attempt if isinstance(plan, Act) else 1
        place = self._context.place(index)
        return Intent(seq=place.seq, kind="tool", key=place.key, intent=intent, attempt=attempt)

    def _returned(self, index: int, result: ToolResult, seconds: float) -> events.ToolReturned:
        self._told.add(index)
        return events.ToolReturned(
            call_id=self._context.place(index).call_id,
            name=self.calls[index].name,
            ok=result.failure is None,
            content=result.content,
            failure=result.failure,
            duration_ms=round(seconds * 1000, 1),
        )

    def _is_mine(self, step: int) -> bool:
        return self._context.first <= step < self._context.first + len(self.calls)

    def _seq(self, index: int) -> int:
        return self._context.first + index


def _pending(row: Mapping[str, Any]) -> Approval:
    return Approval(**{**row, "approvers": tuple(row["approvers"])})
