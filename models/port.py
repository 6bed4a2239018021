"""The port that every language model stands behind."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from models.messages import ModelItem, ModelRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What the service needs to know of a model.

    Attributes:
        name: ``provider:model``, as it is given to ``--model``.
        context_tokens: How many tokens a request and its answer may have together.
        remote: Whether a request leaves this machine.
    """

    name: str
    context_tokens: int
    remote: bool


class ChatModel(Protocol):
    """A language model that streams.

    ``stream`` yields pieces of text (``str``) and complete ``ToolCall``s in the model's order, then exactly one
    ``Finish``. Closing the iterator or cancelling its task ends the call and frees its connection. Failures are
    raised as ``models.errors.ModelError``; a vendor's exception never crosses the port.
    """

    @property
    def info(self) -> ModelInfo: ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]: ...

    async def aclose(self) -> None:
        """Free what the model holds (connections, threads). Safe to call twice."""
        ...
