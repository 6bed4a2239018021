"""How people say what is worth remembering of them, in English and German.

A pattern reads a clause from its beginning, and stands beside what it must not be mistaken for.
"""

import re

from memory.phrases.english import ENGLISH
from memory.phrases.german import GERMAN
from memory.phrases.said import Again, Said

__all__ = ["Said", "say"]

_MAX_WORDS = 40
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), read) for pattern, read in (*ENGLISH, *GERMAN)]


def say(clause: str) -> Said | None:
    """What a clause says of its writer that is worth remembering, if anything."""
    if clause.count(" ") >= _MAX_WORDS:
        return None
    for pattern, read in _PATTERNS:
        match = pattern.match(clause)
        found = None if match is None else read(match)
        if isinstance(found, Again):
            return say(found.clause) or found.otherwise
        if found is not None:
            return found
    return None
