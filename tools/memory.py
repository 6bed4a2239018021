"""The built-in tools by which a user asks in chat what is remembered of him, adds to it, and has it forgotten."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

from tools.decorator import ToolOptions, make_tool
from tools.outcome import ToolError
from tools.principal import FromPrincipal
from tools.results import ToolContext, ToolResult
from tools.tool import Tool

RECALL_MEMORY = "recall_memory"
REMEMBER = "remember"
FORGET_MEMORY = "forget_memory"

Asker = Annotated[str, FromPrincipal("id")]
Words = Annotated[str, Field(min_length=1, max_length=2000)]

_NOT_KEPT = "I do not keep that. Passwords, keys and the numbers of cards and accounts are never remembered."
_ON_BEHALF = "whoever asks does so for somebody else, of whom nothing is remembered"


class ChatMemory(Protocol):
    """What is remembered of one who asks, seen from a tool. It never tells of anybody else, nor changes him."""

    async def known(self, asker: str, topic: str, context: ToolContext) -> Sequence[Mapping[str, Any]]:
        """What is remembered of the asker about a topic, or all of it, the newest first."""
        ...

    async def learn(self, asker: str, text: str, context: ToolContext) -> Sequence[Mapping[str, Any]]:
        """What was remembered, or proposed, of what a call says and the asker has said; nothing if it is not to be."""
        ...

    async def asked_to_forget(self, context: ToolContext) -> bool:
        """Whether the asker has said, in words of his own, that something is to be forgotten."""
        ...

    async def forget(self, asker: str, text: str, context: ToolContext) -> "Forgetting":
        """Erase what the text means, if that is one thing, or all that there is."""
        ...


class Forgetting(Protocol):
    """What became of a wish to forget."""

    @property
    def erased(self) -> int:
        """How many records are gone."""
        ...

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """What may have been meant, where nothing was erased."""
        ...


def memory_tools(memory: ChatMemory, timeout: float = 30.0) -> list[Tool]:
    """The tools ``recall_memory``, ``remember`` and ``forget_memory``: for the asker, and over what is his own."""
    return [_recalling(memory, timeout), _remembering(memory, timeout), _forgetting(memory, timeout)]


def _recalling(memory: ChatMemory, timeout: float) -> Tool:
    async def recall_memory(
        asker: Asker,
        context: ToolContext,
        topic: Annotated[str, Field(max_length=2000, description="What about; everything if empty.")] = "",
    ) -> ToolResult:
        """Tell what is remembered about the user from earlier conversations: what he likes, who he is, his rules."""
        _require_himself(context)
        found = [dict(each) for each in await memory.known(asker, topic, context)]
        if not found:
            return ToolResult(content="I remember nothing about you.", value=[])
        return ToolResult(content="\n".join(["This is what I remember about you:", *map(_line, found)]), value=found)

    examples = (
        "What do you know about me?",
        "What do you remember about me?",
        "What have you stored about me?",
        "What do you know about my preferences?",
        "Tell me everything you know about me.",
    )
    return make_tool(recall_memory, ToolOptions(timeout=timeout, examples=examples))


def _remembering(memory: ChatMemory, timeout: float) -> Tool:
    async def for_himself(context: ToolContext) -> None:
        _require_himself(context)

    async def remember(
        text: Annotated[Words, Field(description="What to remember, in the user's own words.")],
        asker: Asker,
        context: ToolContext,
    ) -> ToolResult:
        """Remember something about the user for later conversations, when he asks for it."""
        kept = [dict(each) for each in await memory.learn(asker, text, context)]
        if not kept:
            return ToolResult(content=_NOT_KEPT, value=[])
        waiting = all(each["status"] == "proposed" for each in kept)
        said = "It waits for consent before it is remembered:" if waiting else "I will remember:"
        return ToolResult(content="\n".join([said, *map(_line, kept)]), value=kept)

    examples = (
        "Remember that I like tea.",
        "Remember that my shoe size is 43.",
        "Please remember that I am allergic to nuts.",
    )
    options = ToolOptions(
        effect="write", autonomy="auto", idempotent=True, timeout=timeout, verify=for_himself, examples=examples
    )
    return make_tool(remember, options)


def _forgetting(memory: ChatMemory, timeout: float) -> Tool:
    async def asked_for(context: ToolContext) -> str:
        _require_himself(context)
        if not await memory.asked_to_forget(context):
            raise ToolError("the user has not asked for anything to be forgotten")
        return "the user has asked for it"

    async def forget_memory(
        text: Annotated[Words, Field(description="What to forget, in the user's own words, or the id of a memory.")],
        asker: Asker,
        context: ToolContext,
    ) -> ToolResult:
        """Forget something that is remembered about the user, when he asks for it. Nothing brings it back."""
        done = await memory.forget(asker, text, context)
        if done.erased:
            things = "It is" if done.erased == 1 else f"{done.erased} memories are"
            return ToolResult(content=f"{things} forgotten.", value={"forgotten": done.erased})
        found = [dict(each) for each in done.candidates]
        if not found:
            return ToolResult(content="I remember nothing like that.", value={"forgotten": 0})
        ask = "Nothing was forgotten yet. Which of these do you mean? Say its words, or its id:"
        return ToolResult(content="\n".join([ask, *map(_line, found)]), value={"forgotten": 0, "candidates": found})

    examples = (
        "Forget that I like tea.",
        "Please forget my shoe size.",
        "Forget what you know about my address.",
        "Erase what you remember of where I live.",
        "Forget everything you know about me.",
        "Forget that.",
    )
    options = ToolOptions(
        effect="write", autonomy="auto", idempotent=True, timeout=timeout, verify=asked_for, examples=examples
    )
    return make_tool(forget_memory, options)


def _require_himself(context: ToolContext) -> None:
    # Who it is that a token stands for is known at the back end alone; the key is not he.
    if context.subject_token is not None:
        raise ToolError(_ON_BEHALF)


def _line(record: Mapping[str, Any]) -> str:
    waiting = "" if record["status"] == "active" else f"{record['status']} "
    about = f"{waiting}{record['kind']} since {record['since']}, version {record['version']}, {record['id']}"
    return f"- {record['text']} ({about})"
