"""What a run has behind it, and how the results of its steps are kept in the journal and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.approvals.approval import Approval
from agent.events import CacheHit, CacheMissed, RecalledMemory
from agent.journal.journal import Outcome, Step
from agent.knowledge.preparing import Given, Prepared
from agent.log.encoding import RunEvent
from models.messages import Finish, Remembered, ToolCall, Usage
from retrieval.documents import Source
from tools.results import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was recorded of a run before it was taken up; nothing for one that has just been accepted."""

    steps: Mapping[int, Step] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    events: Sequence[RunEvent] = ()

    def done(self, seq: int) -> Mapping[str, Any] | None:
        """The result of a step that has one."""
        step = self.steps.get(seq)
        return step.result if step is not None else None

    def tools(self) -> frozenset[str]:
        """The names of the tools that the model has wished for."""
        said = [step.result for step in self.steps.values() if step.kind == "model" and step.result is not None]
        return frozenset(str(call["name"]) for turn in said for call in turn["calls"])


def retrieved(seq: int, prepared: Prepared) -> Outcome:
    """What there is to answer from, as the outcome of a step."""
    result: dict[str, Any] = {"query": prepared.query, "sources": [asdict(source) for source in prepared.sources]}
    if prepared.memories:
        result["memories"] = [{"told": asdict(told), "shown": asdict(shown)} for told, shown in prepared.memories]
    if prepared.given is not None:
        given = prepared.given
        result["given"] = {"hit": asdict(given.hit), "text": given.text, "finish_reason": given.finish_reason}
    if prepared.following is not None:
        result["following"] = asdict(prepared.following)
    if prepared.missed is not None:
        result["missed"] = asdict(prepared.missed)
    return Outcome(seq=seq, status="done", result=result)


def prepared_of(result: Mapping[str, Any]) -> Prepared:
    """The same, read back."""
    query, sources = str(result["query"]), sources_of(result)
    given, missed, following = result.get("given"), result.get("missed"), result.get("following")
    return Prepared(
        query=query,
        sources=sources,
        memories=tuple(
            (RecalledMemory(**each["told"]), Remembered(**each["shown"])) for each in result.get("memories", ())
        ),
        given=None
        if given is None
        else Given(
            hit=_hit(given["hit"]),
            text=given["text"],
            query=query,
            sources=sources,
            finish_reason=given["finish_reason"],
        ),
        missed=None if missed is None else CacheMissed(reason=missed["reason"], decision=tuple(missed["decision"])),
        following=None if following is None else _hit(following),
    )


def _hit(kept: Mapping[str, Any]) -> CacheHit:
    return CacheHit(**{**kept, "decision": tuple(kept["decision"])})


def spoken(seq: int, text: str, calls: Sequence[ToolCall], finish: Finish) -> Outcome:
    """The outcome of a model call."""
    result = {"text": text, "calls": [asdict(call) for call in calls], "finish": asdict(finish)}
    return Outcome(seq=seq, status="done", result=result)


def returned(seq: int, result: ToolResult) -> Outcome:
    """The outcome of a tool call."""
    kept = {
        "content": result.content,
        "failure": result.failure,
        "sources": [asdict(source) for source in result.sources],
    }
    return Outcome(seq=seq, status=result.failure or "done", result=kept)


def sources_of(result: Mapping[str, Any]) -> tuple[Source, ...]:
    """The sources in a step's result."""
    return tuple(Source(**{**kept, "heading_path": tuple(kept["heading_path"])}) for kept in result["sources"])


def turn_of(result: Mapping[str, Any]) -> tuple[str, list[ToolCall], Finish]:
    """What the model said in a step."""
    finish = result["finish"]
    calls = [ToolCall(**call) for call in result["calls"]]
    return result["text"], calls, Finish(reason=finish["reason"], usage=Usage(**finish["usage"]))


def result_of(result: Mapping[str, Any]) -> ToolResult:
    """What a tool call came to in a step."""
    return ToolResult(content=result["content"], failure=result["failure"], sources=sources_of(result))


def effects(steps: Sequence[Step], unrecorded: Sequence[Outcome] = ()) -> tuple[str, ...]:
    """The tools that have changed something by these steps, or may have."""
    return tuple(str(step.intent["name"]) for step in acted(steps, unrecorded))


def acted(steps: Sequence[Step], unrecorded: Sequence[Outcome] = ()) -> Sequence[Step]:
    """The calls of these steps that have changed something, or may have."""
    late = {outcome.seq: outcome.result for outcome in unrecorded}
    return [
        step
        for step in steps
        if step.kind == "tool" and step.intent.get("effect") in {"write", "irreversible"}
        if _may_have_acted(late.get(step.seq, step.result))
    ]


def _may_have_acted(result: Mapping[str, Any] | None) -> bool:
    return result is None or result["failure"] in {None, "unknown", "unserialisable"}
