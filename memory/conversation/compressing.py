"""Summing up what a session's window has no room for: beside the runs, never in the way of an answer.

Nothing is noted durably of what is to be done. Whether a session has to be summed up is seen from its messages, each
time a run of it begins or ends; so a process that dies over it leaves nothing half done, and the next run sees to it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import select

from memory.conversation.rows import read_message
from memory.conversation.summaries import SummaryStore
from memory.conversation.summarising import summarise
from memory.conversation.summary import Summary
from memory.conversation.turns import Turn, overflowing
from models.port import ChatModel
from records.database import Database
from records.ids import new_id, now
from records.schema import messages, runs

_AT_ONCE = 500
_WAITING = 10_000
_LEAST = 200
"""A window of fewer tokens has no room for a summary."""

SHARE = 4
"""A summary may take this part of the window."""

_log = structlog.get_logger("cairn.memory")


class Compressor:
    """Makes summaries, one after the other.

    Args:
        model: Opens the model with this name.
    """

    def __init__(self, database: Database, model: Callable[[str], Awaitable[ChatModel]]) -> None:
        self._database = database
        self._summaries = SummaryStore(database)
        self._model = model
        self._waiting: dict[tuple[str, str], int] = {}
        self._noted = asyncio.Event()

    def note(self, tenant: str, session_id: str, tokens: int) -> None:
        """Have a look soon at this session, whose window has so many tokens."""
        if tokens >= _LEAST and len(self._waiting) < _WAITING:
            self._waiting[tenant, session_id] = tokens
            self._noted.set()

    async def work(self) -> None:
        """Sum up what was noted, and what is noted from now on; never returns."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            while self._waiting:
                tenant, session_id = next(iter(self._waiting))
                tokens = self._waiting.pop((tenant, session_id))
                try:
                    await self.compress(tenant, session_id, tokens)
                except Exception as error:  # noqa: BLE001 - the session's next run has it looked at again
                    _log.error("a conversation could not be summed up", exc_info=error, session_id=session_id)

    async def compress(self, tenant: str, session_id: str, tokens: int) -> Summary | None:
        """Sum up a session's older turns, if its window has no room for them; gives the summary if there is a new one.

        Two that do so at once, or one that does so again, make no two summaries of the same messages.
        """
        made = None
        earlier = await self._summaries.latest(tenant, session_id)
        while turns := await self._older(tenant, session_id, tokens, earlier):
            text, made_by = await summarise(
                await self._opened(tenant, session_id),
                earlier.text if earlier is not None else "",
                turns,
                tokens // SHARE,
            )
            summary = Summary(
                id=new_id(),
                first=earlier.first if earlier is not None else turns[0].id,
                last=turns[-1].id,
                text=text,
                made_by=made_by,
                created_at=now(),
            )
            if not await self._summaries.add(tenant, session_id, summary):
                break
            made = earlier = summary
        return made

    async def _older(self, tenant: str, session_id: str, tokens: int, earlier: Summary | None) -> list[Turn]:
        """The turns after the earlier summary that are to be summed up, some at once."""
        mine = (messages.c.tenant == tenant, messages.c.session_id == session_id)
        query = select(messages).where(*mine, messages.c.id > (earlier.last if earlier is not None else 0))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(messages.c.id))).all()
        turns = [Turn(row.id, read_message(row)) for row in rows]
        room = tokens - (earlier.tokens if earlier is not None else 0)
        return list(overflowing(turns, room, tokens // 2))[:_AT_ONCE]

    async def _opened(self, tenant: str, session_id: str) -> ChatModel | None:
        """The model that answered last in the session: what is said there has been shown to it before."""
        last = select(runs.c.model).where(runs.c.tenant == tenant, runs.c.session_id == session_id)
        async with self._database.read() as connection:
            name = await connection.scalar(last.order_by(runs.c.id.desc()).limit(1))
        try:
            return await self._model(name) if name is not None else None
        except Exception as error:  # noqa: BLE001 - it is not offered any more, or cannot be opened
            _log.warning("a conversation is summed up without its model", reason=str(error))
            return None
