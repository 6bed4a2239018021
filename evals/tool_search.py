"""Are the tools that a question needs among those that a model is shown?

    python -m evals.tool_search DATA_DIR [--json] [--show N]

DATA_DIR holds ``tools/openapi/NAME_oas.json``, OpenAPI documents with questions beside them (``NAME.json``, RestBench's
layout: the endpoints that an answer takes), and ``tools/bfcl/*.jsonl`` of the Berkeley Function-Calling Leaderboard,
whose functions are put into one large set. Every method ranks the same descriptions; the two baselines are BM25 alone
and the same embeddings alone. ``recall@k`` is the share of needed tools among the first k, ``all@k`` how often none is
missing.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from cairn import ApiKey, HttpApi, from_openapi
from evals.tool_choice import tool_spec
from models.extractive.words import terms
from models.messages import ToolSpec
from retrieval.embedding.factory import open_embedder
from retrieval.embedding.port import Embedder
from tools.openapi.document import read_document
from tools.selection import HybridSelector
from tools.tool_index import Bm25, text_of

DEPTHS = (5, 10, 24)
Rank = Callable[[str, Sequence[ToolSpec]], Awaitable[list[ToolSpec]]]


@dataclass(frozen=True)
class Case:
    """A question and the names of the tools that it needs."""

    question: str
    needed: frozenset[str]


@dataclass(frozen=True)
class Set:
    """Tools and questions about them."""

    name: str
    tools: Sequence[ToolSpec]
    cases: Sequence[Case]


def openapi_sets(folder: Path) -> Iterator[Set]:
    """The OpenAPI documents with questions."""
    for path in sorted(folder.glob("*_oas.json")):
        name = path.name.removesuffix("_oas.json")
        schemes = read_document(path).security_schemes.values()
        keys = [ApiKey("none", name=each["name"], place=each["in"]) for each in schemes if each["type"] == "apiKey"]
        specs = [tool.spec for tool in from_openapi(path, HttpApi("https://api.example", auth=keys))]
        by_endpoint = {_endpoint(spec.description.rpartition("(")[2].rstrip(")")): spec.name for spec in specs}
        rows = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        cases = [
            Case(row["query"], frozenset(by_endpoint[_endpoint(each)] for each in row["solution"])) for row in rows
        ]
        yield Set(name, specs, cases)


def function_set(folder: Path) -> Set:
    """All functions of the leaderboard in one set; of several with one name, the first."""
    specs: dict[str, ToolSpec] = {}
    cases = []
    for name in ("simple_python", "multiple"):
        rows, answers = (_rows(folder / f"{name}{part}.jsonl") for part in ("", ".answers"))
        for row, answer in zip(rows, answers, strict=True):
            for given in row["function"]:
                specs.setdefault(given["name"], tool_spec(given))
            needed = frozenset(name for call in answer["ground_truth"] for name in call)
            cases.append(Case(row["question"][0][-1]["content"], needed))
    return Set("functions", list(specs.values()), cases)


def by_words(tools: Sequence[ToolSpec]) -> Rank:
    """BM25 alone."""
    index = Bm25([terms(text_of(spec)) for spec in tools])

    async def rank(question: str, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        return _sorted(tools, index.scores(terms(question)))

    return rank


async def by_meaning(tools: Sequence[ToolSpec], embedder: Embedder) -> Rank:
    """Embeddings alone, of name and description, which suits them better than all that a tool says."""
    vectors = await embedder.embed([f"{spec.name}: {spec.description}" for spec in tools])

    async def rank(question: str, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        [asked] = await embedder.embed([question])
        return _sorted(tools, vectors @ asked)

    return rank


def _sorted(tools: Sequence[ToolSpec], scores: Any) -> list[ToolSpec]:
    return [tools[index] for index in np.argsort(-np.asarray(scores), kind="stable")]


async def measure(given: Set, method: str, rank: Rank, show: int) -> dict[str, Any]:
    """Recall of one method over one set."""
    found: dict[str, list[float]] = {f"{what}@{k}": [] for k in DEPTHS for what in ("recall", "all")}
    for case in given.cases:
        names = [spec.name for spec in await rank(case.question, given.tools)]
        for k in DEPTHS:
            share = len(case.needed & set(names[:k])) / len(case.needed)
            found[f"recall@{k}"].append(share)
            found[f"all@{k}"].append(float(share == 1))
        if show > 0 and not case.needed <= set(names[: DEPTHS[-1]]):
            show -= 1
            print(
                f"{method} | {case.question} | missing", {n: names.index(n) for n in case.needed if n not in names[:24]}
            )
    means = {name: round(float(np.mean(values)), 3) for name, values in found.items()}
    return {"set": given.name, "tools": len(given.tools), "questions": len(given.cases), "method": method, **means}


def _endpoint(text: str) -> str:
    """Method and path; the questions name the path's fields in their own way."""
    return re.sub(r"\{[^}]*\}", "{}", text.strip())


def _rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="print so many questions with a tool missing")
    parser.add_argument("--embedding", default="all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, default=Path(".cairn/models"), help="where the embedding model is kept")
    options = parser.parse_args()
    embedder = await open_embedder(options.embedding, options.cache, threads=2)
    folder = options.data / "tools"
    results = []
    for given in (*openapi_sets(folder / "openapi"), function_set(folder / "bfcl")):
        methods: dict[str, Rank] = {
            "BM25": by_words(given.tools),
            "dense": await by_meaning(given.tools, embedder),
            "Cairn": HybridSelector(embedder.embed).ranked,
        }
        for method, rank in methods.items():
            results.append(await measure(given, method, rank, options.show if method == "Cairn" else 0))
    await embedder.aclose()
    if options.json:
        print(json.dumps(results))
        return
    for result in results:
        shares = "  ".join(f"{key} {value:.3f}" for key, value in result.items() if "@" in key)
        print(f"{result['set']:10} {result['tools']:4} tools {result['questions']:4} questions  ", end="")
        print(f"{result['method']:6} {shares}")


if __name__ == "__main__":
    asyncio.run(main())
