"""Starting a run anew that has failed: the same request, under the same authority, as another run.

What the failed one has done is done, and the new one knows nothing of it: its calls have keys of their own. So where
something was done, whoever asks has to say that it may be done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import SecretStr

from agent.errors import RunHasActed, RunNotOver
from agent.idempotency import RequestKey
from agent.journal.journal import Journal
from agent.journal.record import RunRecord, RunStore
from agent.journal.replay import acted
from agent.run import RunRequest
from agent.starting import Starts
from records.principal import Principal

ROUTE = "/v1/runs/{run_id}/retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A call that a run has made and that changed something (``done``), or may have (``unknown``)."""

    tool: str
    effect: str
    arguments: Mapping[str, Any]
    outcome: Literal["done", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The run that was started in the place of another, and what that one had done."""

    run_id: str
    session_id: str
    deeds: Sequence[Deed]


class Retries:
    """Starts runs anew."""

    def __init__(self, starts: Starts, store: RunStore, journal: Journal) -> None:
        self._starts = starts
        self._store = store
        self._journal = journal

    async def retry(
        self,
        principal: Principal,
        run_id: str,
        *,
        force: bool = False,
        key: RequestKey | None = None,
        token: SecretStr | None = None,
    ) -> Retried:
        """Start the run anew, in its session. Asked again within a day, it is the same new run, unless ``key`` differs.

        Args:
            force: What the run has done may be done again.
            token: What the asker is known by at back ends: that of the failed run was not kept.

        Raises:
            RunNotFound: It is not one of the principal's runs.
            RunNotOver: It has not failed, and was not cancelled.
            RunHasActed: It has changed something, and nobody said ``force``.
            AgentRunError: The new run cannot begin.
        """
        record = await self._store.get(principal, run_id)
        if record.result is None:
            raise RunNotOver("the run has not ended; cancel it, or wait for its end")
        if record.status == "completed":
            raise RunNotOver("the run has completed: ask anew instead")
        steps = sorted(await self._journal.load(record.claim), key=lambda step: step.seq)
        deeds = [
            Deed(
                tool=str(step.intent["name"]),
                effect=str(step.intent["effect"]),
                arguments=step.intent["arguments"],
                outcome="unknown" if step.result is None or step.result["failure"] == "unknown" else "done",
            )
            for step in acted(steps)
        ]
        if deeds and not force:
            done = ", ".join(f"{deed.tool} ({deed.outcome})" for deed in deeds)
            raise RunHasActed(f"the run has acted, and a new one may act again: {done}; say `force` if it may", deeds)
        request = replace(RunRequest.recorded(record.request), session_id=record.session_id, retry_of=record.id)
        once = key or RequestKey(
            tenant=principal.tenant, principal=principal.id, route=ROUTE, key=f"retry of {record.id}", digest=record.id
        )
        started, session_id = await self._starts.start(
            authority(record, principal), request, once, queued=True, token=token
        )
        return Retried(run_id=started, session_id=session_id, deeds=deeds)


def authority(record: RunRecord, principal: Principal) -> Principal:
    """Who the new run acts for: its asker, with what it was allowed then and is allowed still."""
    then = record.asker
    # An administrator may whatever there is, so that what both may is what the other may.
    if "admin" in principal.scopes:
        scopes, groups = then.scopes, then.groups
    elif "admin" in then.scopes:
        scopes, groups = principal.scopes, principal.groups
    else:
        scopes, groups = then.scopes & principal.scopes, then.groups & principal.groups
    return replace(principal, groups=groups, roles=then.roles & principal.roles, scopes=scopes)
