"""Measures of a ranking against judged documents; each is between 0 and 1."""

from collections.abc import Callable, Mapping, Sequence
from math import log2

Metric = Callable[[Sequence[str], Mapping[str, float]], float]


def recall(k: int) -> Metric:
    """The share of relevant documents among the first k."""
    return lambda ranking, relevant: len(set(ranking[:k]) & relevant.keys()) / len(relevant)


def all_found(k: int) -> Metric:
    """1 when every relevant document is among the first k."""
    return lambda ranking, relevant: float(relevant.keys() <= set(ranking[:k]))


def precision_at_1(ranking: Sequence[str], relevant: Mapping[str, float]) -> float:
    """1 when the first document is relevant."""
    return float(bool(ranking) and ranking[0] in relevant)


def ndcg(k: int) -> Metric:
    """Normalised discounted cumulative gain with linear gain, as trec_eval computes it."""

    def measure(ranking: Sequence[str], relevant: Mapping[str, float]) -> float:
        gained = sum(relevant.get(key, 0.0) / log2(rank + 1) for rank, key in enumerate(ranking[:k], start=1))
        best = sorted(relevant.values(), reverse=True)[:k]
        return gained / sum(grade / log2(rank + 1) for rank, grade in enumerate(best, start=1))

    return measure


def average_precision(ranking: Sequence[str], relevant: Mapping[str, float]) -> float:
    """Precision at the rank of each relevant document, averaged; one that was not found counts 0."""
    found, total = 0, 0.0
    for rank, key in enumerate(ranking, start=1):
        if key in relevant:
            found += 1
            total += found / rank
    return total / len(relevant)


METRICS: Mapping[str, Metric] = {
    "recall@5": recall(5),
    "recall@10": recall(10),
    "recall@20": recall(20),
    "all@5": all_found(5),
    "all@10": all_found(10),
    "P@1": precision_at_1,
    "nDCG@10": ndcg(10),
    "MAP": average_precision,
}
