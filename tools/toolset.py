"""The tools that a run may use: how a model's call is checked, and how it is run."""

import asyncio
import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from models.messages import ToolCall, ToolSpec
from records.principal import Principal
from tools.decorator import as_tool
from tools.errors import ToolDefinitionError, UnknownToolError
from tools.http.api import HttpApi
from tools.limits.port import RateLimiter
from tools.principal import NotFilled
from tools.results import ToolContext, ToolResult
from tools.serialise import to_json
from tools.signature import ArgumentsError
from tools.source import ToolSource
from tools.tool import Resource, Tool

_MAX_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCall:
    """A call whose tool exists and whose arguments fit.

    Attributes:
        arguments: Python values by parameter name, as the tool takes them.
    """

    call: ToolCall
    tool: Tool
    arguments: Mapping[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The arguments as JSON data, defaults included: what is shown, approved and journalled."""
        data: dict[str, Any] = orjson.loads(to_json(self.arguments))
        return data


class Toolset:
    """Tools under unique names, in the order in which they were given.

    Args:
        tools: Tools, decorated functions, classes or instances, LangChain tools, and sources, whose tools come once the
            set is opened.

    Raises:
        ToolDefinitionError: Something is no tool, or two tools have one name.
    """

    def __init__(self, tools: Iterable[Any] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        self._sources: dict[int, ToolSource] = {}
        self._owners: dict[str, ToolSource] = {}
        for given in tools:
            if isinstance(given, ToolSource):
                self._sources[id(given)] = given
                continue
            tool = coerce(given)
            if self._tools.setdefault(tool.name, tool) is not tool:
                msg = f"two tools are called {tool.name!r}; give one of them another name"
                raise ToolDefinitionError(msg)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self)

    @property
    def sources(self) -> tuple[ToolSource, ...]:
        """What has further tools."""
        return tuple(self._sources.values())

    @property
    def given(self) -> tuple[Tool | ToolSource, ...]:
        """What another set can be made of: the tools and the sources."""
        return (*(tool for tool in self if tool.name not in self._owners), *self.sources)

    def __iter__(self) -> Iterator[Tool]:
        return iter(list(self._tools.values()))

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    async def open(self) -> None:
        """Open the sources; their tools join the set as they come, most of them before this returns."""
        await asyncio.gather(*(source.open(partial(self._join, source)) for source in self.sources))

    def _join(self, source: ToolSource, tool: Tool) -> None:
        if tool.name in self._tools and self._owners.get(tool.name) is not source:
            msg = f"two tools are called {tool.name!r}; give one of them another name"
            raise ToolDefinitionError(msg)
        self._tools[tool.name] = tool
        self._owners[tool.name] = source

    async def expect(self, names: Iterable[str], seconds: float) -> None:
        """Wait for those of these tools that a source may still come to offer, for so long at most."""
        missing = [name for name in names if name not in self._tools]
        awaited = [source for source in self.sources if any(map(source.may_have, missing))]
        if awaited:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.gather(*(source.listed() for source in awaited))

    def get(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def select(self, names: Iterable[str]) -> "Toolset":
        """The set of these tools only.

        Raises:
            UnknownToolError: A name that this set does not have.
        """
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            if name not in self._tools:
                raise UnknownToolError(self._unknown(name))
        return Toolset(self._tools[name] for name in wanted)

    def check(self, call: ToolCall, principal: Principal | None = None) -> CheckedCall | ToolResult:
        """The call ready to run, or the failure that the model should see.

        Args:
            principal: Who asks, to show what is filled from them; the tool is called for its context's in any case.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return self._missing(call.name)
        try:
            arguments = tool.validate(call.arguments)
            if principal is not None:
                arguments = tool.fill(arguments, principal)
            return CheckedCall(call=call, tool=tool, arguments=arguments)
        except NotFilled as error:
            return tool.refusal(error)
        except ArgumentsError as error:
            return ToolResult(content=str(error), failure=error.failure)

    async def run(self, checked: CheckedCall, context: ToolContext) -> ToolResult:
        """Run a checked call. A failure is a result; only cancelling the caller's task raises."""
        return await checked.tool.call(checked.arguments, context)

    def share_limits(self, limiter: RateLimiter) -> None:
        """Let the connectors that the tools keep open count their requests together with all who use this limiter."""
        for resource in self._resources():
            if isinstance(resource, HttpApi):
                resource.share_limits(limiter)

    async def aclose(self) -> None:
        """Close the sources and what the tools keep open, each thing once. Safe to call twice."""
        await asyncio.gather(*(each.aclose() for each in (*self.sources, *self._resources())))

    def _resources(self) -> list[Resource]:
        return list({id(resource): resource for tool in self for resource in tool.resources}.values())

    def _missing(self, name: str) -> ToolResult:
        """What a call of a tool that is not there comes to."""
        if any(source.may_have(name) for source in self.sources):
            content = f"{name[:64]} was not called: what offers it cannot be reached now"
            return ToolResult(content=content, failure="failed")
        return ToolResult(content=self._unknown(name), failure="unknown_tool")

    def _unknown(self, name: str) -> str:
        if not self._tools:
            return f"There is no tool {name[:64]!r}; no tools are registered."
        close = difflib.get_close_matches(name[:64], self._tools, n=3)
        listed = close or list(self._tools)[:_MAX_LISTED]
        more = "" if close or len(self._tools) <= _MAX_LISTED else ", …"
        return f"There is no tool {name[:64]!r}. {'Closest' if close else 'Tools'}: {', '.join(listed)}{more}."


def coerce(given: Any) -> Tool:
    """The Tool that ``given`` stands for: a Tool, something decorated with ``@tool``, or a LangChain tool.

    Raises:
        ToolDefinitionError: It is none of these.
    """
    tool = as_tool(given)
    if tool is not None:
        return tool
    if any(base.__module__.startswith("langchain_core.tools") for base in type(given).__mro__):
        from tools.langchain import from_langchain

        return from_langchain(given)
    msg = f"{given!r} is no tool: decorate it with @tool"
    raise ToolDefinitionError(msg)
