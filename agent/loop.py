"""The loop: take the next action, do it, tell what happened, until the run is over or waits for a person.

``agent.state`` decides; this file acts. It yields the body of every event but the first and the last of a run that
does not complete: those belong to the run's owner, ``agent.run``.

Each transition is one entry of the journal: what has ended, and what begins next. A run that is taken up again goes
through the same loop, and a step that has a result in the journal is not done again.
"""

import re
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

from agent.asking import Asking, recorded, whole
from agent.citations import CitationReader
from agent.collaborators import Collaborators, RunContext
from agent.errors import RunAbandoned
from agent.events import (
    CitedSource,
    EventBody,
    MemoryRecalled,
    RetrievalCompleted,
    RunCompleted,
    TextDelta,
    UsageRecorded,
)
from agent.journal.journal import Intent, Outcome, Transition
from agent.journal.replay import prepared_of, retrieved, spoken
from agent.knowledge.preparing import Asked, Fresh, Looked, Prepared, milliseconds_since
from agent.knowledge.query import search_query
from agent.state import (
    Action,
    CallModel,
    CallTools,
    Complete,
    Fail,
    Give,
    Retrieve,
    RunState,
    after_giving,
    after_model,
    after_retrieval,
    after_tools,
    next_action,
)
from agent.tool_turn.context import TurnContext
from agent.tool_turn.turn import ToolTurn
from models.messages import Finish, Message, ToolCall
from retrieval.documents import Source
from tools.search import SEARCH_DOCUMENTS

_PIECE = re.compile(r"\s*\S{1,24}\s*|\s+")
"""What a recorded answer is streamed in; the pieces are the whole text."""

ATTEMPTS = 5
"""How often a search or a model call is begun before its run is given up, for fear that it is what kills us."""


