"""Whether the user tells Cairn to do something or only asks about it: a tool that acts needs the former."""

import re

from models.extractive.parameters import parameters_of, words_of
from models.extractive.words import STOPWORDS, stem, terms, tokens
from models.messages import ToolSpec

_ACTING_TEXT = """
accept activate add apply approve archive assign block book buy cancel change charge checkout close commit confirm
create deactivate delete deploy disable drop edit email enable exchange execute grant insert invite issue launch
lock merge modify move open order pay place post publish purchase push put refund register reject remove rename
reopen reply reschedule reserve reset resolve restart return revoke run save schedule send set share sign start stop
submit subscribe transfer trigger unlock unsubscribe update upload withdraw write
"""
_ACTING = frozenset(_ACTING_TEXT.split())
_CLAUSE = re.compile(r"[.,;:!?\n]+|\s(?:and|then|so|but)\s", re.IGNORECASE)
_POLITE = re.compile(
    r"^(?:(?:please|kindly|just|now|also|hi|hello|hey|ok|okay|yes)\s+)*"
    r"(?:(?:can|could|would|will) you (?:please |kindly )?(?:help me (?:to )?)?"
    r"|(?:i|we)(?:'d| would)? (?:want|need|like|wish|love|have)(?: you)?(?: to)? (?:please )?"
    r"|i(?:'m| am) (?:looking|trying|going) to |let(?:'s| us) |help me (?:to )?)?(?:please )?",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"^(?:please |hi |hello )*(?:i|we)(?:'d| would)? (?:want|need|like|wish)\b|\b(?:can|could|would|will) you\b", re.I
)
_NEGATED = re.compile(r"\b(?:don't|do not|never|not to|without)\b", re.IGNORECASE)
_LEAVE = re.compile(
    r"^\W*(?:(?:can|could|may|might|must|should) (?:i|we)\b|am i allowed|is it possible)", re.IGNORECASE
)
_IDIOM = re.compile(r"^(?:oh |just |well )*(?:forget (?:about )?it|never ?mind)$", re.IGNORECASE)
_OWN = re.compile(r"\b(?:my|our|mine|ours|it|this|that|these|those|them|i've|i have)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"^(?:how|what|when|where|why|which|who|whom|whose|is|are|was|were|do|does|did|may|might|should|shall|has|have|had"
    r"|am|(?:can|could|will|would|must) (?!you\b))\b",
    re.IGNORECASE,
)


def acts(spec: ToolSpec) -> bool:
    """Whether a call changes something: as the tool declares it, or as the verb of its name suggests."""
    return spec.effect != "read" or (words_of(spec.name) or [""])[0] in _ACTING


def takes_any_text(spec: ToolSpec) -> bool:
    """Whether a call needs a text of no particular form: every question could be one."""
    return any(parameter.is_text and parameter.required for parameter in parameters_of(spec))


def is_told_to(text: str, spec: ToolSpec) -> bool:
    """Whether a clause of the text is a request to do what the tool does, and not a question about it."""
    any_text = takes_any_text(spec)
    vocabulary = _verbs(spec) if any_text else _words(spec)
    for clause in map(str.strip, _CLAUSE.split(text)):
        if not clause or _QUESTION.match(clause) or _IDIOM.match(clause):
            continue
        rest = tokens(_POLITE.sub("", clause, count=1))
        ordered = bool(rest) and stem(rest[0]) in vocabulary
        # `Forget that I don't like tea` is an order: what is not so stands in the text.
        if _NEGATED.search(clause) and not (any_text and ordered):
            continue
        if ordered or (_WISH.search(clause) and vocabulary & set(terms(clause))):
            return True
    return False


def _words(spec: ToolSpec) -> set[str]:
    """The stems of all the words that speak of a tool."""
    spoken = {stem(word) for word in (*words_of(spec.name), *tokens(spec.description)) if word not in STOPWORDS}
    return spoken.union(*map(terms, spec.examples))


def _verbs(spec: ToolSpec) -> set[str]:
    """The stems of its name and of what its examples begin with; where it takes any text, the rest says nothing."""
    firsts = [tokens(_POLITE.sub("", example, count=1))[:1] for example in spec.examples]
    return {stem(word) for word in (*words_of(spec.name), *(word for first in firsts for word in first))}


def asks_leave(text: str) -> bool:
    """Whether the user asks what is allowed or possible (`Can I …?`): a matter of rules, not of one thing's state."""
    return _LEAVE.match(text) is not None


def is_own(text: str) -> bool:
    """Whether the user speaks of one thing (`my order`, `it`) or gives an order: then it makes sense to ask which."""
    return _OWN.search(text) is not None or not _QUESTION.match(text.strip())
