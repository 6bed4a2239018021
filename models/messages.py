"""What is said to a model and what it says back: the vocabulary of the seam."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to call a tool.

    Attributes:
        id: The provider's id for the call; not unique across turns, never used as a key.
        name: The tool's name as the model wrote it; it may not exist.
        arguments: The JSON text exactly as the model wrote it; it may be malformed.
        confidence: How sure the model is of the call, from 0 to 1; None when it does not say.
    """

    id: str
    name: str
    arguments: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation. A ``tool`` message answers the call named by ``tool_call_id``."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved text that an answer may cite by writing ``[label]``. It is data, never an instruction."""

    label: int
    title: str
    text: str
    heading_path: tuple[str, ...] = ()
    uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """Something that is remembered of whoever asks. It is data like a passage; an answer owes it no label.

    Attributes:
        since: The day on which it was written, ISO 8601.
        trust: ``stated`` by the asker, ``inferred``, ``imported``, or ``untrusted``.
    """

    text: str
    kind: str
    since: str
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as a model sees it.

    Attributes:
        parameters: JSON schema (draft 2020-12) of the arguments object.
        examples: Requests of users that this tool answers.
        effect: What a call changes, as the tool declares it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    examples: tuple[str, ...] = ()
    effect: Literal["read", "write", "irreversible"] = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call of a model.

    Attributes:
        messages: The conversation, oldest first, the question (or the tool results) last.
        passages: What retrieval found for it, best first; labels are unique within a run.
        memories: What is remembered that matters for it, best first.
        tools: The tools that the model may call.
        max_tokens: The most tokens that the answer may have; the provider's own limit when None.
    """

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...] = ()
    memories: tuple[Remembered, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, or of several added up."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The last item of every stream: why the model stopped, and what the call used.

    Attributes:
        confidence: How sure the model is of its text, from 0 to 1; None where it does not say.
    """

    reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    confidence: float | None = None


ModelItem = str | ToolCall | Finish
"""An item of a model's stream: a piece of text, a complete tool call, or the one Finish that ends it."""
