"""What to search for: the question itself or, when it leans on the conversation, together with what it leans on."""

import re
from collections.abc import Sequence

from models.messages import Message

_LEANING = re.compile(
    r"^(and|but|or|what about|how about|why|then|so|also)\b|"
    r"\b(it|its|they|them|their|these|those|he|she|his|her|him|(the same|that|this|which) one)\b",
    re.IGNORECASE,
)
_SHORT = 3
"""Words at or below which a question is taken to need the one before it."""


def search_query(question: str, history: Sequence[Message]) -> str:
    """The text to search the documents with.

    A follow-up ("and for shoes?", "how long does it take?") carries too little to be found alone, so the user's
    previous message is put in front of it.
    """
    # With a name it is not what the user said, but a summary of it.
    said = (message.content for message in reversed(history) if message.role == "user" and message.name is None)
    previous = next(said, "")
    leans = len(question.split()) <= _SHORT or _LEANING.search(question)
    return f"{previous}\n{question}" if previous and leans else question
