"""Whether an answer that was kept is still what the documents say.

An answer goes with the documents that it draws on, in the transaction that changes them. What is left to find out is
whether others have come that it would draw on now. That is asked only when the collection has changed since.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from retrieval.cache.agreement import cited
from retrieval.cache.answers import CachedAnswer
from retrieval.cache.entries import Entries, Standing
from retrieval.documents import Source

Search = Callable[[], Awaitable[Sequence[Source]]]
"""The sources that the question asked would be answered from now, best first."""

_REMEMBERED = 10_000


class Freshness:
    """Looks whether answers are still what the documents say."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._checked: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    async def holds(self, tenant: str, standing: Standing, asked: str, search: Search, *, exact: bool) -> bool:
        """Whether the answer may be given to the question asked.

        Args:
            asked: The question as an exact repeat has it.
            search: Asked once at most.
            exact: Whether the answer was made for this very question. Then all that is found in its place has to be
                what it was made from, and it needs no look again before the collection changes again. For another
                question other documents may well be found: what matters is whether one is new.
        """
        answer, now = standing.answer, standing.now
        if standing.revision == now:
            return True
        if self._checked.get((tenant, answer.id, asked)) == now:
            return True
        if not await self._entries.draws_on_what_is_live(tenant, answer.sources):
            return False
        found = list(await search())[: places(answer)]
        known = {(source.document_id, source.version) for source in answer.sources}
        others = sorted({source.document_id for source in found if (source.document_id, source.version) not in known})
        if others and (exact or await self._entries.any_newer(tenant, others, standing.revision)):
            return False
        if exact:
            await self._entries.confirm(tenant, answer.id, now)
        else:
            self._remember((tenant, answer.id, asked), now)
        return True

    def _remember(self, key: tuple[str, str, str], revision: int) -> None:
        self._checked[key] = revision
        self._checked.move_to_end(key)
        while len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)


def places(answer: CachedAnswer) -> int | None:
    """How far down its sources the answer goes: to the last that it cites; None for one that cites nothing.

    One that cites nothing ("the documents don't say") may be made obsolete by whatever is found.
    """
    named = {id(source) for source in cited(answer)}
    return max((place for place, source in enumerate(answer.sources, 1) if id(source) in named), default=None)
