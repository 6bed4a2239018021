"""All speed measurements, one after the other: ``python -m bench [names] [--json FILE]``; see bench/README.md."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

BENCHES = {
    "streaming": ("bench.streaming", ["--json"]),
    "durability": ("bench.durability", ["--json"]),
    "ingestion": ("bench.ingestion", ["--json"]),
    "memory": ("bench.ingestion", ["--files", "10000", "--rounds", "1", "--memory", "--json"]),
    "vectors": ("bench.vectors", []),
    "search": ("bench.search", []),
    "cache": ("bench.cache", []),
}
"""The module of each, and the arguments with which its last line is JSON."""

QUICK = {
    "streaming": ["--quick", "--rounds", "1"],
    "durability": ["--runs", "50", "--rounds", "1"],
    "ingestion": ["--files", "50", "--rounds", "1"],
    "memory": ["--files", "1000"],
    "vectors": ["--sizes", "10000"],
    "search": ["--sizes", "10000"],
    "cache": ["--sizes", "10000"],
}


def run(name: str, *, quick: bool) -> dict[str, object]:
    """Run one in a process of its own, so that none leaves anything behind for the next; gives its figures."""
    module, arguments = BENCHES[name]
    command = [sys.executable, "-m", module, *arguments, *(QUICK[name] if quick else [])]
    shown = last = ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(last, end="", flush=True)
            shown, last = shown + last, line
    if process.returncode != 0:
        raise SystemExit(f"bench: {name} failed; its errors are above")
    figures: dict[str, object] = json.loads(last)
    print(
        "" if shown else "\n".join(f"{figure:28} {value}" for figure, value in figures.items()), end="\n\n", flush=True
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(BENCHES)}; all when none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a measurement")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no bench {sorted(unknown)[0]!r}; there are: {', '.join(BENCHES)}")
    figures = {}
    for name in arguments.names or BENCHES:
        print(f"## {name}\n", flush=True)
        figures[name] = run(name, quick=arguments.quick)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
