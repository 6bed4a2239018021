"""Carrying an index from one store to another."""

from __future__ import annotations

from collections.abc import Callable

from retrieval.errors import RetrievalError
from retrieval.vectors.layout import WRITTEN_AT_ONCE
from retrieval.vectors.port import IndexSpec, VectorStore

Progress = Callable[[int, int], None]


async def move(
    index: str,
    source: VectorStore,
    target: VectorStore,
    spec: IndexSpec | None = None,
    progress: Progress | None = None,
) -> int:
    """Copy every point of an index into the same index of another store, and check that it has arrived.

    BM25 weights are made anew at the target, from the text that each point carries. The source is left as it is; the
    caller drops it once the service reads from the target. Cut off at any moment, the same call completes the copy:
    points keep their ids, so those that were there already are replaced by themselves.

    Args:
        index: Its name, the same in both.
        source: Store to read from.
        target: Store to write to.
        spec: Layout at the target; the source's when not given.
        progress: Called after each page with the points copied so far and those there were at the start.

    Returns:
        How many points the target holds.

    Raises:
        CollectionNotFound: The source has no such index.
        RetrievalError: The target holds other points than the source: somebody wrote to one of them meanwhile, or the
            target had some before.
    """
    await target.create(index, spec or await source.spec(index))
    total, copied, after = await source.count(index), 0, None
    while True:
        points, after = await source.scroll(index, None, WRITTEN_AT_ONCE, after)
        await target.upsert(index, points)
        copied += len(points)
        if progress:
            progress(copied, total)
        if after is None:
            break
    arrived, present = await target.count(index), await source.count(index)
    if not arrived == present == copied:
        raise RetrievalError(
            f"Index {index!r}: {copied} points were copied, the source holds {present} and the target {arrived}. "
            "Stop whatever writes to them, drop the index at the target and move it again."
        )
    return arrived
