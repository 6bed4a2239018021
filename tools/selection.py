"""Which of many tools a model is shown for a question: those that fit it, and those that they depend on."""

import re
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Protocol

from models.extractive.vectors import Embed, VectorCache
from models.messages import ToolSpec
from tools.tool_index import ToolIndex

TOOLS_SHOWN = 24

_INDEXES = 32


class ToolSelector(Protocol):
    """Chooses the tools that a model is shown for a question."""

    async def select(
        self, question: str, tools: Sequence[ToolSpec], always: Collection[str] = ()
    ) -> tuple[ToolSpec, ...]:
        """Those that fit, in the order given; ``always`` names some that are among them in any case."""
        ...


class EveryTool:
    """Shows all tools."""

    async def select(
        self,
        question: str,  # noqa: ARG002 - the port's
        tools: Sequence[ToolSpec],
        always: Collection[str] = (),  # noqa: ARG002 - the port's
    ) -> tuple[ToolSpec, ...]:
        return tuple(tools)


class HybridSelector:
    """Shows the tools that fit best by words and by meaning. A tool that the question names is always among them.

    Args:
        embed: Maps texts to unit vectors, one row each.
        shown: Tools to show; a smaller set is shown whole.
    """

    def __init__(self, embed: Embed, shown: int = TOOLS_SHOWN) -> None:
        self._vectors = VectorCache(embed, size=8192)
        self._shown = shown
        self._indexes: OrderedDict[tuple[str, ...], ToolIndex] = OrderedDict()

    async def select(
        self, question: str, tools: Sequence[ToolSpec], always: Collection[str] = ()
    ) -> tuple[ToolSpec, ...]:
        if len(tools) <= self._shown:
            return tuple(tools)
        certain = {spec.name for spec in tools} & {*always, *_named(question)}
        others = [spec.name for spec in await self.ranked(question, tools) if spec.name not in certain]
        chosen = certain | set(others[: max(self._shown - len(certain), 0)])
        return tuple(spec for spec in tools if spec.name in chosen)

    async def ranked(self, question: str, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        """All of the tools, the one that fits best first."""
        scores = await self._index(tools).scores(question, self._vectors)
        # Of equals, the first: the same question shows the same tools, also when a run is taken up again.
        return [tools[index] for index in sorted(range(len(tools)), key=lambda index: (-scores[index], index))]

    def _index(self, tools: Sequence[ToolSpec]) -> ToolIndex:
        key = tuple(text for spec in tools for text in (spec.name, spec.description))
        if key not in self._indexes:
            self._indexes[key] = ToolIndex(tools)
            if len(self._indexes) > _INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(key)
        return self._indexes[key]


def _named(question: str) -> set[str]:
    """What in the question is written like a tool's name; one plain word may mean anything."""
    return {word for word in re.findall(r"[\w-]+", question) if re.search(r"[_\d-]|[a-z][A-Z]", word)}
