"""What the model is asked in a run, and who answers in its place: the journal, or another run that is followed."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from agent.collaborators import Collaborators, RunContext
from agent.journal.replay import turn_of
from agent.knowledge.following import LeaderLost
from agent.knowledge.query import search_query
from agent.state import RunState
from memory.conversation.summary import SUMMARY
from models.messages import ModelItem, ModelRequest, ToolSpec
from tools.conversation import READ_CONVERSATION
from tools.hand_over import HAND_OVER
from tools.search import SEARCH_DOCUMENTS


class Asking:
    """Asks the model of one run.

    Attributes:
        leader: The run whose answer is followed in place of the model's first.
        followed: Whether that was this run's answer.
    """

    def __init__(self, context: RunContext, collaborators: Collaborators) -> None:
        self.leader: str | None = None
        self.followed = False
        self._context = context
        self._preparation = collaborators.preparation
        self._selector = collaborators.selector

    async def stream(self, state: RunState, *, with_tools: bool) -> AsyncGenerator[ModelItem, None]:
        """What comes next of the answer.

        Raises (from the stream):
            ModelError: The model failed.
            LeaderLost: Another run's answer was followed half-way, and comes to no end.
        """
        request = ModelRequest(
            messages=(*state.history, *state.turns),
            passages=state.passages,
            memories=state.memories,
            tools=await self._shown(state) if with_tools else (),
        )
        leader, self.leader = self.leader, None
        return self._context.model.stream(request) if leader is None else self._follow(leader, state, request)

    async def _follow(self, leader: str, state: RunState, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        """What another run is answering; what the model does where that cannot be followed from the beginning."""
        begun = False
        try:
            async with aclosing(self._preparation.follow(leader, state.sources)) as items:
                async for item in items:
                    begun = True
                    yield item
        except LeaderLost:
            if begun:
                raise
        else:
            self.followed = True
            return
        async with aclosing(self._context.model.stream(request)) as items:
            async for item in items:
                yield item

    async def _shown(self, state: RunState) -> tuple[ToolSpec, ...]:
        """The tools that fit the question, with those that the request named and those that the run has used."""
        used = [call.name for message in state.turns for call in message.tool_calls]
        named = self._context.record.request.get("tools") or ()
        query = search_query(state.question, state.history)
        always = {SEARCH_DOCUMENTS, HAND_OVER, *used, *named}
        specs = self._context.toolset.specs
        if any(message.name == SUMMARY for message in state.history):
            always.add(READ_CONVERSATION)
        elif READ_CONVERSATION not in always:  # there is nothing that the model does not see
            specs = tuple(spec for spec in specs if spec.name != READ_CONVERSATION)
        return await self._selector.select(query, specs, always=always)


async def recorded(done: Mapping[str, Any]) -> AsyncGenerator[ModelItem, None]:
    """What the model said in a step that is done."""
    text, calls, finish = turn_of(done)
    yield text
    for call in calls:
        yield call
    yield finish


def whole(text: str) -> str:
    """The text without halves of surrogate pairs: some servers cut text there, and no encoding carries them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
