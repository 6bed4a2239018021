"""A process that carries out a run and kills itself on the way: ``python -m tests.support.dying_run FOLDER NUMBER``.

With the URLs of a PostgreSQL and of a Redis after that it works on those, among other processes.

The run answers, calls four tools at once, and answers again. NUMBER counts the moments around every write to the
journal and to the log, and around every effect; the process dies at that one, or ends well when there are fewer.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from agent.events import EventBody
from agent.journal.journal import Claim, Transition
from agent.log.encoding import RunEvent
from cairn import NOT_DONE, ToolContext, tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.runs import Bureau, own_stores, runs_over, shared_stores

BEFORE, AFTER = "First I look. ", "All of it is done."
SECONDS = 2.0
"""What a call may take; nobody takes over a run while one may still be on its way."""


class Death:
    """Comes at the moment with this number."""

    def __init__(self, number: int | None = None) -> None:
        self._left = number

    def moment(self) -> None:
        """One more moment at which the process may die."""
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Ledger:
    """A back end that keeps what was done to it, and under which keys; it knows nothing of our process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def post(self, kind: str, key: str) -> None:
        """Do it, whether or not it was done before."""
        with self._path.open("a") as file:
            file.write(f"{kind} {key}\n")

    def posted(self, kind: str) -> list[str]:
        """The keys under which it was done."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [key for done, key in (line.split() for line in lines) if done == kind]


def tools(ledger: Ledger, death: Death) -> Sequence[Any]:
    """One tool for each way in which a lost answer can be put right, and one that only reads."""

    def act(kind: str, context: ToolContext) -> str:
        death.moment()
        ledger.post(kind, context.idempotency_key)
        death.moment()
        return f"{kind} done"

    @tool
    async def look() -> str:
        """Look."""
        death.moment()
        return "seen"

    @tool(effect="write", autonomy="auto", idempotent=True, timeout=SECONDS)
    async def keyed(context: ToolContext) -> str:
        """The back end does it once for each key."""
        if context.idempotency_key in ledger.posted("keyed"):
            return "keyed done"
        return act("keyed", context)

    async def was_reported(context: ToolContext) -> Any:
        return "reported done" if context.idempotency_key in ledger.posted("reported") else NOT_DONE

    @tool(effect="write", autonomy="auto", reconcile=was_reported, timeout=SECONDS)
    async def reported(context: ToolContext) -> str:
        """The back end does it as often as it is asked, and says whether it did."""
        return act("reported", context)

    @tool(effect="irreversible", autonomy="auto", timeout=SECONDS)
    async def mute(context: ToolContext) -> str:
        """The back end does it as often as it is asked, and says nothing."""
        return act("mute", context)

    return look, keyed, reported, mute


def script(request: ModelRequest) -> list[ScriptItem]:
    """Text, four calls, and text again."""
    if request.messages[-1].role == "tool":
        return [AFTER[:5], AFTER[5:]]
    names = ("look", "keyed", "reported", "mute")
    return [BEFORE, *(ToolCall(id="c", name=name, arguments="{}") for name in names)]


@asynccontextmanager
async def bureau(folder: Path, death: Death, shared: Sequence[str] = ()) -> AsyncIterator[Bureau]:
    """Runs over the folder, or over a database and a Redis, that pass through moments of death."""
    ledger = Ledger(folder / "ledger")
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(shared_stores(*shared) if shared else own_stores(folder))
        opened = await stack.enter_async_context(runs_over(stores, ScriptedModel(script), tools(ledger, death)))
        _watch(opened, death)
        yield opened


def _watch(opened: Bureau, death: Death) -> None:
    journal, log = opened.runs._office.collaborators.journal, opened.log
    write, append = journal.write, log.append

    async def mortal_write(claim: Claim, transition: Transition) -> None:
        death.moment()
        await write(claim, transition)
        death.moment()

    async def mortal_append(run_id: str, bodies: Sequence[EventBody]) -> None:
        death.moment()
        await append(run_id, bodies)
        death.moment()

    journal.write, log.append = mortal_write, mortal_append  # type: ignore[method-assign]


async def follow(opened: Bureau, run_id: str, after: int = 0) -> list[RunEvent]:
    """What a client of the run sees until its stream ends."""
    return [event async for event in opened.runs.follow(run_id, after)]


async def main(folder: Path, number: int, shared: Sequence[str]) -> None:
    """Carry out one run; what its client sees goes to standard output, a line each."""
    async with bureau(folder, Death(number), shared) as opened:
        run_id, _ = await opened.start("Do it all.")
        async for event in opened.runs.follow(run_id):
            sys.stdout.buffer.write(event.data + b"\n")
            sys.stdout.buffer.flush()
        await opened.idle()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
