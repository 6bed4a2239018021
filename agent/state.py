"""The pure half of the loop: what a run knows, and what it must do next.

Nothing here waits, reads a clock or touches the outside, so every path through a run can be tested as plain values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.errors import AgentRunError, ToolsUnsettled, UsageLimitExceeded
from models.messages import Finish, FinishReason, Message, Passage, Remembered, ToolCall, Usage
from retrieval.documents import Source
from tools.results import ToolResult

NOT_RUN = frozenset({"unknown_tool", "malformed_arguments", "invalid_arguments"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one run may use.

    Attributes:
        model_calls: Calls of the model; the last one is offered no tools, so that it answers.
        tool_calls: Calls of tools.
        tokens: Input and output tokens of all calls together.
        seconds: From taking the run up to its end.
        corrections: Turns with calls that could not be run (unknown tool, bad arguments) that the model may mend.
    """

    model_calls: int = 8
    tool_calls: int = 16
    tokens: int = 200_000
    seconds: float = 300.0
    corrections: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Everything the next decision depends on.

    Attributes:
        history: Earlier messages of the session, cut to the window.
        turns: What was said in this run: the question first, then the model's and the tools' messages.
        sources: All that was retrieved; the source at position i has the label i + 1.
        memories: What is remembered that matters for the question.
        given: An answer that was given before and is given again, and why it had ended.
        pending: Calls of the model's last turn that have no result yet.
    """

    turns: tuple[Message, ...]
    history: tuple[Message, ...] = ()
    retrieve: bool = True
    sources: tuple[Source, ...] = ()
    memories: tuple[Remembered, ...] = ()
    given: tuple[str, FinishReason] | None = None
    pending: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    model_calls: int = 0
    tool_calls: int = 0
    bad_turns: int = 0
    usage: Usage = field(default_factory=Usage)

    @property
    def question(self) -> str:
        """The user's message."""
        return self.turns[0].content

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The sources as the model sees them."""
        return tuple(
            Passage(label=label, title=s.title, text=s.readable, heading_path=s.heading_path, uri=s.uri)
            for label, s in enumerate(self.sources, 1)
        )


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Find what there is to answer the question from."""


@dataclass(frozen=True, slots=True)
class Give:
    """Give an answer that was given before."""

    text: str


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model; ``with_tools`` is False in the turn that must be the answer."""

    with_tools: bool


@dataclass(frozen=True, slots=True)
class CallTools:
    """Run the calls of the last turn, all checked before any runs."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Complete:
    """The run has its answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The run cannot go on."""

    error: AgentRunError


Action = Retrieve | Give | CallModel | CallTools | Complete | Fail


def next_action(state: RunState, limits: Limits) -> Action:
    """Decide the next step of a run."""
    if state.retrieve:
        return Retrieve()
    if state.given is not None and state.finish is None:
        return Give(state.given[0])
    used = state.usage.input_tokens + state.usage.output_tokens
    if state.pending:
        return _before_tools(state, limits)
    if state.finish is not None and state.finish.reason != "tool_calls":
        return Complete(state.finish.reason)
    if used >= limits.tokens:
        return Fail(UsageLimitExceeded(f"the run used {used} tokens; limits.tokens is {limits.tokens}"))
    if state.model_calls >= limits.model_calls:
        return Fail(UsageLimitExceeded(f"no answer after {limits.model_calls} model calls (limits.model_calls)"))
    last = state.model_calls == limits.model_calls - 1
    return CallModel(with_tools=not last and state.bad_turns <= limits.corrections)


def _before_tools(state: RunState, limits: Limits) -> Action:
    if state.model_calls >= limits.model_calls or state.bad_turns > limits.corrections:
        return Fail(ToolsUnsettled("the model asked for a tool in the turn that had to be its answer"))
    if state.tool_calls + len(state.pending) > limits.tool_calls:
        return Fail(UsageLimitExceeded(f"more than {limits.tool_calls} tool calls (limits.tool_calls)"))
    return CallTools(state.pending)


def after_retrieval(
    state: RunState,
    sources: Sequence[Source],
    memories: Sequence[Remembered] = (),
    given: tuple[str, FinishReason] | None = None,
) -> RunState:
    """The state once it is known what there is to answer from."""
    return replace(state, retrieve=False, sources=(*state.sources, *sources), memories=tuple(memories), given=given)


def after_giving(state: RunState) -> RunState:
    """The state once an answer was given again: no model was asked, and nothing used."""
    if state.given is None:
        return state
    text, reason = state.given
    return replace(state, turns=(*state.turns, Message(role="assistant", content=text)), finish=Finish(reason=reason))


def after_model(state: RunState, text: str, calls: Sequence[ToolCall], finish: Finish) -> RunState:
    """The state once the model has spoken."""
    message = Message(role="assistant", content=text, tool_calls=tuple(calls))
    return replace(
        state,
        turns=(*state.turns, message),
        pending=tuple(calls),
        finish=finish,
        model_calls=state.model_calls + 1,
        usage=state.usage + finish.usage,
    )


def after_tools(state: RunState, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> RunState:
    """The state once every call of the turn has its result; ``calls`` and ``results`` run parallel."""
    answers = tuple(
        Message(role="tool", content=result.content, tool_call_id=call.id, name=call.name)
        for call, result in zip(calls, results, strict=True)
    )
    bad = any(result.failure in NOT_RUN for result in results)
    return replace(
        state,
        turns=(*state.turns, *answers),
        sources=(*state.sources, *(source for result in results for source in result.sources)),
        pending=(),
        finish=None,
        tool_calls=state.tool_calls + len(calls),
        bad_turns=state.bad_turns + bad,
    )
