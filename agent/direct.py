"""Runs that make one call which their asker has chosen: everything that holds for a model's calls holds for theirs."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from models.messages import Finish, ModelItem, ModelRequest, ToolCall
from models.port import ModelInfo

_CONTEXT_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCall:
    """The call that a run is for.

    Attributes:
        arguments: JSON text; the tool's to judge.
    """

    name: str
    arguments: str


class DirectModel:
    """Stands where the model would: wishes for the call, and then says what came of it.

    It knows nothing but the call, so a run that is taken up again goes the same way.
    """

    def __init__(self, call: DirectCall) -> None:
        self.info = ModelInfo(name="direct", context_tokens=_CONTEXT_TOKENS, remote=False)
        self._call = call

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        """The call where there is no result yet; the result after that."""
        last = request.messages[-1]
        if last.role == "tool":
            yield last.content
            yield Finish()
        else:
            yield ToolCall(id="direct", name=self._call.name, arguments=self._call.arguments, confidence=1.0)
            yield Finish(reason="tool_calls")

    async def aclose(self) -> None:
        """Hold nothing, free nothing."""
