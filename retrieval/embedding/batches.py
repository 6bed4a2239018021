"""How texts are put into batches for a model."""

from collections.abc import Sequence

BATCH_TOKENS = 256
"""Padded tokens of a batch. On two cores the time a token was the same at 256, 512 and 1,024 and grew beyond (larger
batches leave the caches); the smallest lets a query that comes in between wait least, some 25 ms."""

BATCH_TEXTS = 16


def plan_batches(lengths: Sequence[int], *, tokens: int = BATCH_TOKENS, texts: int = BATCH_TEXTS) -> list[list[int]]:
    """Indices into ``lengths``, in batches of like lengths, longest first, so that little is padded.

    Every index is in exactly one batch; a batch holds at most ``texts`` texts and, unless it is a single text, at most
    ``tokens`` tokens once padded to its longest.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = not batches or len(batches[-1]) >= texts or longest * (len(batches[-1]) + 1) > tokens
        if full:
            longest = lengths[index]
            batches.append([])
        batches[-1].append(index)
    return batches
