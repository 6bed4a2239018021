"""How often may an answer be given again, and how often is that wrong?

    python -m evals.cache DATA_DIR [--seed N] [--limit N] [--json]

DATA_DIR holds ``hwu64_train/*.csv`` (NLU-Evaluation-Data: utterances with their slots) and ``banking77_train.csv``. The
questions of a set come as traffic, in random order: each is asked of the cache, and answered anew where the cache has
no answer, which is then kept and compared with what the cache would have answered. Truth is strict: an answer is right
for a question of the same intent *and* the same slot values.

The first table says how well questions are told apart: each way gives each question a score, everything is answered
anew, and the threshold is chosen afterwards, which nobody can do in operation. The second says what happens then: the
operator allows a share of wrong answers, and the cache finds its threshold itself, from nothing.
"""

import argparse
import asyncio
import csv
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from numpy.typing import NDArray

from retrieval.cache.candidates import NEIGHBOURS, Kept
from retrieval.cache.disagreements import RULES, disagreements
from retrieval.cache.experience import Experience, least_after
from retrieval.cache.words import words
from retrieval.embedding.factory import open_embedder

SHARES = (0.01, 0.02, 0.05, 0.1)
THRESHOLDS = (0.80, 0.85, 0.90, 0.95)
_SLOT = re.compile(r"\[\s*([^:\]]+?)\s*:\s*([^\]]+?)\s*\]")
_OPPOSITE_ENDINGS = (("on", "off"), ("up", "down"), ("up", "dim"), ("set", "remove"), ("createoradd", "remove"))
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A question and what its answer depends on."""

    text: str
    intent: str
    slots: tuple[tuple[str, str], ...] = ()

    @property
    def answer(self) -> str:
        """The same for questions that have the same answer."""
        return json.dumps([self.intent, self.slots])


def hwu64(folder: Path) -> list[Asked]:
    """Utterances with their slots."""
    found = []
    for path in sorted(folder.glob("hwu64*/*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter=";"):
                text = _SLOT.sub(lambda match: match[2], row["answer_from_user"] or row["answer_from_anno"])
                slots = sorted((k.lower(), v.lower()) for k, v in _SLOT.findall(row["answer_annotation"]))
                found.append(Asked(text, path.stem, tuple(slots)))
    return found


def banking77(folder: Path) -> list[Asked]:
    """Questions with their intents."""
    found = []
    for path in sorted(folder.glob("banking77*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [Asked(row["text"], row["category"]) for row in csv.DictReader(file)]
    return found


def are_opposite(one: str, other: str) -> bool:
    """Whether two intents differ in nothing but their direction, as their names have it."""
    return any(
        a.endswith(x) and b.endswith(y) and a.removesuffix(x) == b.removesuffix(y)
        for a, b in ((one, other), (other, one))
        for x, y in _OPPOSITE_ENDINGS
    )


class Index:
    """The questions kept so far, searched exactly."""

    def __init__(self, size: int, dimension: int) -> None:
        self._vectors: Vectors = np.zeros((size, dimension), dtype=np.float32)
        self.kept: list[tuple[Asked, Kept]] = []

    def nearest(self, vector: Vectors, count: int) -> list[Kept]:
        """Those nearest to a question, the nearest first."""
        if not self.kept:
            return []
        cosines = self._vectors[: len(self.kept)] @ vector
        first = np.argpartition(-cosines, count)[:count] if count < len(cosines) else np.arange(len(cosines))
        first = first[np.argsort(-cosines[first])]
        return [replace(self.kept[at][1], similarity=float(cosines[at])) for at in first]

    def add(self, asked: Asked, vector: Vectors) -> None:
        """Keep a question with its answer."""
        self._vectors[len(self.kept)] = vector
        place = str(len(self.kept))
        self.kept.append((asked, Kept(id=place, question=asked.text, answer=asked.answer, similarity=1.0)))

    def note(self, kept: Kept, *, right: bool, score: float | None = None) -> None:
        """Count an outcome of a kept question."""
        asked, entry = self.kept[int(kept.id)]
        least = entry.least if score is None else least_after(entry, score, wrong=not right)
        entry = replace(entry, right=entry.right + right, wrong=entry.wrong + (not right), least=least)
        self.kept[int(kept.id)] = asked, entry


Outcome = tuple[float, bool, bool]
"""The score of the answer that would be given again, whether it is right, and whether it is an opposite's."""


