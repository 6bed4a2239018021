"""Chaos: the retail tasks while everything goes wrong at once. ``python -m evals.chaos [DATA] [--kills N] [--seed S]``.

Three services, each with a back end of another kind: it acts once for each idempotency key; it can only tell what it
did; neither, so that people have to look. Requests to the back ends meet faults, every request of a client is sent
twice, every approval is clicked by ten people at once, and the services are killed with SIGKILL while all this goes on.
Then the back ends' own logs are counted: nothing may have been done twice, nothing left out, no story be told with a
gap. Without DATA a small shop is made up.

With ``--postgres`` and ``--redis``, the URLs of databases that may be written to, each of the three is not one service
but three that share their stores, of which one is killed at a time; the others take over its runs.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from evals.chaos.lane import Orders, Toll, fight
from evals.chaos.report import broken, table
from evals.retail.generated import generated
from evals.retail.tasks import load

MODES = ("keyed", "reconciled", "blind")


async def chaos(data: str, kills: int, seed: int, scratch: Path, shared: tuple[str, str] | None = None) -> list[Toll]:
    """Fight in all three modes, with so many kills in all.

    Args:
        shared: The URLs of a PostgreSQL and a Redis database.
    """
    world, tasks = generated() if data == "-" else load(Path(data))
    # Three times as many services have the machine for themselves.
    gate = asyncio.Semaphore(len(MODES) if shared is None else 1)

    async def fought(mode: str) -> Toll:
        orders = Orders(mode=mode, data=data, kills=-(-kills // len(MODES)), seed=seed)
        if shared is not None:
            orders = replace(orders, members=3, settings=sharing(*shared))
        async with gate:
            return await fight(orders, scratch / mode, world, tasks)

    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(fought(mode)) for mode in MODES]
    return [lane.result() for lane in lanes]


def sharing(postgres: str, redis: str) -> dict[str, str]:
    """Settings by which services share their stores. Nothing is searched for here, so no Qdrant has to be there."""
    return {
        "CAIRN_DATABASE_URL": postgres,
        "CAIRN_REDIS_URL": redis,
        "CAIRN_RETRIEVAL__QDRANT_URL": "http://127.0.0.1:1",
        "CAIRN_SECRET": "c" * 64,
        "PYTHONWARNINGS": "ignore",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="-", help="folder with db.json and tasks.json")
    parser.add_argument("--kills", type=int, default=510, help="at least so many, over all three services")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", metavar="URL")
    parser.add_argument("--redis", metavar="URL")
    options = parser.parse_args()
    if (options.postgres is None) != (options.redis is None):
        parser.error("--postgres and --redis go together")
    shared = (options.postgres, options.redis) if options.postgres else None
    with tempfile.TemporaryDirectory() as scratch:
        tolls = asyncio.run(chaos(options.data, options.kills, options.seed, Path(scratch), shared))
    print(table(tolls))
    failures = broken(tolls)
    print("\n".join(["", *failures[:50], f"{len(failures)} tasks did not come out as promised"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
