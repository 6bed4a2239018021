"""What a question is searched as: whole when it is short, sentence by sentence when it is a story."""

import re

WHOLE_SENTENCES = 3
"""A question of at most so many sentences is about one thing, and is searched as it stands."""

MAX_SEGMENTS = 24
"""Sentences of a longer story are put together to at most so many segments, which bounds the cost of a search."""

MAX_CHARACTERS = 20_000

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_WORD = re.compile(r"\w+")
# Scripts written without spaces between words: kana, CJK ideographs, Thai, Lao, Khmer, Burmese.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_STEM = 5


def segments(question: str) -> list[str]:
    """The texts that are searched for: never none, at most ``MAX_SEGMENTS``, together the whole question."""
    question = question[:MAX_CHARACTERS].strip()
    sentences = [part.strip() for part in _SENTENCE_END.split(question) if part and part.strip()]
    if len(sentences) <= WHOLE_SENTENCES:
        return [question]
    size = -(-len(sentences) // MAX_SEGMENTS)
    return [" ".join(sentences[i : i + size]) for i in range(0, len(sentences), size)]


def lexical(text: str) -> str:
    """The text as BM25 should read it: runs of a script without spaces become overlapping pairs of characters.

    BM25 splits at spaces, so that such a run would be one word that nothing else matches; pairs are the classic remedy
    (Nie et al. 2000). Other text is returned as it is.
    """
    return _UNSPACED.sub(lambda run: _pairs(run.group()), text)


def coverage(question: str, passage: str) -> float:
    """The share of the question's longer words that the passage has, by their first letters; 1 when there are none."""
    wanted = _stems(question)
    return len(wanted & _stems(passage)) / len(wanted) if wanted else 1.0


def _pairs(run: str) -> str:
    return f" {' '.join(run[i : i + 2] for i in range(max(1, len(run) - 1)))} "


def _stems(text: str) -> set[str]:
    # Words of up to three letters are mostly grammar; the rest of a long word is mostly inflection.
    return {word[:_STEM] for word in _WORD.findall(text.lower()) if len(word) > 3}