class Cairn:
    """Cairn's cache, with everything answered anew."""

    def __init__(self) -> None:
        self._experience = Experience(0.05)

    def score(self, asked: Asked, index: Index, vector: Vectors) -> tuple[float, Kept] | None:
        """The best answer's score, learnt from at once."""
        found = self._experience.consider(asked.text, index.nearest(vector, NEIGHBOURS))
        right = {each.nearest.answer: each.nearest.answer == asked.answer for each in found.found}
        self._experience.compared(found, asked.text, right)
        for each in found.found:
            index.note(each.nearest, right=right[each.nearest.answer])
        return (found.score, found.best.nearest) if found.best is not None else None


class Cosine:
    """The nearest question's answer, by its cosine."""

    def score(self, asked: Asked, index: Index, vector: Vectors) -> tuple[float, Kept] | None:
        """The cosine."""
        del asked
        nearest = index.nearest(vector, 1)
        return (nearest[0].similarity, nearest[0]) if nearest else None


class LearnedPairs:
    """A verifier over the five nearest, each judged as a pair: the best simple way that we know of."""

    def __init__(self) -> None:
        self._weights = np.zeros(5 + len(RULES))
        self._squares = np.full_like(self._weights, 0.01)

    def score(self, asked: Asked, index: Index, vector: Vectors) -> tuple[float, Kept] | None:
        """The likeliest pair's probability, learnt from at once."""
        nearest = index.nearest(vector, 5)
        if not nearest:
            return None
        rows = np.array([self._features(asked.text, each, nearest) for each in nearest])
        scores = 1 / (1 + np.exp(-rows @ self._weights))
        for row, each, score in zip(rows, nearest, scores, strict=True):
            gradient = (score - (each.answer == asked.answer)) * row
            self._squares += gradient**2
            self._weights -= 0.15 * gradient / np.sqrt(self._squares)
        best = int(np.argmax(scores))
        return float(scores[best]), nearest[best]

    def _features(self, asked: str, kept: Kept, nearest: Sequence[Kept]) -> list[float]:
        one, other = frozenset(words(asked)), frozenset(words(kept.question))
        near = 5 * (kept.similarity - 0.7)
        against = disagreements(asked, kept.question)
        overlap = len(one & other) / max(1, len(one | other))
        agreeing = sum(each.answer == kept.answer for each in nearest) / len(nearest)
        return [1.0, near, near * near, 2 * overlap, 2 * agreeing, *(float(rule in against) for rule in RULES)]


Way = Callable[[Asked, Index, Vectors], "tuple[float, Kept] | None"]


def told_apart(way: Way, traffic: Sequence[tuple[Asked, Vectors]]) -> list[Outcome]:
    """What a way says of every question, all being answered anew."""
    index = Index(len(traffic), len(traffic[0][1]))
    outcomes = []
    for asked, vector in traffic:
        if (judged := way(asked, index, vector)) is not None:
            score, kept = judged
            other = index.kept[int(kept.id)][0]
            outcomes.append((score, kept.answer == asked.answer, are_opposite(asked.intent, other.intent)))
        index.add(asked, vector)
    return outcomes


def in_operation(max_error: float, traffic: Sequence[tuple[Asked, Vectors]], seed: int) -> dict[str, Any]:
    """What the cache does by itself when the operator allows a share of wrong answers."""
    experience = Experience(max_error, draw=random.Random(seed).random)
    index = Index(len(traffic), len(traffic[0][1]))
    hits: list[tuple[int, bool]] = []
    opposites = 0
    for place, (asked, vector) in enumerate(traffic):
        considered = experience.consider(asked.text, index.nearest(vector, NEIGHBOURS))
        if considered.hit and considered.best is not None:
            kept = considered.best.nearest
            hits.append((place, kept.answer == asked.answer))
            opposites += are_opposite(asked.intent, index.kept[int(kept.id)][0].intent)
            if not considered.check:
                experience.passed(considered)
                continue
        right = {each.nearest.answer: each.nearest.answer == asked.answer for each in considered.found}
        experience.compared(considered, asked.text, right)
        for each in considered.found:
            served = considered.hit and each is considered.best
            index.note(each.nearest, right=right[each.nearest.answer], score=considered.score if served else None)
        if not considered.hit:
            index.add(asked, vector)
    late = [right for place, right in hits if place >= len(traffic) / 2]
    return {
        "allowed": max_error,
        "hit_rate": round(len(hits) / len(traffic), 3),
        "wrong": round(sum(not right for _, right in hits) / max(1, len(hits)), 4),
        "late_hit_rate": round(2 * len(late) / len(traffic), 3),
        "late_wrong": round(late.count(False) / max(1, len(late)), 4),
        "first_hit": hits[0][0] if hits else None,
        "opposites": opposites,
    }


