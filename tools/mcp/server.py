"""An MCP server whose tools the agent may call, and what the operator says of it."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from models.messages import ToolSpec
from tools.errors import ToolDefinitionError
from tools.mcp.calling import Caller
from tools.mcp.described import Described, described, tool_name
from tools.mcp.link import Link, Listed
from tools.mcp.pins import Pins
from tools.mcp.results import hiding, origin_of
from tools.mcp.transports import endpoint, program, secrets_of, variables_of
from tools.results import Autonomy, Effect, ToolContext
from tools.source import ToolSource
from tools.tool import DEFAULT_TIMEOUT, Tool

_log = structlog.get_logger("cairn.mcp")

_NAME = re.compile(r"[a-zA-Z0-9-]{1,32}")
DEFAULT_MEMORY = 1 << 30
DEFAULT_START = 10.0


class McpServer(ToolSource):
    """An MCP server: a program that is started, or a URL (streamable HTTP).

    Nothing that it says of its tools is believed unless the operator says so: every tool counts as a ``write`` that a
    person agrees to. A tool is what it was when it was first listed; one of which the server says something else later
    is refused until the service starts again.

    Safe to make when a module is imported. It belongs to one event loop.

    Args:
        name: Before the names of its tools: ``name_tool``.
        command: The program; found on the path.
        args: Its arguments.
        env: The variables that it sees. Of the service's own it sees only ``PATH`` and ``LANG``,
        environment: and those that are named here.
        folder: Where it runs; where the service does if None.
        memory_bytes: What each of its processes may write to.
        url: The server's endpoint. ``localhost`` and an address in it are meant; a name must be public, unless
        private: says otherwise.
        headers: Sent with each request; no model, result, log or error sees them.
        tools: The names of those of its tools to offer, as the server has them; all that it lists at first if None.
        effects: What tools change, by their names.
        autonomy: How far all of them may go that change something, or by name.
        examples: Questions of users that a tool answers, by its name; they help small models to pick it.
        idempotent: The names of tools of which several calls with the same arguments do what one does.
        trust_hints: Whether its annotations say what a tool changes, and whether it may be repeated.
        trust_errors: Whether an error that it answers means that nothing was done.
        allow_changes: Whether what it says of a tool that ``tools`` names may change.
        pins: Digests of tools, by name: one with another digest is not offered. The log tells them.
        timeout: Seconds that one call may take.
        start_seconds: Seconds that the service waits for its tools; they are offered later if they come later.

    Raises:
        ValueError: It is neither a command nor a URL, or both, or something of it cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        command: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        environment: Sequence[str] = (),
        folder: str | Path | None = None,
        memory_bytes: int = DEFAULT_MEMORY,
        url: str | None = None,
        private: bool = False,
        headers: Mapping[str, str] | None = None,
        tools: Sequence[str] | None = None,
        effects: Mapping[str, Effect] | None = None,
        autonomy: Autonomy | Mapping[str, Autonomy] | None = None,
        examples: Mapping[str, Sequence[str]] | None = None,
        idempotent: Sequence[str] = (),
        trust_hints: bool = False,
        trust_errors: bool = False,
        allow_changes: bool = False,
        pins: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        start_seconds: float = DEFAULT_START,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name {name!r}: use 1 to 32 of a-z, A-Z, 0-9 and -")
        self.name = name
        self._effects = dict(effects or {})
        self._autonomy = autonomy
        self._examples = {tool: tuple(given) for tool, given in (examples or {}).items()}
        self._idempotent = frozenset(idempotent)
        self._trust_hints = trust_hints
        self._timeout = timeout
        self._offer: Callable[[Tool], None] | None = None
        self._known = asyncio.Event()
        self._names = None if tools is None else frozenset(tool_name(name, remote) for remote in tools)
        variables, sent = variables_of(env or {}, environment), dict(headers or {})
        hide = hiding(secrets_of(variables, sent))
        if command is not None and url is None:
            place = None if folder is None else Path(folder)
            connect = program(name, (command, *args), variables, place, memory_bytes, hide)
            self.where = command
        elif url is not None and command is None:
            connect = endpoint(url, sent, private=private)
            self.where = origin_of(url)
        else:
            raise ValueError(f"the server {name} needs a command or a url, and not both")
        self._pins = Pins(name, wanted=tools, digests=pins or {}, allow_changes=allow_changes, take=self._take)
        self._link = Link(name, connect, self._listed, start_seconds, hide)
        self._caller = Caller(name, self._link, hide, trust_errors=trust_errors)

    def __repr__(self) -> str:
        return f"McpServer({self.name!r}, {self.where!r})"

    async def open(self, offer: Callable[[Tool], None]) -> None:
        """Connect, and offer its tools; one that cannot be reached now offers them when it can be."""
        self._offer = offer
        await self._link.open()

    def may_have(self, name: str) -> bool:
        """Whether the name is one that its tools have, as long as it has not listed them."""
        if self._known.is_set():
            return False
        return name.startswith(f"{self.name}_") if self._names is None else name in self._names

    async def listed(self) -> None:
        """Return once it has listed its tools for the first time."""
        await self._known.wait()

    async def aclose(self) -> None:
        """End the connection, and a program with all that it has started. Safe to call twice."""
        await self._link.aclose()

    async def _listed(self, listed: Listed) -> None:
        wanted = [told for told in listed if self._pins.wants(str(told["name"]))]
        # Reading a schema may take its time, and anybody may have written it.
        found = await asyncio.to_thread(_read, self.name, wanted, self._pins.taken)
        self._pins.listed({str(told["name"]) for told in listed}, found)
        self._known.set()

    def _take(self, said: Described) -> None:
        tool = self._tool(said)
        if self._offer is not None:
            self._offer(tool)

    def _tool(self, said: Described) -> Tool:
        effect = self._effect(said)
        autonomy = self._autonomy.get(said.remote) if isinstance(self._autonomy, Mapping) else self._autonomy
        name = tool_name(self.name, said.remote)

        async def invoke(arguments: Mapping[str, Any], context: ToolContext) -> Any:
            self._pins.require_unchanged(said.remote)
            return await self._caller.call(said.remote, arguments, context, effect, self._timeout)

        return Tool(
            spec=ToolSpec(
                name=name,
                description=said.description,
                parameters=said.schema,
                examples=self._examples.get(said.remote, ()),
                effect=effect,
            ),
            arguments=said.arguments,
            invoke=invoke,
            timeout=self._timeout,
            autonomy=autonomy if effect != "read" else None,
            idempotent=said.remote in self._idempotent or (self._trust_hints and said.repeatable),
        )

    def _effect(self, said: Described) -> Effect:
        named = self._effects.get(said.remote)
        if named is not None:
            return named
        if not self._trust_hints:
            return "write"
        if said.reads:
            return "read"
        return "irreversible" if said.destroys else "write"


def _read(server: str, listed: Listed, taken: Mapping[str, Described]) -> list[Described]:
    found = []
    for told in listed:
        try:
            found.append(described(told, taken.get(str(told["name"]))))
        except ToolDefinitionError as error:
            _log.warning("a tool is not offered", server=server, reason=str(error)[:500])
    return found
