"""What in a message are its writer's own words about how things are: not what he quotes, pastes, asks or makes up."""

import re
from collections.abc import Iterable, Iterator, Sequence

MAX_MESSAGE = 1_500
"""Who writes more than that has pasted most of it."""

_PASTED_WORDS = 5

_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|<(\w+)[^>]*>.*?</\1>", re.DOTALL)
_QUOTED = re.compile(r"“[^”]*(?:”|\Z)|«[^»]*(?:»|\Z)|„[^“”]*(?:[“”]|\Z)|\"[^\"]*(?:\"|\Z)|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_QUOTE = "\ufffc"
"""Stands where something was quoted: no pattern reads across it."""

_MARKED = re.compile(r"^[ \t]*(?:[>|#]|[-*_=]{3,}|\d+[.)]\s|[-*•]\s).*$", re.MULTILINE)
_SECOND_HAND = re.compile(
    r"^[ \t]*(?:-+ ?original message|begin forwarded message|(?:from|von|sent|subject|betreff|assistant|system|user"
    r"|bot):|on .{4,80} wrote:|am .{4,80} schrieb).*"
    # Whatever somebody gives a text for, the text follows.
    r"|\b(?:translate|übersetze?|summari[sz]e|fasse? zusammen|proofread|rewrite|rephrase|paraphrase|correct this"
    r"|imagine|pretend|suppose|let's say|role-?play|act as|stell dir vor|angenommen"
    r"|(?:write|draft|compose|schreibe?)\s+(?:(?:me|us|a|an|the|this|mir|eine?n?)\s+)*(?:\w+\s+)?"
    r"(?:story|poem|letter|e-?mail|mail|post|essay|reply|message|song|review|text|geschichte|brief|gedicht))\b.*"
    r"|\b(?:says?|said|wrote|writes|reads|states?|told me|schreibt|schrieb|sagte?|heißt es|steht)\s*:.*"
    r"|:[ \t]*\n.*",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bSt)(?<!\bProf)([.!?]+)(?:\s+|$)|\n+|;\s+")
_GOES_ON = r"(?<!remember)(?<!future)(?<!forward)(?<!now on)(?<!jetzt)(?<!nun an)(?<!zukunft)"
_CLAUSE = re.compile(
    r"(?:\s*,)?\s+(?:and|but|also|und|aber)\s+(?=(?:I|I['’]\w+|my [\w '’-]{1,30}? (?:is|are)|please remember"
    r"|remember|ich|mein\w*|nenn)\b)"
    rf"|{_GOES_ON}\s*,\s*(?=(?:I|I['’]\w+|my|ich|mein\w*)\s)"
    r"|(?:\s*,)?\s+(?:so|because|since|as|weil|denn|also)\s+(?=(?:I|I['’]\w+|my|please|could|can|what|which|do|ich)\b)"
    rf"|{_GOES_ON}\s*,\s*(?:so\s+)?(?=(?:which|what|how|where|when|who|can|could|would|do|does|is|are|please|should|will"
    r"|any|welche|was|wie|wo|kann|können|gibt|bitte)\b)",
    re.IGNORECASE,
)
_PLEASE = re.compile(r"(?:[\s,—–-]+(?:please|thanks|thank you|like|well|so|though|bitte|danke))+$", re.IGNORECASE)
_INITIAL = re.compile(r"\b[A-Z]\w+ [A-Z]$")
_FILLER = re.compile(
    r"^(?:(?:hi|hello|hey|well|so|ok|okay|right|yes|no|nope|actually|oh|sorry|also|and|but|thanks|thank you|great|btw"
    r"|by the way|fyi|for your information|just so you know|just to let you know|as you know|please note that|note that"
    r"|please note|in fact|to be honest|honestly|correction|wait|hallo|ja|nein|übrigens|also|danke|moment|ach)"
    r"(?:\s+there)?(?:\s*[,:!—–-]+\s*|\s+))+(?=\S)",
    re.IGNORECASE,
)
_IF = re.compile(r"^(?:if|when|whenever|unless|suppose|what if|in case|falls|wenn|sobald)\b", re.IGNORECASE)


def own_clauses(message: str, read: Iterable[str] = ()) -> Sequence[str]:
    """The clauses in which the writer says something himself, in order, without what leads up to them.

    Left out is what is quoted, fenced, marked as somebody else's, given to be worked on, a question or a condition, and
    all of a long message.

    Args:
        read: Texts that somebody else wrote; what stands in one of them word for word was taken from it.
    """
    if len(message) > MAX_MESSAGE:
        return []
    texts = [f" {_words(text)} " for text in read]
    return [
        clause
        for sentence, ending in _sentences(_unquoted(message))
        if not _stands_in(sentence, texts)
        for clause in _clauses(sentence, ending)
    ]


def _unquoted(message: str) -> str:
    text = _FENCED.sub("\n", message.replace("\r\n", "\n"))
    text = _MARKED.sub("\n", _SECOND_HAND.sub("\n", text))
    return _QUOTED.sub(_QUOTE, text)


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """Each with what it ends with."""
    start = 0
    for match in _SENTENCE.finditer(text):
        if match[1] == "." and _INITIAL.search(text, start, match.start()):
            continue
        yield text[start : match.start()].strip(), match[1] or ""
        start = match.end()
    yield text[start:].strip(), ""


def _clauses(sentence: str, ending: str) -> Iterator[str]:
    parts = [part.strip(" ,") for part in _CLAUSE.split(sentence)]
    if _IF.match(_FILLER.sub("", parts[0])):
        return
    for number, part in enumerate(parts):
        clause = _PLEASE.sub("", _FILLER.sub("", part)).strip()
        asked = "?" in ending and number == len(parts) - 1 and not _asks_to_remember(clause)
        if clause and not asked and _QUOTE not in clause:
            yield clause


def _asks_to_remember(clause: str) -> bool:
    return (
        re.match(
            r"(?:please |can you |could you |will you |would you |kannst du )+(?:remember|dir merken)", clause, re.I
        )
        is not None
    )


def _stands_in(sentence: str, texts: Sequence[str]) -> bool:
    words = _words(sentence)
    return words.count(" ") + 1 >= _PASTED_WORDS and any(f" {words} " in text for text in texts)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
