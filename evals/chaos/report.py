"""What chaos came to, as a table; and whether that is what was promised."""

from collections import Counter
from collections.abc import Callable, Sequence

from evals.chaos.lane import COPIES, Toll
from evals.retail.tasks import ANSWER

_WIDTH = 34


def table(tolls: Sequence[Toll]) -> str:
    """Kills, faults and outcomes, a column for each mode and one for all."""
    columns = [*(toll.mode for toll in tolls), "all"]
    lines = [f"{'':{_WIDTH}}" + "".join(f"{name:>12}" for name in columns)]

    def add(name: str, count: Callable[[Toll], int]) -> None:
        counts = [count(toll) for toll in tolls]
        lines.append(f"{name:{_WIDTH}}" + "".join(f"{number:>12}" for number in (*counts, sum(counts))))

    add("tasks told", lambda toll: len(toll.told))
    add(f"requests sent, each {COPIES} times", lambda toll: len(toll.told) * COPIES)
    add("kills (SIGKILL)", lambda toll: toll.kills)
    add("  while starting", lambda toll: toll.kills_while_starting)
    add("  that met a task, summed over tasks", lambda toll: sum(each.kills for each, _ in toll.told))
    add("tasks that met no kill", lambda toll: sum(each.kills == 0 for each, _ in toll.told))
    for fault in sorted({fault for toll in tolls for fault in toll.faults}):
        add(f"fault: {fault}", lambda toll, fault=fault: toll.faults.get(fault, 0))  # type: ignore[misc]
    add("connections lost by clients", lambda toll: sum(each.heard.breaks for each, _ in toll.told))
    add("approvals: outcome unknown", lambda toll: _kinds(toll)["outcome_unknown"])
    add("approvals: call", lambda toll: _kinds(toll)["call"])
    add("effects due", lambda toll: sum(each.expected.effects.total() for each, _ in toll.told))
    add("effects doubled", lambda toll: sum(verdict.doubled for _, verdict in toll.told))
    add("effects lost", lambda toll: sum(verdict.lost for _, verdict in toll.told))
    add("shops that differ", lambda toll: sum(verdict.differs for _, verdict in toll.told))
    add(
        "approvals that two clicks won",
        lambda toll: sum(won > 1 for each, _ in toll.told for won in each.heard.won.values()),
    )
    add("requests with two runs", lambda toll: sum(len(each.heard.runs) > 1 for each, _ in toll.told))
    add("streams not complete", lambda toll: sum(not each.heard.complete for each, _ in toll.told))
    add("runs without their answer", lambda toll: sum(each.heard.answer != "".join(ANSWER) for each, _ in toll.told))
    spent = "  ".join(f"{toll.mode} {toll.seconds:.0f} s (a start {toll.start_seconds:.1f} s)" for toll in tolls)
    return "\n".join([*lines, "", spent])


def broken(tolls: Sequence[Toll]) -> list[str]:
    """What was promised and not kept, a line for each task that shows it."""
    lines = []
    for toll in tolls:
        for each, verdict in toll.told:
            heard = each.heard
            kept = {
                "an effect doubled": not verdict.doubled,
                "an effect lost": not verdict.lost,
                "another shop": not verdict.differs,
                "no complete stream": heard.complete,
                "no answer": (heard.end, heard.answer) == ("run.completed", "".join(ANSWER)),
                "an approval won twice": all(won <= 1 for won in heard.won.values()),
                "two runs": len(heard.runs) == 1,
                "met no kill": each.kills > 0,
            }
            faults = [name for name, held in kept.items() if not held]
            if faults:
                lines.append(f"task {each.key} run {heard.run_id}, {heard.end} last: {', '.join(faults)}")
    return lines


def _kinds(toll: Toll) -> Counter[str]:
    return Counter(kind for each, _ in toll.told for kind in each.heard.kinds.values())
