"""Text arguments: patterns, listed options, names, quotations and the words that are simply the rest."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from models.extractive.mentions import Span, emails_in, names_in, quotations_in, urls_in, words_in
from models.extractive.parameters import Parameter, announcing_words, words_of
from models.extractive.words import STOPWORDS, stem, terms, tokens

_PATTERN_TEXT = 2_000
_VALUE = 200
_FAR = 2.0
_ID = re.compile(r"#?(?<!\w)(?=[\w-]*\d)[A-Za-z\d][\w-]*(?!\w)")
_PLACE = re.compile(r"\b(?:city|cities|country|town|state|region|location|place|area|destination|origin|county)\b")
_PLACE_WORDS = frozenset({"in", "at", "near", "around", "to", "from"})
_TAKES_NAMES = re.compile(
    r"name|title|city|country|countries|town|state|region|location|place|address|street|person|customer|user|author|artist"
    r"|company|brand|product|model|team|player|language|currency|symbol|ticker|airport|destination|origin|species",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"(?:\b(?:not|no|never|without)|n['’]t)\W*(?:\w+\W+){0,2}$", re.IGNORECASE)
_TAIL = re.compile(
    r"\b(?:about|for|of|named|called|titled|regarding|on|in|at|from|to|with|by|into)\s+"
    r"((?!my\b|your\b|it\b|me\b|this\b|that\b|these\b|us\b|you\b)[^,.;:?!]{2,60}?)"
    r"(?=\s+(?:for|of|on|in|at|from|to|with|by|and|using|between|during|that|which|given|if|as|into)\b|[,.;:?!]|$)",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|a|an|some|any|all)\s+", re.IGNORECASE)
_REQUEST = re.compile(
    r"^(?:(?:please|hi|hello|hey|can you|could you|would you|will you|i (?:want|need|would like|'d like) (?:to|you to)|"
    r"i'd like to|help me|let me)[,\s]+)*(?:(?:search|look|find|show|list|get|tell|give|say|send|write|post|ask|query)"
    r"\s+)?(?:(?:me|up|for|out|about|the documents|the docs|documents)\s+)*(?:(?:for|about|on)\s+)?",
    re.IGNORECASE,
)


def read_option(parameter: Parameter, text: str) -> Any | None:
    """The listed value that the text names, by all of its words; the longest one where several are named."""
    held = set(map(stem, tokens(text)))
    best, size = None, 0
    for option in parameter.options:
        if not isinstance(option, str):
            continue
        wanted = {stem(word) for word in words_of(option)}
        if wanted and wanted <= held and len(option) > size:
            best, size = option, len(option)
    return best


def read_flag(parameter: Parameter, text: str) -> bool | None:
    """True or false for a yes-or-no argument that the text speaks of; None when it does not."""
    for word in words_in(text):
        root = stem(word.text)
        if root in parameter.strong:
            return _NEGATION.search(text[max(0, word.start - 20) : word.start]) is None
        if word.text.startswith("un") and stem(word.text[2:]) in parameter.strong:
            return False
    return None


def read_pattern(
    parameter: Parameter, text: str, taken: Sequence[Span], known: frozenset[str]
) -> list[tuple[str, Span]]:
    """Places where the text matches the argument's pattern, the likeliest first.

    No value begins with a word in ``known``, the stems of what names other arguments: `order 1042` is no product.
    """
    try:
        found = list(re.finditer(rf"(?<!\w)(?:{_unanchored(parameter.pattern)})(?!\w)", text[:_PATTERN_TEXT]))
    except re.error:
        return []
    kept = []
    for match in found:
        first = words_in(match[0])[:1]
        if not match[0] or _overlaps(match.span(), taken) or (
            first and not match[0][:1].isupper() and (first[0].text in STOPWORDS or stem(first[0].text) in known)
        ):  # fmt: skip
            continue
        kept.append((match[0], match.span()))
    return sorted(kept, key=lambda entry: not any(map(str.isupper, entry[0])))


def read_string(parameter: Parameter, text: str, taken: Sequence[Span], *, guess: bool) -> tuple[str, Span] | None:
    """A value of a plain text argument; ``guess`` allows words that nothing announces, as a last resort."""
    typed = _typed(parameter, text)
    if typed is not None:
        return _free(typed, taken)
    near = partial(_distance, parameter, text)
    quoted = sorted(quotations_in(text), key=near)
    if (found := _free(quoted, taken) or read_hint(parameter, text)) is not None:
        return found
    if parameter.is_text:
        rest = _REQUEST.sub("", text.strip(), count=1).strip(" ?.!") or text.strip()
        return rest, (0, len(text))
    names = sorted(names_in(text), key=near)
    if not guess and not _TAKES_NAMES.search(f"{parameter.name} {parameter.description}"):
        names = [name for name in names if near(name) < _FAR]
    return _free(names, taken) or _free(_after_cue(parameter, text), taken) or (_tail(text, taken) if guess else None)


def is_place(parameter: Parameter) -> bool:
    """Whether the argument is the name of a place."""
    return _PLACE.search(" ".join(words_of(parameter.name))) is not None


def read_hint(parameter: Parameter, text: str) -> tuple[str, Span] | None:
    """A value that the description quotes and the text names."""
    for hint in sorted(parameter.hints, key=len, reverse=True):
        match = re.search(rf"(?<!\w){re.escape(hint)}(?!\w)", text, re.IGNORECASE)
        if match is not None:
            return hint, match.span()
    return None


def string_list(text: str, taken: Sequence[Span]) -> list[tuple[str, Span]]:
    """Quotations or names that the text lists."""
    found = [entry for entry in quotations_in(text) if not _overlaps(entry[1], taken)]
    return found or [entry for entry in names_in(text) if not _overlaps(entry[1], taken)]


def _typed(parameter: Parameter, text: str) -> list[tuple[str, Span]] | None:
    """Values of an argument that takes one kind of thing only; None for any other argument."""
    about = f"{parameter.name} {parameter.format} {parameter.description}".lower()
    if "email" in about or "e-mail" in about:
        return emails_in(text)
    if "uri" in about or "url" in about:
        return urls_in(text)
    if parameter.is_id:
        return [(match[0].lstrip("#"), match.span()) for match in _ID.finditer(text)]
    return None


def _distance(parameter: Parameter, text: str, found: tuple[str, Span]) -> float:
    """How far what was found is from the words that announce the argument: 0, 1, or ``_FAR`` when they are not near."""
    start, end = found[1]
    before = tokens(text[max(0, start - 30) : start])[-3:]
    announcing = announcing_words(parameter) or (_PLACE_WORDS if is_place(parameter) else frozenset())
    if before and before[-1] in announcing:
        return 0.0
    if before and before[-1] in _PLACE_WORDS and not is_place(parameter):
        return _FAR + 1
    around = {*map(stem, before), *terms(text[end : end + 20])[:1]}
    return 0.5 if parameter.strong & around else 1.0 if parameter.weak & around else _FAR


def _free(found: Iterable[tuple[str, Span]], taken: Sequence[Span]) -> tuple[str, Span] | None:
    return next((one for one in found if not _overlaps(one[1], taken) and len(one[0]) <= _VALUE), None)


def _after_cue(parameter: Parameter, text: str) -> Iterator[tuple[str, Span]]:
    """`species of deer`, `language: french`: a word that follows the argument's name."""
    words = words_in(text)
    for i, word in enumerate(words):
        if word.text not in STOPWORDS and stem(word.text) in parameter.strong:
            for after in words[i + 1 : i + 3]:
                if after.text in ("of", "is", "=", "as", "named", "called"):
                    continue
                if after.text.isalpha() and after.text not in STOPWORDS:
                    yield text[after.start : after.end], (after.start, after.end)
                break


def _tail(text: str, taken: Sequence[Span]) -> tuple[str, Span] | None:
    for match in _TAIL.finditer(text):
        value = _ARTICLE.sub("", match[1]).strip()
        if value and not _overlaps(match.span(1), taken) and terms(value):
            return value, match.span(1)
    return None


def _unanchored(pattern: str) -> str:
    return pattern.removeprefix("^").removesuffix("$") if not pattern.endswith("\\$") else pattern.removeprefix("^")


def _overlaps(span: Span, taken: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)
