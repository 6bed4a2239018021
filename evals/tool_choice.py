"""Does the built-in model pick the right tool, with the right arguments, and none when none fits?

    python evals/tool_choice.py DATA_DIR [--json] [--show N]

DATA_DIR holds ``tools/bfcl/*.jsonl`` of the Berkeley Function-Calling Leaderboard (v4): `simple_python` (one function
offered), `multiple` (several) and `irrelevance` (none of those offered fits). A call is right when its function is and
every argument is one of the accepted values, none missing and none too many, as the leaderboard's own checker says.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.extractive import ExtractiveModel
from models.messages import Message, ModelRequest, ToolCall, ToolSpec
from retrieval.embedding.factory import open_embedder

SETS = ("simple_python", "multiple", "irrelevance")
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}


async def calls_of(model: ExtractiveModel, row: Mapping[str, Any]) -> list[ToolCall]:
    """What the model calls when it is asked a row's question."""
    request = ModelRequest(
        messages=tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["question"][0]),
        tools=tuple(tool_spec(given) for given in row["function"]),
    )
    return [item async for item in model.stream(request) if isinstance(item, ToolCall)]


def outcome(calls: Sequence[ToolCall], accepted: Sequence[Any] | None) -> str:
    """What became of one question: `right`, `wrong arguments`, `wrong tool`, `asked or silent`, `called`."""
    if accepted is None:
        return "called" if calls else "right"
    if not calls:
        return "asked or silent"
    (name, wanted), *_ = accepted[0].items()
    if any(call.name != name for call in calls):
        return "wrong tool"
    if len(calls) == len(accepted) == 1 and fits(json.loads(calls[0].arguments), wanted):
        return "right"
    return "wrong arguments"


def fits(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether arguments are among the accepted ones; an accepted "" marks an argument that may be left out."""
    if not set(given) <= set(wanted):
        return False
    return all(_accepted(given[name], values) if name in given else "" in values for name, values in wanted.items())


def tool_spec(given: Mapping[str, Any]) -> ToolSpec:
    """A function of the leaderboard as a tool, its type names put right."""
    return ToolSpec(name=given["name"], description=given["description"], parameters=_json_schema(given["parameters"]))


def _accepted(value: Any, values: Sequence[Any]) -> bool:
    return any(_same(value, one) for one in values)


def _same(value: Any, accepted: Any) -> bool:
    if isinstance(accepted, dict) and isinstance(value, dict):
        return fits(value, accepted)
    if isinstance(accepted, list) and isinstance(value, list):
        return len(value) == len(accepted) and all(map(_same, value, accepted))
    if isinstance(accepted, str) and isinstance(value, str):
        return _folded(value) == _folded(accepted)
    return bool(value == accepted)


def _folded(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign not in " ,./-_*^'\"")


def _json_schema(given: Any) -> Any:
    if isinstance(given, dict):
        named = {key: _json_schema(value) for key, value in given.items()}
        kind = named.get("type")
        return {**named, "type": _TYPES.get(kind, kind)} if isinstance(kind, str) else named
    return [_json_schema(one) for one in given] if isinstance(given, list) else given


def _rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


async def measure(model: ExtractiveModel, folder: Path, name: str, show: int) -> dict[str, Any]:
    """The share of each outcome over one set."""
    rows = _rows(folder / f"{name}.jsonl")
    answers = folder / f"{name}.answers.jsonl"
    truth = {row["id"]: row["ground_truth"] for row in _rows(answers)} if answers.is_file() else {}
    counts: Counter[str] = Counter()
    for row in rows:
        calls = await calls_of(model, row)
        result = outcome(calls, truth.get(row["id"]))
        counts[result] += 1
        if result != "right" and show > 0:
            show -= 1
            made = [f"{call.name} {call.arguments}" for call in calls]
            print(result, "|", row["question"][0][-1]["content"], "|", made, "| accepted", truth.get(row["id"]))
    return {"set": name, "questions": len(rows), **{key: round(count / len(rows), 3) for key, count in counts.items()}}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="print so many failures of each set")
    parser.add_argument("--embedding", default="all-MiniLM-L6-v2")
    parser.add_argument("--cache", type=Path, default=Path(".cairn/models"), help="where the embedding model is kept")
    options = parser.parse_args()
    embedder = await open_embedder(options.embedding, options.cache, threads=2)
    model = ExtractiveModel(embedder.embed)
    results = [await measure(model, options.data / "tools" / "bfcl", name, options.show) for name in SETS]
    await embedder.aclose()
    if options.json:
        print(json.dumps(results))
        return
    for result in results:
        shares = ", ".join(f"{key} {value:.3f}" for key, value in sorted(result.items()) if isinstance(value, float))
        print(f"{result['set']:15} {result['questions']:4} questions: {shares}")


if __name__ == "__main__":
    asyncio.run(main())
