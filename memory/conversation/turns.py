"""The messages of a session as a summary takes them: those that the window may lose, and those that it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.messages import Message
from models.tokens import estimate_tokens


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a session and its id there."""

    id: int
    message: Message


def overflowing(turns: Sequence[Turn], tokens: int, kept: int) -> Sequence[Turn]:
    """The oldest turns, once all of them are more than ``tokens``: all but the exchanges that fit into ``kept``.

    The latest exchange is always kept.
    """
    if sum(estimate_tokens(turn.message) for turn in turns) <= tokens:
        return ()
    starts = [index for index, turn in enumerate(turns) if turn.message.role == "user"]
    used, end, cut = 0, len(turns), starts[-1] if starts else 0
    for start in reversed(starts):
        used += sum(estimate_tokens(turn.message) for turn in turns[start:end])
        if used > kept:
            break
        cut = end = start
    return turns[:cut]
