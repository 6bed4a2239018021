"""A question as its words: what an exact repeat has in common, and what two questions differ in."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import regex

_WORD = regex.compile(r"\d+(?:[.,:/]\d+)*|\p{L}[\p{L}\p{M}]*(?:['’]\p{L}+)?|\p{N}+|\p{Sc}|%|°")
_SPACE = regex.compile(r"\s+")
_EDGES = " .,!?;:…\"'“”‘’()[]¿¡"


@lru_cache(maxsize=4096)
def normal(question: str) -> str:
    """The question without what never changes its meaning: case, spacing, Unicode form, punctuation around it."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", question).casefold()).strip(_EDGES)


@lru_cache(maxsize=16384)
def words(question: str) -> Sequence[str]:
    """Its words and numbers in order, in lower case and with plain apostrophes."""
    text = unicodedata.normalize("NFKC", question).casefold().replace("’", "'")
    return tuple(_WORD.findall(text))


def stem(word: str) -> str:
    """A word without the commonest endings of English, so that forms of one word meet; other languages' stay."""
    word = word.removesuffix("'s")
    for ending in ("ied", "ies"):
        if word.endswith(ending) and len(word) > 4:
            return word.removesuffix(ending) + "y"
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word.removesuffix(ending)
            # "stopped" and "stopping" meet "stop".
            return base[:-1] if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz" else base
    return word
