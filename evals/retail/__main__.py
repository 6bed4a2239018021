"""Every task's calls, made by a scripted model through the whole service: ``python -m evals.retail DATA``.

DATA is a folder with ``db.json`` and ``tasks.json`` (tau2's retail domain). A back end over HTTP holds the data,
``cairn serve`` has its operations as tools, and the state that a task leaves must be the one that its calls leave when
they are made directly.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from evals.retail.replay import stage, telling
from evals.retail.tasks import load

AT_ONCE = 8
ALL_AUTO = {"CAIRN_POLICY": '[{"tool": "*", "autonomy": "auto"}]'}


async def replay(folder: Path) -> int:
    """Tell all tasks; gives the number of those that went wrong."""
    data, tasks = load(folder)
    tellings = [telling(data, task, task.id) for task in tasks]
    gate = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory() as scratch:
        async with stage(Path(scratch), str(folder), "keyed", settings=ALL_AUTO) as opened:
            (service,) = opened.fleet.members
            await service.start()
            await service.ready()
            started = time.perf_counter()

            async def told(number: int) -> bool:
                each = tellings[number]
                each.released.set()
                async with gate:
                    await opened.tell(each, copies=1)
                verdict = await opened.verdict(each)
                heard = each.heard
                good = heard.end == "run.completed" and heard.complete
                if not good or verdict.differs or verdict.doubled or verdict.lost:
                    print(f"task {each.task.id}: {heard.end}, {verdict}; {heard.frames[-1].data[:300]}")
                    return False
                return True

            right = await asyncio.gather(*(told(number) for number in range(len(tellings))))
            seconds = time.perf_counter() - started
    calls = sum(len(task.calls) for task in tasks)
    effects = sum(each.expected.effects.total() for each in tellings)
    refused = sum(each.expected.refused.total() for each in tellings)
    print(f"{sum(right)} of {len(tasks)} tasks leave the shop as their calls do when they are made directly")
    print(f"{calls} calls, {effects} effects, {refused} refused by the shop either way; {seconds:.1f} s")
    return len(tasks) - sum(right)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    return 1 if asyncio.run(replay(options.data)) else 0


if __name__ == "__main__":
    sys.exit(main())
