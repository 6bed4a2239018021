"""Whether an answer is given again, step by step, each step in words.

The same words first: one row, by its key. Then what is near: the index proposes, the record says what is there, what
was learnt says how likely it is to be right. Then the documents: whether the answer is still what they say.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from retrieval.cache.answers import Consulted, Reason
from retrieval.cache.candidates import NEIGHBOURS, Kept
from retrieval.cache.entries import Entries, Proposed, Standing
from retrieval.cache.experience import Considered
from retrieval.cache.freshness import Freshness, Search
from retrieval.cache.index import AnswerIndex, Vector
from retrieval.cache.learning import Learning
from retrieval.cache.words import normal

_SHOWN = 120


class Decider:
    """Decides about questions.

    Args:
        since: The time before which an answer is too old.
        drawn: Whether an exact repeat is checked; the experience draws for the others.
    """

    def __init__(
        self,
        entries: Entries,
        index: AnswerIndex,
        learning: Learning,
        since: Callable[[], datetime],
        drawn: Callable[[], bool],
    ) -> None:
        self._entries = entries
        self._index = index
        self._learning = learning
        self._freshness = Freshness(entries)
        self._since = since
        self._drawn = drawn

    async def decide(self, asked: Consulted, search: Search | None) -> Consulted:
        """Look for an answer; without a search whether it is fresh is not looked into, and nothing is deleted."""
        standing = await self._entries.exact(asked.scope, normal(asked.question), self._since())
        if standing is None:
            return await self._near(_step(asked, "it was not asked before in these words"), search)
        asked = _step(asked, "it was asked before in these words")
        fresh, how = await self._look(asked, standing, search, exact=True)
        asked = _step(asked, how)
        if not fresh:
            return await self._near(asked, search)
        found = replace(asked, answer=standing.answer, decided_by="exact", score=1.0, threshold=1.0)
        return _checked(replace(found, check=self._drawn()))

    async def neighbours(self, tenant: str, scope: str, vector: Vector) -> Proposed:
        """What was answered near a question, within the scope that has this key."""
        near = await self._index.nearest(tenant, scope, vector, NEIGHBOURS)
        if not near:
            return Proposed((), None)
        proposed = await self._entries.kept(tenant, scope, near, self._since())
        if missing := near.keys() - {each.id for each in proposed.kept}:
            self._index.doubt(tenant, missing)
        return proposed

    async def _near(self, asked: Consulted, search: Search | None) -> Consulted:
        scope = asked.scope
        experience = await self._learning.of(scope.tenant)
        vector = await self._index.vector(asked.question)
        near = await self.neighbours(scope.tenant, scope.key, vector)
        considered = experience.consider(asked.question, near.kept)
        score, threshold = considered.score, considered.threshold
        asked = replace(asked, vector=vector, considered=considered, score=score, threshold=threshold)
        asked = _step(asked, _said_of(near.kept))
        if considered.best is None or not considered.hit:
            return _unsure(asked, considered, experience.threshold)
        best = considered.best.nearest
        asked = _step(asked, f"{_likely(considered)}: “{_short(best.question)}”")
        standing = near.nearest
        if standing is None or standing.answer.id != best.id:
            standing = await self._entries.standing(scope, best.id, self._since())
        fresh, how = False, "it was deleted meanwhile"
        if standing is not None:
            fresh, how = await self._look(asked, standing, search, exact=False)
        if standing is None or not fresh:
            return missed(replace(asked, considered=_without(considered, best)), "stale", how)
        return _checked(_step(replace(asked, answer=standing.answer, check=considered.check), how))

    async def _look(
        self, asked: Consulted, standing: Standing, search: Search | None, *, exact: bool
    ) -> tuple[bool, str]:
        """Whether an answer is still what the documents say, and that in words; if it is not, it is deleted."""
        if standing.revision == standing.now:
            return True, "the documents have not changed since"
        if search is None:
            return True, "documents have changed since; whether it would be answered from others now is left open"
        tenant, words = asked.scope.tenant, normal(asked.question)
        if await self._freshness.holds(tenant, standing, words, search, exact=exact):
            return True, "documents have changed since, but none that it would be answered from now"
        await self._entries.remove(tenant, standing.answer.id)
        self._learning.count(tenant, "stale")
        return False, "documents have changed since, and it would be answered from others now: that answer is deleted"


def missed(asked: Consulted, reason: Reason, step: str) -> Consulted:
    """No answer, and why."""
    return replace(_step(asked, step), reason=reason)


def _step(asked: Consulted, step: str) -> Consulted:
    return replace(asked, decision=(*asked.decision, step))


def _checked(found: Consulted) -> Consulted:
    return _step(found, "drawn to be checked: it is answered afresh and compared") if found.check else found


def _unsure(asked: Consulted, considered: Considered, threshold: float) -> Consulted:
    if not considered.found:
        return missed(asked, "empty", "there is nothing to give")
    if considered.best is None:
        rules = sorted({rule for each in considered.found for rule in each.disagreements})
        return missed(asked, "refused", f"rules speak against each of them: {', '.join(rules)}")
    if threshold > 1:
        return missed(asked, "learning", "too little was compared yet to tell what is likely enough")
    return missed(asked, "unsure", _likely(considered))


def _likely(considered: Considered) -> str:
    return f"the best is right with probability {considered.score:.3f}, {considered.threshold:.3f} is needed"


def _said_of(kept: Sequence[Kept]) -> str:
    # Not what they say: others asked them, and nothing of theirs may be given yet.
    if not kept:
        return "no question near it was answered"
    return f"{len(kept)} near it were answered, the nearest with a cosine of {kept[0].similarity:.2f}"


def _short(question: str) -> str:
    return question if len(question) <= _SHOWN else f"{question[: _SHOWN - 1]}…"


def _without(considered: Considered, stale: Kept) -> Considered:
    """What was found but for an answer that is stale: that it may differ from a fresh one says nothing."""
    found = [each for each in considered.found if each.nearest.id != stale.id]
    return replace(considered, found=found, best=None, hit=False, check=False)