class AgentLoop:
    """One run, from the state it is given to its answer.

    Attributes:
        waiting: Whether ``events`` has ended because a person has to decide first.
        looked: What came of asking for an earlier answer; None where that was not asked, or by another process.
    """

    def __init__(self, state: RunState, context: RunContext, collaborators: Collaborators) -> None:
        self.state = state
        self.waiting = False
        self.looked: Looked | None = None
        self._context = context
        self._parts = collaborators
        self._asking = Asking(context, collaborators)
        self._citations = CitationReader()
        self._action: Action = next_action(state, context.limits)
        self._turns: list[ToolTurn] = []
        self._seq = 0
        self._left: Sequence[Outcome] = ()

    @property
    def fresh(self) -> Fresh | None:
        """The answer, where whoever asks the same may be given it.

        It rests on documents that it cites, and on nothing that somebody said before, remembers, or has done.
        """
        state, finish = self.state, self.state.finish
        used = {call.name for message in state.turns for call in message.tool_calls}
        if finish is None or finish.reason != "stop" or state.given is not None or used - {SEARCH_DOCUMENTS}:
            return None
        if state.history or state.memories or not self._citations.cited:
            return None
        query = search_query(state.question, state.history)
        return Fresh(text=self._citations.text, query=query, sources=state.sources, finish_reason=finish.reason)

    @property
    def unrecorded(self) -> list[Outcome]:
        """Outcomes that the journal does not have yet: they belong to the end of the run."""
        return [*self._left, *(outcome for turn in self._turns[-1:] for outcome in turn.unheard)]

    async def events(self) -> AsyncGenerator[EventBody, None]:
        """Drive the run to its end, or until it waits, yielding what happens as it happens.

        Raises:
            AgentRunError: A limit was reached, the model would not settle, or another worker has the run now.
            ModelError: The model failed.
            RetrievalError: The documents cannot be searched.
            LeaderLost: The run that was followed came to no answer: it has to be taken up again.
        """
        started = time.perf_counter()
        await self._begin()
        while not self.waiting:
            match self._action:
                case Retrieve():
                    steps = self._retrieve()
                case Give(text=text):
                    steps = self._give(text)
                case CallModel(with_tools=with_tools):
                    steps = self._ask(with_tools=with_tools)
                case CallTools():
                    steps = self._act(self._turns[-1])
                case Complete(reason=reason):
                    yield self._usage()
                    yield RunCompleted(
                        finish_reason=reason,
                        answer=self._citations.text,
                        duration_ms=milliseconds_since(started),
                        cached=self.state.given is not None or self._asking.followed,
                    )
                    return
                case Fail(error=error):
                    raise error
            async with aclosing(steps):
                async for event in steps:
                    yield event

    async def _begin(self) -> None:
        """What was begun before the run was taken up is begun again, for nobody knows what came of it."""
        if isinstance(self._action, Retrieve | CallModel) and self._context.record.fence > 1:
            await self._write(Transition(begun=self._intents(self._action)))

    async def _enter(self, state: RunState, ended: Sequence[Outcome]) -> None:
        """Go over to the next state: one entry of the journal says what has ended and what begins."""
        action = next_action(state, self._context.limits)
        transition = Transition(ended=ended)
        match action:
            case CallTools(calls=calls):
                turn = self._turn(state, calls)
                planned = await turn.plan()
                transition = replace(planned, ended=[*ended, *planned.ended], said=self._note(planned))
                self._turns.append(turn)
                self._seq += len(calls)
            case Retrieve() | CallModel():
                transition = replace(transition, begun=self._intents(action))
            case Give():
                pass
            case Complete() | Fail():
                self._left, transition = ended, Transition()
        await self._write(transition)
        self.state, self._action = state, action

    async def _write(self, transition: Transition) -> None:
        if transition.ended or transition.begun or transition.asked:
            await self._parts.journal.write(self._context.record.claim, transition)

    def _intents(self, action: Retrieve | CallModel) -> Sequence[Intent]:
        """The intent of the step that comes next, unless it has been done."""
        step = self._context.past.steps.get(self._seq)
        if step is not None and step.result is not None:
            return ()
        if step is not None and step.attempt >= ATTEMPTS:
            raise RunAbandoned(f"the service stopped in the middle of the same step {step.attempt} times")
        return [
            Intent(
                seq=self._seq,
                kind="retrieval" if isinstance(action, Retrieve) else "model",
                key=f"{self._context.record.id}:{self._seq}",
                intent={"with_tools": action.with_tools} if isinstance(action, CallModel) else {},
                attempt=1 if step is None else step.attempt + 1,
            )
        ]

    async def _retrieve(self) -> AsyncGenerator[EventBody, None]:
        started = time.perf_counter()
        done = self._context.past.done(self._seq)
        ended: list[Outcome] = []
        if done is not None:
            prepared = prepared_of(done)
        else:
            prepared, self.looked = await self._parts.preparation.prepare(self._asked())
            ended = [retrieved(self._seq, prepared)]
        self._parts.observer.stage("retrieval", time.perf_counter() - started)
        milliseconds = milliseconds_since(started)
        self._seq += 1
        given = prepared.given
        shown = tuple(shown for _, shown in prepared.memories)
        again = None if given is None else (given.text, given.finish_reason)
        if prepared.following is not None and done is None:
            # A run that is taken up again asks the model itself: what it was following may have ended otherwise.
            self._asking.leader = prepared.following.entry_id
        await self._enter(after_retrieval(self.state, prepared.sources, shown, again), ended)
        for event in _told(prepared, milliseconds):
            yield event
        yield _found(prepared.query, self._context.collection, prepared.sources, 1, milliseconds)

    def _asked(self) -> Asked:
        context = self._context
        return Asked(
            principal=context.principal,
            question=self.state.question,
            query=search_query(self.state.question, self.state.history),
            collection=context.collection,
            model=context.model.info.name,
            tools=tuple(spec.name for spec in context.toolset.specs),
            alone=not self.state.history,
            cache=context.cache,
            sources=context.source_limit,
            run_id=context.record.id,
        )

    async def _give(self, text: str) -> AsyncGenerator[EventBody, None]:
        """Give an answer again as it was given first: piece by piece, with its citations."""
        for piece in _PIECE.findall(text):
            yield TextDelta(piece)
            for citation in self._citations.read(piece, self.state.sources):
                yield citation
        await self._enter(after_giving(self.state), ())

    async def _ask(self, *, with_tools: bool) -> AsyncGenerator[EventBody, None]:
        done = self._context.past.done(self._seq)
        pieces: list[str] = []
        calls: list[ToolCall] = []
        finish = Finish()
        # A second turn's text must not run into the first one's.
        separator = "\n\n" if self._citations.text else ""
        started = time.perf_counter()
        stream = recorded(done) if done is not None else await self._asking.stream(self.state, with_tools=with_tools)
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, str):
                    if not item:
                        continue
                    text = whole(item)
                    piece = separator + text
                    separator = ""
                    pieces.append(text)
                    yield TextDelta(piece)
                    for citation in self._citations.read(piece, self.state.sources):
                        yield citation
                elif isinstance(item, ToolCall):
                    calls.append(replace(item, arguments=whole(item.arguments)))
                else:
                    finish = item
        self._parts.observer.stage("model", time.perf_counter() - started)
        said = "".join(pieces)
        ended = [spoken(self._seq, said, calls, finish)] if done is None else []
        self._seq += 1
        await self._enter(after_model(self.state, said, calls, finish), ended)

    async def _act(self, turn: ToolTurn) -> AsyncGenerator[EventBody, None]:
        """Make the calls of a turn until each has a result; a result is told once it is recorded."""
        for called in turn.called():
            yield called
        first = len(self.state.sources) + 1
        while True:
            for event in (*turn.deliberation(), *turn.known()):
                yield event
            if turn.waits:
                self.waiting = True
                return
            async with aclosing(turn.perform()) as made:
                async for outcome, event in made:
                    await self._record(turn, outcome)
                    yield event
            if turn.results is not None:
                break
            again = await turn.plan()
            await self._write(replace(again, said=self._note(again)))
        if self.state.pending:  # nothing had to be called
            await self._enter(after_tools(self.state, turn.calls, turn.results), [])
        for query, sources in turn.searched():
            yield _found(query, self._context.collection, sources, first, 0)
            first += len(sources)

    async def _record(self, turn: ToolTurn, outcome: Outcome) -> None:
        """Record the outcome of a call, the last one together with what begins next."""
        if turn.results is None:
            await self._write(Transition(ended=[outcome], lease=turn.lease))
        else:
            await self._enter(after_tools(self.state, turn.calls, turn.results), [outcome])

    def _turn(self, state: RunState, calls: Sequence[ToolCall]) -> ToolTurn:
        context = self._context
        return ToolTurn(
            calls,
            TurnContext(
                asker=context.record,
                principal=context.principal,
                collection=context.collection,
                toolset=context.toolset,
                gate=self._parts.gate,
                approvals=self._parts.approvals,
                observer=self._parts.observer,
                past=context.past,
                number=state.model_calls,
                first=self._seq,
                sources=state.sources,
                subject_token=context.subject_token,
                scratches=self._parts.scratches,
            ),
        )

    def _note(self, planned: Transition) -> Sequence[Message]:
        """What the session shows of a run that waits."""
        if not planned.asked:
            return ()
        tools = ", ".join(dict.fromkeys(str(row["tool"]) for row in planned.asked))
        waits = Message(role="assistant", content=f"(Waiting for a person to approve: {tools}.)")
        return (Message(role="user", content=self.state.question), waits)

    def _usage(self) -> UsageRecorded:
        return UsageRecorded(
            input_tokens=self.state.usage.input_tokens,
            output_tokens=self.state.usage.output_tokens,
            model_calls=self.state.model_calls,
            tool_calls=self.state.tool_calls,
        )


def _told(prepared: Prepared, milliseconds: float) -> Iterable[EventBody]:
    if prepared.memories:
        yield MemoryRecalled(memories=tuple(told for told, _ in prepared.memories), duration_ms=milliseconds)
    if prepared.given is not None:
        yield prepared.given.hit
    elif prepared.following is not None:
        yield prepared.following
    elif prepared.missed is not None:
        yield prepared.missed


def _found(
    query: str, collection: str, sources: Sequence[Source], first: int, milliseconds: float
) -> RetrievalCompleted:
    return RetrievalCompleted(
        query=query,
        collection=collection,
        sources=tuple(CitedSource(label=label, source=source) for label, source in enumerate(sources, first)),
        duration_ms=milliseconds,
    )