def at_shares(outcomes: Sequence[Outcome], asked: int) -> dict[str, float]:
    """For each share of wrong answers the hit rate at the lowest threshold that keeps it."""
    best = dict.fromkeys(SHARES, 0.0)
    wrong = 0
    for hits, (_, right, _) in enumerate(sorted(outcomes, key=lambda each: -each[0]), 1):
        wrong += not right
        best |= {share: hits / asked for share in SHARES if wrong / hits <= share}
    return {f"{share:.0%}": round(rate, 3) for share, rate in best.items()}


def static(outcomes: Sequence[Outcome], asked: int) -> Iterator[dict[str, Any]]:
    """What fixed thresholds of cosine do."""
    for threshold in THRESHOLDS:
        hits = [each for each in outcomes if each[0] >= threshold]
        yield {
            "threshold": threshold,
            "hit_rate": round(len(hits) / asked, 3),
            "wrong": round(sum(not right for _, right, _ in hits) / max(1, len(hits)), 4),
            "opposites": sum(opposite for _, _, opposite in hits),
        }


async def vectors_of(traffic: Sequence[Asked]) -> Vectors:
    """Their embeddings, by the built-in model."""
    with tempfile.TemporaryDirectory() as folder:
        embedder = await open_embedder("all-MiniLM-L6-v2", Path(folder), os.cpu_count() or 1)
        vectors = np.array(await embedder.embed([asked.text for asked in traffic]), dtype=np.float32)
        await embedder.aclose()
    return vectors


def evaluate(asked: Sequence[Asked], vectors: Vectors, seed: int) -> dict[str, Any]:
    """All of it over one set."""
    order = random.Random(seed).sample(range(len(asked)), len(asked))
    traffic = [(asked[place], vectors[place]) for place in order]
    ways: dict[str, Way] = {
        "cosine": Cosine().score,
        "learned pairs, top 5": LearnedPairs().score,
        "Cairn": Cairn().score,
    }
    outcomes = {name: told_apart(way, traffic) for name, way in ways.items()}
    seen: set[str] = set()
    repeated = 0
    for each, _ in traffic:
        repeated += each.answer in seen
        seen.add(each.answer)
    return {
        "asked": len(traffic),
        "had_before": round(repeated / len(traffic), 3),
        "told_apart": {name: at_shares(found, len(traffic)) for name, found in outcomes.items()},
        "static": list(static(outcomes["cosine"], len(traffic))),
        "in_operation": [in_operation(share, traffic, seed) for share in SHARES],
    }


def report(name: str, result: dict[str, Any]) -> str:
    """The tables of one set."""
    shares = [f"{share:.0%}" for share in SHARES]
    lines = [
        f"{name}: {result['asked']:,} questions, {result['had_before']:.1%} of which had their answer given before",
        "",
        "| told apart: hit rate at wrong ≤ | " + " | ".join(shares) + " |",
        "|---|" + "--:|" * len(shares),
        *(
            f"| {way} | " + " | ".join(f"{rate[x]:.3f}" for x in shares) + " |"
            for way, rate in result["told_apart"].items()
        ),
        "",
        "| in operation | hit rate | wrong among hits | in the second half | wrong there | opposites |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| cosine ≥ {row['threshold']:.2f} | {row['hit_rate']:.3f} | {row['wrong']:.3f} | | | {row['opposites']} |"
            for row in result["static"]
        ),
        *(
            f"| Cairn, at most {row['allowed']:.0%} wrong | {row['hit_rate']:.3f} | {row['wrong']:.3f} "
            f"| {row['late_hit_rate']:.3f} | {row['late_wrong']:.3f} | {row['opposites']} |"
            for row in result["in_operation"]
        ),
    ]
    return "\n".join(lines)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only so many questions of each set")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for name, read in (("hwu64", hwu64), ("banking77", banking77)):
        asked = read(options.data)
        if options.limit:
            asked = random.Random(options.seed).sample(asked, min(options.limit, len(asked)))
        if asked:
            results[name] = evaluate(asked, await vectors_of(asked), options.seed)
            if not options.json:
                print(report(name, results[name]), end="\n\n", flush=True)
    if not results:
        print(f"{options.data} has neither hwu64*/*.csv nor banking77*.csv", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
