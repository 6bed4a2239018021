"""What becomes of a proposal: it is remembered at once, waits for a person, or is never kept."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from memory.records import Draft
from records.principal import Principal

Verdict = Literal["accept", "queue", "reject"]

_OWN = frozenset({"fact", "preference", "profile"})
_RIGHTS = re.compile(
    r"\b(?:admins?|administrators?|root|superusers?|authori[sz]ed|permissions?|privileges?|allowed to"
    r"|entitled|exempt(?:ed)?|(?:auto-?)?approved?|approvals?|refund(?:s|ed)?|discounts?|waived?|polic(?:y|ies)|override|bypass"
    r"|ignore (?:all|any|your|the|previous|earlier)|instructions?|system prompt|access to|administrator\w*|berechtigt"
    r"|rabatt|erstattung|anweisung(?:en)?)\b",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:password|passphrase|passcode|passwort|kennwort|pin|pin code|pin number|cvv|cvc|security code|secret"
    r"|(?:api|private|secret|access) (?:key|token)|social security number|ssn)\s*(?:is|ist|lautet|are|[:=])"
    r"|\b(?:sk|pk|ghp|xox[bp])[-_][A-Za-z0-9_-]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")


def verdict(principal: Principal, draft: Draft) -> Verdict:
    """What becomes of what an agent takes for worth remembering.

    Passwords, keys and the numbers of cards and accounts are never kept, nor is a rule that comes from untrusted
    content.
    """
    untrusted = draft.trust == "untrusted" or any(source.trust == "untrusted" for source in draft.sources)
    if is_secret(draft) or (draft.kind == "rule" and untrusted):
        return "reject"
    return "accept" if accepted_at_once(principal, draft) else "queue"


def accepted_at_once(principal: Principal, draft: Draft) -> bool:
    """Whether a proposal needs nobody's consent: what a user has said of himself in so many words, but no rule.

    What an agent said is nobody's statement, so that its own output is never learnt as fact; nor is what was taken from
    a document, a tool or another record. Nor does anybody give himself rights by saying that he has them.
    """
    about_himself = draft.subject.type == "user" and draft.subject.id == principal.id
    his_words = draft.trust == "stated" and draft.author in {None, principal.id}
    taken_over = bool(draft.sources or draft.derived_from)
    harmless = draft.kind in _OWN and not draft.acl and _RIGHTS.search(" ".join(_texts(draft))) is None
    return about_himself and his_words and not taken_over and harmless


def is_secret(draft: Draft) -> bool:
    """Whether it holds what opens something: a password, a key, the number of an account or of a card.

    Numbers of cards are told by their check digit (ISO/IEC 7812-1, annex B).
    """
    text = " ".join(_texts(draft))
    return _SECRET.search(text) is not None or any(_luhn(match[0]) for match in _CARD.finditer(text))


def _texts(draft: Draft) -> Iterator[str]:
    yield draft.text
    yield from _leaves(draft.value)


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, each in value.items():
                for leaf in _leaves(each):
                    yield f"{name}: {leaf}"
        case list():
            for each in value:
                yield from _leaves(each)
        case None | bool():
            return
        case _:
            yield str(value)


def _luhn(number: str) -> bool:
    digits = [int(character) for character in reversed(number) if character.isdigit()]
    doubled = (2 * digit for digit in digits[1::2])
    return (sum(digits[::2]) + sum(digit - 9 if digit > 9 else digit for digit in doubled)) % 10 == 0
