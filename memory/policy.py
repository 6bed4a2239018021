"""What becomes of a proposal: it is remembered at once, or waits for a person."""

from memory.records import Draft
from records.principal import Principal

_OWN = frozenset({"fact", "preference", "profile"})


def accepted_at_once(principal: Principal, draft: Draft) -> bool:
    """Whether a proposal needs nobody's consent: what a user has said of himself in so many words, but no rule.

    What an agent said is nobody's statement, so that its own output is never learnt as fact; nor is what was taken from
    a document, a tool or another record.
    """
    about_himself = draft.subject.type == "user" and draft.subject.id == principal.id
    his_words = draft.trust == "stated" and draft.author in {None, principal.id}
    taken_over = bool(draft.sources or draft.derived_from)
    return about_himself and his_words and not taken_over and draft.kind in _OWN and not draft.acl
