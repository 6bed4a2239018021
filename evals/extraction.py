"""Is what people say of themselves noticed, and nothing else?

    python -m evals.extraction DATA_DIR [--show]

Reads ``extraction.txt`` beside this file: messages, and what is worth remembering of each. Its first two parts were
looked at while the patterns were written; the last was written after that, and run once. DATA_DIR holds questions of
others that are hardly ever worth remembering (banking77 and HWU64, as for ``evals.cache``): of these it says how often
something is remembered all the same, for somebody to judge.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from evals.cache import banking77, hwu64
from memory.extraction import Extractor
from memory.records import Draft
from records.principal import Principal

SAYINGS = Path(__file__).with_name("extraction.txt")
SOMEBODY = Principal(id="somebody")


@dataclass(frozen=True)
class Saying:
    """A message, and what is worth remembering of it: the kind, and words that the record has."""

    part: str
    message: str
    worth: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Score:
    """How many drafts were right and wrong, and how many are missing."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of drafts that are right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of what was worth remembering that was found."""
        return self.right / max(1, self.right + self.missed)


def sayings() -> Iterator[Saying]:
    """All of the file, in its order."""
    part = ""
    for line in SAYINGS.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            part = line.removeprefix("== ")
        elif line and not line.startswith("# "):
            message, *worth = (each.strip() for each in line.split("|"))
            pairs = [
                (kind.strip(), words.strip()) for kind, _, words in (each.partition(":") for each in worth if each)
            ]
            yield Saying(part, message.replace("\\n", "\n"), pairs)


def judged(saying: Saying) -> tuple[Sequence[Draft], Score]:
    """What is drafted of a message, and how good that is."""
    drafts = Extractor().drafts(SOMEBODY, message=saying.message)
    left = list(saying.worth)
    for draft in drafts:
        found = [each for each in left if each[0] == draft.kind and each[1].casefold() in draft.text.casefold()]
        if found:
            left.remove(found[0])
    right = len(saying.worth) - len(left)
    return drafts, Score(right, len(drafts) - right, len(left))


def scores() -> dict[str, Score]:
    """How good the drafts of each part are."""
    found: dict[str, Score] = {}
    for saying in sayings():
        _, score = judged(saying)
        before = found.get(saying.part, Score(0, 0, 0))
        found[saying.part] = Score(before.right + score.right, before.wrong + score.wrong, before.missed + score.missed)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--show", action="store_true", help="what is wrong or missing, and what is drafted of others'")
    options = parser.parse_args()
    print("| messages | worth remembering | precision | recall |\n|---|---|---|---|")
    for part, score in scores().items():
        print(f"| {part} | {score.right + score.missed} | {score.precision:.3f} | {score.recall:.3f} |")
    for name, traffic in (("banking77", banking77(options.data)), ("HWU64", hwu64(options.data))):
        texts = [asked.text for asked in traffic]
        drafts = [draft for text in texts for draft in Extractor().drafts(SOMEBODY, message=text)]
        print(f"\n{name}: {len(drafts)} drafts of {len(texts)} messages")
        if options.show:
            print(*(f"  {draft.kind}: {draft.text}" for draft in drafts), sep="\n")
    if options.show:
        for saying in sayings():
            found, score = judged(saying)
            if score.wrong or score.missed:
                print(f"\n{saying.message!r}: {list(saying.worth)} but {[(each.kind, each.text) for each in found]}")


if __name__ == "__main__":
    main()
