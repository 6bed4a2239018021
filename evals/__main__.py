"""All evaluations over one folder of data sets: ``python -m evals DATA [NAME …]``; see evals/README.md."""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDERS = {
    "ingestion": "ingestion",
    "retrieval": "retrieval",
    "answers": "",
    "tool_choice": "",
    "tool_search": "",
    "cache": "semantic_cache",
    "retail": "tools/retail",
    "memory": "memory",
    "extraction": "semantic_cache",
}
"""Name of an evaluation, and the part of the data that it is given."""


def main() -> int:
    """Run each evaluation in a process of its own; 1 when one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(FOLDERS)}; all of them when none is given"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(FOLDERS):
        parser.error(f"there is no evaluation {', '.join(sorted(unknown))}; there are {', '.join(FOLDERS)}")
    if not options.data.is_dir():
        parser.error(f"{options.data} is not a folder")
    failed = []
    for name in options.names or FOLDERS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"evals.{name}", str(options.data / FOLDERS[name])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
