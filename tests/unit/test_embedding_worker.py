"""Heavy calls take turns, urgent ones first."""

import asyncio
import threading
from functools import partial

import pytest

from retrieval.embedding.batches import plan_batches
from retrieval.embedding.worker import ROUTINE, URGENT, PriorityWorker


async def test_an_urgent_call_overtakes_what_waits_and_a_cancelled_one_never_runs() -> None:
    worker, gate, order = PriorityWorker("test"), threading.Event(), list[str]()
    first = worker.submit(ROUTINE, gate.wait)
    waiting = [worker.submit(ROUTINE, partial(order.append, f"routine {i}")) for i in range(3)]
    urgent = worker.submit(URGENT, lambda: order.append("urgent"))
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    gate.set()
    await asyncio.gather(first, urgent, *waiting, return_exceptions=True)
    await worker.aclose()
    assert order == ["urgent", "routine 0", "routine 2"]


async def test_a_failure_reaches_its_awaiter_and_the_thread_goes_on() -> None:
    worker = PriorityWorker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.submit(ROUTINE, lambda: 1 // 0)
    assert await worker.submit(ROUTINE, lambda: 7) == 7
    await worker.aclose()
    await worker.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        worker.submit(ROUTINE, lambda: 1)


def test_batches_hold_every_text_once_and_stay_within_their_bounds() -> None:
    lengths = [5, 300, 7, 7, 120, 256, 1, 1, 1, 90] * 5
    batches = plan_batches(lengths, tokens=512, texts=16)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= 16
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 512
    assert plan_batches([]) == []
