"""What the cache learns from answers that were made afresh, and from complaints."""

from collections.abc import Mapping
from dataclasses import replace

from retrieval.cache.agreement import Agreement
from retrieval.cache.answers import Consulted, FreshAnswer
from retrieval.cache.candidates import Kept
from retrieval.cache.deciding import Decider
from retrieval.cache.entries import Entries
from retrieval.cache.experience import Considered, least_after
from retrieval.cache.index import AnswerIndex
from retrieval.cache.learning import Learning
from retrieval.cache.outcomes import Outcomes, Verdict
from retrieval.cache.words import normal
from retrieval.embedding.port import Embedder


class Comparer:
    """Compares, and notes what came of it in the entries and in what was learnt."""

    def __init__(
        self,
        entries: Entries,
        outcomes: Outcomes,
        index: AnswerIndex,
        learning: Learning,
        decider: Decider,
        embedder: Embedder,
    ) -> None:
        self._entries = entries
        self._outcomes = outcomes
        self._index = index
        self._learning = learning
        self._decider = decider
        self._agreement = Agreement(embedder)

    async def compare(self, consulted: Consulted, fresh: FreshAnswer) -> str | None:
        """Learn which of the answers that were looked at are right; gives the name (``Kept.answer``) of one that is."""
        tenant, considered = consulted.scope.tenant, consulted.considered
        found = considered.found if considered is not None else ()
        kept = await self._entries.answers(consulted.scope, [each.nearest.id for each in found])
        if (given := consulted.answer) is not None:
            kept[given.id] = given
        same = await self._agreement.of(fresh, kept)
        if given is not None:
            if consulted.check:
                self._learning.count(tenant, "checked", *(() if same[given.id] else ("wrong",)))
            if consulted.decided_by == "exact" and not same[given.id]:
                await self._entries.remove(tenant, given.id)
        if considered is None:
            return None
        # One that chance did not draw was not wanted: somebody asked for a fresh answer, and was not given this one.
        considered = replace(_only(considered, same), hit=considered.hit and consulted.check)
        right = {each.nearest.answer: same[each.nearest.id] for each in considered.found}
        self._learning.learn(tenant, lambda experience: experience.compared(considered, consulted.question, right))
        await self._outcomes.note(tenant, _verdicts(considered, same))
        ordered = sorted(considered.found, key=lambda each: each is not considered.best)
        return next((each.nearest.answer for each in ordered if same[each.nearest.id]), None)

    async def complain(self, tenant: str, entry_id: str, question: str | None, score: float) -> None:
        """Learn that an entry's answer was wrong for a question; if it is the entry's own, the entry goes."""
        where = await self._entries.whereabouts(tenant, entry_id)
        if where is None:
            return
        scope, answered = where
        if question is None or normal(question) == normal(answered):
            await self._entries.remove(tenant, entry_id)
            return
        experience = await self._learning.of(tenant)
        near = await self._decider.neighbours(tenant, scope, await self._index.vector(question))
        considered = experience.consider(question, near.kept)
        given = next((each for each in considered.found if each.nearest.id == entry_id), None)
        if given is not None:
            wrong = replace(considered, best=given, score=score)
            self._learning.learn(tenant, lambda experience: experience.complained(wrong))
        entry = next((each for each in near.kept if each.id == entry_id), None)
        if entry is not None:
            least = least_after(entry, score, wrong=True)
            await self._outcomes.note(tenant, [Verdict(id=entry_id, right=False, least=least)])


def _only(considered: Considered, known: Mapping[str, bool]) -> Considered:
    """What was found, without the answers that could not be compared."""
    found = [each for each in considered.found if each.nearest.id in known]
    best = considered.best if considered.best is not None and considered.best.nearest.id in known else None
    return replace(considered, found=found, best=best)


def _verdicts(considered: Considered, same: Mapping[str, bool]) -> list[Verdict]:
    """What the comparison says of each entry. Only one that would have been given is held to a higher score."""
    return [
        Verdict(
            id=each.nearest.id,
            right=same[each.nearest.id],
            least=_least(considered, each.nearest, right=same[each.nearest.id]),
        )
        for each in considered.found
    ]


def _least(considered: Considered, kept: Kept, *, right: bool) -> float:
    given = considered.hit and considered.best is not None and considered.best.nearest is kept
    return least_after(kept, considered.score, wrong=not right) if given else kept.least
