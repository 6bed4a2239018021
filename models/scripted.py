"""A model that says what it was told to say: for tests, demonstrations and benches. No test needs another fake."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from models.errors import ModelError
from models.messages import Finish, ModelItem, ModelRequest, ToolCall
from models.port import ModelInfo

Hook = Callable[[], Awaitable[object]]
ScriptItem = ModelItem | BaseException | Hook
"""Text, a ToolCall, a Finish, an exception to raise, or an async function to await (``event.wait`` holds the turn)."""

Turn = Sequence[ScriptItem]
Script = Iterable[Turn] | Callable[[ModelRequest], Turn]


class ScriptedModel:
    """Plays one turn a call, in order; or what a function of the request returns.

    A turn without a ``Finish`` of its own gets one that fits it. When the turns have run out, a call fails with a
    ``ModelError`` that says so.

    Attributes:
        requests: Every request that was streamed, in order.
        closed: How many streams ended before their Finish because the caller stopped reading.
    """

    def __init__(self, script: Script, *, name: str = "scripted:test", context_tokens: int = 8192) -> None:
        self.info = ModelInfo(name=name, context_tokens=context_tokens, remote=False)
        self.requests: list[ModelRequest] = []
        self.closed = 0
        self._answer = script if callable(script) else self._next
        self._turns = iter(() if callable(script) else script)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        self.requests.append(request)
        called = False
        finished = False
        try:
            for item in self._answer(request):
                if isinstance(item, BaseException):
                    finished = True
                    raise item
                if callable(item):
                    await item()
                    continue
                called = called or isinstance(item, ToolCall)
                finished = isinstance(item, Finish)
                yield item
                if finished:
                    return
            finished = True
            yield Finish(reason="tool_calls" if called else "stop")
        finally:
            self.closed += not finished

    async def aclose(self) -> None:
        """Hold nothing, free nothing."""

    def _next(self, _request: ModelRequest) -> Turn:
        turn = next(self._turns, None)
        if turn is None:
            msg = f"the script of {self.info.name} has no turn left for request {len(self.requests)}"
            raise ModelError(msg)
        return turn
