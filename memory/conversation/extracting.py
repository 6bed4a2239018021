"""A summary without a model: the sentences that carry most, each with the message that it stands in.

Sentences are scored by what one has to remember of a conversation: numbers, names, decisions and wishes. The same
messages give the same summary. The lines of an earlier summary are sentences like any others, so that a summary that
grows old keeps what is most worth keeping.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from memory.conversation.turns import Turn
from models.extractive.sentences import plain, split_sentences
from models.tokens import estimate_tokens

EXTRACTIVE = "extractive"

_LINE = re.compile(r"^- \((\d+)\) (user|assistant|tool [\w.-]+): (.*)$")
_CITED = re.compile(r"\s?\[\d{1,3}\]")
_NUMBER = re.compile(r"\d")
_NAME = re.compile(r"(?<=[\w,;:)] )[A-ZÄÖÜ][\w-]+|\b[A-Z]{2,}\b")
_DECIDES = re.compile(
    r"\b(?:decid\w+|agree[ds]?|confirm\w*|chose[n]?|choose|cancel\w*|order(?:ed)?|book(?:ed)?|paid|refund\w*|deliver\w*"
    r"|instead|no longer|not any more|from now on|always|never|must|need[s]?|want[s]?|prefer\w*|like[s]?|please"
    r"|allergic|deadline|due|until|because|my name|call me|i am|i'm|i live|we will|i will|i'll|let's|promise\w*|wrong"
    r"|actually|entschied\w*|möchte|bitte|nicht mehr|immer|nie|vereinbart|bestellt|storniert)\b",
    re.IGNORECASE,
)
_MOST = 240
_LONG_WORDS, _SHORT_WORDS = 40, 3
_SENTENCES = 60


@dataclass(frozen=True, slots=True)
class _Line:
    message: int
    place: int
    who: str
    text: str

    @property
    def score(self) -> float:
        words = len(self.text.split())
        score = 2.0 * bool(_NUMBER.search(self.text)) + min(2, len(_NAME.findall(self.text)))
        score += 3.0 * bool(_DECIDES.search(self.text)) + 1.5 * (self.who == "user")
        # A turn's first sentence says what it is about.
        score += 1.0 * (self.place == 0) - 1.0 * (words > _LONG_WORDS) - 3.0 * (words < _SHORT_WORDS)
        return score

    def __str__(self) -> str:
        return f"- ({self.message}) {self.who}: {self.text}"


def extract(earlier: str, turns: Sequence[Turn], limit: int) -> str:
    """The lines that say most of the turns, and of what an earlier summary says, in at most ``limit`` tokens."""
    lines = list(_distinct([*_earlier(earlier), *(line for turn in turns for line in _lines(turn))]))
    kept: set[int] = set()
    used = 0
    # Of equals the later one.
    for index in sorted(range(len(lines)), key=lambda index: (-lines[index].score, -index)):
        tokens = estimate_tokens(str(lines[index])) + 1
        if used + tokens <= limit:
            kept.add(index)
            used += tokens
    return "\n".join(str(lines[index]) for index in sorted(kept))


def _earlier(text: str) -> Iterator[_Line]:
    for number, line in enumerate(text.splitlines()):
        found = _LINE.match(line)
        if found:
            yield _Line(int(found[1]), 1, found[2], found[3])
        elif line.strip():  # a model's
            yield _Line(0, number, "user", _shortened(line.strip().removeprefix("- ")))


def _lines(turn: Turn) -> Iterator[_Line]:
    message = turn.message
    for call in message.tool_calls:
        yield _Line(turn.id, 0, f"tool {call.name}", _shortened(f"called with {call.arguments or '{}'}"))
    if message.role == "tool":
        yield _Line(turn.id, 0, f"tool {message.name or 'result'}", _shortened(_flat(message.content)))
        return
    sentences = split_sentences(plain(_CITED.sub("", message.content)))
    for place, sentence in enumerate(sentences[:_SENTENCES]):
        if any(map(str.isalnum, sentence)):
            yield _Line(turn.id, place, message.role, _shortened(sentence))


def _flat(content: str) -> str:
    """A result on one line; an object as its fields."""
    try:
        data = json.loads(content)
    except ValueError:
        return content
    return "; ".join(f"{name}: {value}" for name, value in data.items()) if isinstance(data, dict) else content


def _distinct(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Of lines that say the same the first."""
    seen: set[str] = set()
    for line in lines:
        key = " ".join(re.findall(r"\w+", line.text.casefold()))
        if key not in seen:
            seen.add(key)
            yield line


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"
