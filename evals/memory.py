"""Is what somebody said found again when it is asked for, many conversations later?

    python -m evals.memory DATA_DIR [--json] [--budget TOKENS] [--show N]

DATA_DIR holds conversations of several people (``memory_NAME.json``, a line of JSON each, as in the memory part of the
Berkeley Function-Calling Leaderboard), ``questions.jsonl`` and ``answers.jsonl``. All messages of a person are
remembered, each as a record of its own. ``recall@k`` is the share of questions for which the message that holds the
answer is among the first k, ``answer@k`` for which one of the first k has a right answer in it; ``in budget`` counts
what is recalled in that many tokens. The two baselines search the same messages by the same embeddings alone, and by
BM25 alone.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from memory.index import MemoryIndex
from memory.memory import Memory
from memory.recall import Mode
from memory.records import Draft, Subject
from records.database import Database
from records.principal import Principal
from retrieval.embedding.factory import DEFAULT_EMBEDDER, open_embedder
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.tenanted import TenantedStore

DEPTHS = (1, 3, 5, 10)
MODES: Sequence[Mode] = ("dense", "bm25", "hybrid")
NAMES = {"dense": "dense alone", "bm25": "BM25 alone", "hybrid": "Cairn"}
_PARTS = re.compile(r"\.\.\.|…")
_EVERYTHING = 10**9


@dataclass(frozen=True)
class Case:
    """A question of a person, what answers it, and what he said that does."""

    person: str
    question: str
    answers: Sequence[str]
    said: str


def conversations(folder: Path) -> dict[str, list[str]]:
    """The messages of each person, in their order."""
    found = {}
    for path in sorted(folder.glob("memory_*.json")):
        rows = _rows(path)
        said = [message["content"].strip() for row in rows for turn in row["question"] for message in turn]
        found[path.stem.removeprefix("memory_")] = list(dict.fromkeys(said))
    return found


def cases(folder: Path) -> list[Case]:
    """All questions."""
    answers = {row["id"]: row for row in _rows(folder / "answers.jsonl")}
    return [
        Case(row["scenario"], row["question"][0][0]["content"], answer["ground_truth"], answer["source"])
        for row in _rows(folder / "questions.jsonl")
        if (answer := answers[row["id"]])
    ]


def holding(case: Case, messages: Sequence[str]) -> set[str]:
    """The messages that the answer is quoted from: those with all parts of the quotation, else those with one."""
    parts = [part for part in map(_plain, _PARTS.split(case.said)) if part]
    counts = {message: sum(part in _plain(message) for part in parts) for message in messages}
    most = max(counts.values())
    return {message for message, count in counts.items() if count == most and most}


async def measure(folder: Path, budget: int, show: int) -> dict[str, Any]:
    """All figures: for each method and measure the share of questions."""
    told, asked = conversations(folder), cases(folder)
    found: dict[str, dict[str, list[bool]]] = {NAMES[mode]: {} for mode in MODES}
    skipped = 0
    with tempfile.TemporaryDirectory() as place:
        memory, close = await _open(Path(place))
        try:
            for person, messages in told.items():
                await _remember(memory, person, messages)
            for case in asked:
                gold = holding(case, told[case.person])
                skipped += not gold
                if not gold:
                    continue
                for mode in MODES:
                    measured = await _ask(memory, case, gold, mode, budget)
                    for name, right in measured.items():
                        found[NAMES[mode]].setdefault(name, []).append(right)
                    if show and mode == "hybrid" and not measured["recall@5"]:
                        show -= 1
                        print(f"missed: {case.question}\n    {next(iter(gold))[:160]}", file=sys.stderr)
        finally:
            await close()
    shares = {method: {name: sum(each) / len(each) for name, each in rows.items()} for method, rows in found.items()}
    total = sum(map(len, told.values()))
    return {"questions": len(asked) - skipped, "without a source": skipped, "messages": total, "methods": shares}


async def _ask(memory: Memory, case: Case, gold: set[str], mode: Mode, budget: int) -> dict[str, bool]:
    who = Principal(id=case.person)
    ranked = await memory.recaller.recall(who, case.question, _EVERYTHING, limit=max(DEPTHS), mode=mode)
    fitting = await memory.recaller.recall(who, case.question, budget, limit=max(DEPTHS), mode=mode)
    texts, kept = ([each.version.content.text for each in some] for some in (ranked, fitting))
    found = {f"recall@{k}": not gold.isdisjoint(texts[:k]) for k in DEPTHS}
    found |= {f"answer@{k}": _answered(case, texts[:k]) for k in DEPTHS}
    return found | {"in budget": not gold.isdisjoint(kept), "answer in budget": _answered(case, kept)}


def _answered(case: Case, texts: Sequence[str]) -> bool:
    return any(f" {_plain(answer)} " in f" {_plain(text)} " for answer in case.answers for text in texts)


async def _remember(memory: Memory, person: str, messages: Sequence[str]) -> None:
    for message in messages:
        await memory.store.write(
            Principal(id=person), Draft(subject=Subject("user", person), kind="episode", text=message)
        )


async def _open(folder: Path) -> tuple[Memory, Any]:
    database = await Database.open(f"sqlite:///{folder}/cairn.db")
    store = TenantedStore(await EdgeStore.open(folder / "vectors"))
    embedder = await open_embedder(DEFAULT_EMBEDDER, Path(tempfile.gettempdir()) / "cairn-eval-models", 2)

    async def close() -> None:
        for part in (embedder, store, database):
            await part.aclose()

    return Memory.over(database, MemoryIndex(database, store, embedder)), close


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--budget", type=int, default=500, help="tokens that may be recalled (500)")
    parser.add_argument("--show", type=int, default=0, help="questions to show that Cairn does not find in five")
    options = parser.parse_args()
    result = asyncio.run(measure(options.data, options.budget, options.show))
    if options.json:
        print(json.dumps(result))
        return 0
    print(f"{result['questions']} questions over {result['messages']} messages, {options.budget} tokens", end="")
    print(f"; {result['without a source']} more whose source is in no message" if result["without a source"] else "")
    names = list(next(iter(result["methods"].values())))
    print(f"{'':12}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for method, shares in result["methods"].items():
        print(f"{method:12}" + "".join(f"{shares[name]:>{len(name) + 2}.3f}" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
