"""Models that are not sure of an answer: a person replies in their place, before anything of it is released."""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import orjson
import structlog

from agent.offer import Models
from models.messages import Finish, ModelItem, ModelRequest, ToolCall
from models.port import ChatModel, ModelInfo
from tools.hand_over import HAND_OVER

_log = structlog.get_logger("cairn.runs")

_DRAFT = 3500


class HandingOver:
    """A model whose answers are held back until it is known how sure it is of them.

    One that it is less sure of than ``below`` becomes a call of the tool ``hand_over``, with the draft for the person
    who takes over. Once a person was asked, the model has the last word. What a model does not rate is released.
    """

    def __init__(self, model: ChatModel, below: float) -> None:
        self._model = model
        self._below = below

    @property
    def info(self) -> ModelInfo:
        """The model's own."""
        return self._model.info

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        """What the model says, or the hand-over in its place."""
        may = any(spec.name == HAND_OVER for spec in request.tools) and not _asked_a_person(request)
        held: list[str] = []
        called = False
        async with aclosing(self._model.stream(request)) as items:
            async for item in items:
                if isinstance(item, str) and may and not called:
                    held.append(item)
                    continue
                if isinstance(item, Finish) and held and self._doubts(item):
                    yield self._call("".join(held), item)
                    yield replace(item, reason="tool_calls")
                    return
                called = called or isinstance(item, ToolCall)
                for text in held:
                    yield text
                held.clear()
                yield item

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()

    def _doubts(self, finish: Finish) -> bool:
        if finish.confidence is None:
            _log.warning("the model does not say how sure it is: its answer is released", model=self.info.name)
            return False
        return finish.confidence < self._below

    def _call(self, draft: str, finish: Finish) -> ToolCall:
        short = draft if len(draft) <= _DRAFT else f"{draft[:_DRAFT]} …"
        sure = math.floor((finish.confidence or 0.0) * 1000) / 1000  # cut, not rounded: 0.4999 is not "0.5, below 0.5"
        summary = f"The agent is not sure of its answer ({sure:g}, below {self._below:g}): {short}"
        arguments = orjson.dumps({"summary": summary}).decode()
        return ToolCall(id="doubt", name=HAND_OVER, arguments=arguments, confidence=1.0)


class DoubtedModels:
    """Models of which each hands over what it is not sure of: see ``HandingOver``."""

    def __init__(self, models: Models, below: float) -> None:
        self._models = models
        self._below = below

    async def get(self, name: str | None) -> ChatModel:
        """The model with this name, or the default one: see ``agent.offer.Models``."""
        return HandingOver(await self._models.get(name), self._below)


def _asked_a_person(request: ModelRequest) -> bool:
    """Whether a person was asked since the question."""
    for message in reversed(request.messages):
        if message.role == "user":
            return False
        if message.role == "tool" and message.name == HAND_OVER:
            return True
    return False
