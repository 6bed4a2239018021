"""Streaming through the whole service against a bare passthrough and LangChain's create_agent, in one run.

    python -m bench.streaming [--rounds 3] [--quick] [--json]

What a token costs is the slope between replies of 200 and of 1,000 tokens, what a request costs is the intercept; both
in processor time of the server and its children. Servers run on one core, upstream and load on the other. The
contenders take turns in every round; figures are medians over the rounds, ratios are to ``passthrough``.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.streaming_processes import Load, Server, cairn_server, reference_server, upstream

SHORT, LONG = 200, 1000
INTERVAL = 20_000
"""Microseconds between the tokens of a paced reply: the speed of a large model."""

QUESTION = "How long may I return the opened headphones of order 000000?"
"""The load tool puts a number in the zeros' place, so that no question is asked twice."""

BASELINE = "passthrough"
MODELS = [f"openai:mock-{name}" for name in (
    f"n{SHORT}-i0", f"n{LONG}-i0", f"n{SHORT}-i{INTERVAL}", f"n{LONG}-i{INTERVAL}", "n20-i0", "tool-n20-i0",
    f"n100-i{INTERVAL}",
)]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server, and how it is asked."""

    name: str
    server: Server
    path: str
    last: str
    model_prefix: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def ask(self, model: str, *, concurrency: int, total: int) -> Load:
        """Have the model answer ``total`` times."""
        body = {"message": QUESTION, "model": self.model_prefix + model, **self.extra}
        return self.server.load(self.path, body, concurrency=concurrency, total=total, first="tok0", last=self.last)


Row = dict[str, float]
Measure = Callable[[Contender], Row]


def slope(interval: int, *, concurrency: int, total: int) -> Measure:
    """Processor time per token and per request."""

    def measure(contender: Contender) -> Row:
        short, long = (
            contender.ask(f"mock-n{tokens}-i{interval}", concurrency=concurrency, total=total)
            for tokens in (SHORT, LONG)
        )
        token = (long.cpu - short.cpu) / total / (LONG - SHORT)
        return {
            "us_per_token": token * 1e6,
            "ms_per_request": (short.cpu / total - SHORT * token) * 1e3,
            "errors": short.errors + long.errors,
        }

    return measure


def first_token(total: int) -> Measure:
    """Time to the first token, one request at a time."""

    def measure(contender: Contender) -> Row:
        load = contender.ask("mock-n20-i0", concurrency=1, total=total)
        return {"first_token_p50_ms": load.first_p50, "errors": load.errors}

    return measure


def crowd(streams: int) -> Measure:
    """Many streams at once, 100 tokens each at the speed of a large model (50 tokens a second)."""

    def measure(contender: Contender) -> Row:
        load = contender.ask(f"mock-n100-i{INTERVAL}", concurrency=streams, total=streams)
        return {
            "errors": load.errors,
            "tokens_per_s": 100 * load.replies / load.seconds,
            "first_token_p50_ms": load.first_p50,
            "first_token_p99_ms": load.first_p99,
            "cpu_us_per_token": load.cpu / (100 * streams) * 1e6,
        }

    return measure


def tool_turn(total: int) -> Measure:
    """What a turn with a tool call adds to a request: the call, the tool, and the second call of the model."""

    def measure(contender: Contender) -> Row:
        without, with_tool = (
            contender.ask(model, concurrency=4, total=total) for model in ("mock-n20-i0", "mock-tool-n20-i0")
        )
        return {
            "ms_per_tool_turn": (with_tool.cpu - without.cpu) / total * 1e3,
            "errors": without.errors + with_tool.errors,
        }

    return measure


@dataclass(frozen=True, slots=True)
class Part:
    """One table."""

    title: str
    measure: Measure
    contenders: Sequence[Contender]


def run(part: Part, rounds: int) -> dict[str, Row]:
    """Medians of every figure of every contender, and of its ratio to the baseline's (``×name``)."""
    taken: dict[str, list[Row]] = {contender.name: [] for contender in part.contenders}
    for number in range(rounds):
        for contender in part.contenders if number % 2 == 0 else reversed(part.contenders):
            _progress(f"{part.title}: round {number + 1} of {rounds}, {contender.name}")
            taken[contender.name].append(part.measure(contender))
    _progress("")
    return {name: _medians(rows, taken.get(BASELINE, [])) for name, rows in taken.items()}


def _medians(rows: Sequence[Row], baseline: Sequence[Row]) -> Row:
    result: Row = {}
    for name in rows[0]:
        if name == "errors":
            result[name] = sum(row[name] for row in rows)
            continue
        result[name] = round(statistics.median(row[name] for row in rows), 3)
        if baseline:
            ratios = [row[name] / base[name] for row, base in zip(rows, baseline, strict=True) if base[name] > 0]
            result[f"×{name}"] = round(statistics.median(ratios), 3) if ratios else float("nan")
    return result


def table(title: str, rows: dict[str, Row]) -> str:
    """The part's figures as Markdown; a ratio stands behind the figure it belongs to."""
    columns = [name for name in next(iter(rows.values())) if not name.startswith("×")]
    lines = [f"### {title}", "", f"| | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for name, row in rows.items():
        cells = [f"{row[c]:g}" + (f" ({row['×' + c]:.2f}×)" if f"×{c}" in row else "") for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def bench(rounds: int, *, quick: bool) -> Iterator[tuple[str, dict[str, Row]]]:
    """Start everything, measure every part; gives the title and the figures of each as soon as it has them."""
    size = 1 if quick else 2
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(upstream())
        bare = Contender(
            name=BASELINE,
            server=stack.enter_context(reference_server("passthrough", url)),
            path="/chat",
            last="[DONE]",
        )
        service = stack.enter_context(cairn_server(url, MODELS, data))
        cairn, without = (
            Contender(
                name=name,
                server=service,
                path="/v1/chat/stream",
                last="run.completed",
                model_prefix="openai:",
                extra={"tools": ["get_weather"], **extra},
            )
            for name, extra in (("cairn", {}), ("cairn, retrieval off", {"retrieval": "off"}))
        )
        agent = Contender(
            name="create_agent",
            server=stack.enter_context(reference_server("create_agent", url)),
            path="/chat",
            last="[DONE]",
        )
        three, four = (bare, cairn, agent), (bare, cairn, without, agent)
        for contender in four:
            for model in MODELS:
                if model.endswith("-i0"):
                    contender.ask(model.removeprefix("openai:"), concurrency=4, total=20)
        parts = [
            Part("CPU, 20 ms between tokens", slope(INTERVAL, concurrency=20 * size, total=20 * size), three),
            Part("CPU, tokens as fast as they can be read", slope(0, concurrency=8, total=40 * size), four),
            Part("Time to the first token, one request at a time", first_token(50 * size), four),
            Part("A turn with a tool", tool_turn(40 * size), (cairn, agent)),
            Part("500 streams at once, 50 tokens a second each", crowd(500), three),
        ]
        for part in parts:
            yield part.title, run(part, rounds)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="half the requests")
    parser.add_argument("--json", action="store_true", help="a last line of JSON after the tables")
    arguments = parser.parse_args()
    results = {}
    for title, rows in bench(arguments.rounds, quick=arguments.quick):
        results[title] = rows
        print(table(title, rows), flush=True)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
