"""How sure a model is of what it says, where its server tells how likely the tokens were."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson


class TokenLogprob(NamedTuple):
    """A token and the natural logarithm of its probability."""

    text: str
    logprob: float


def token_logprobs(told: Any) -> tuple[TokenLogprob, ...]:
    """The tokens in ``choice.logprobs`` as OpenAI's API has them; none unless each has its text and log-probability."""
    tokens = told.get("content") if isinstance(told, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        return ()
    found = [(token.get("token"), token.get("logprob")) for token in tokens]
    if not all(isinstance(text, str) and isinstance(each, int | float) and each <= 0 for text, each in found):
        return ()
    return tuple(TokenLogprob(text, each) for text, each in found)


def least_likely(tokens: Sequence[TokenLogprob]) -> float | None:
    """The probability of the least likely token, from 0 to 1; None if there is none."""
    return round(math.exp(min(token.logprob for token in tokens)), 4) if tokens else None


def typical(text: str, tokens: Sequence[TokenLogprob]) -> float | None:
    """How likely the tokens of a text are on average, from 0 to 1; None unless they account for it.

    It is their geometric mean: a long text is not less sure than a short one (Malinin and Gales 2021,
    arXiv 2002.07650, "length-normalised").
    """
    if not tokens or not is_made_of(text, tokens):
        return None
    return round(math.exp(sum(token.logprob for token in tokens) / len(tokens)), 4)


def is_made_of(text: str, tokens: Sequence[TokenLogprob]) -> bool:
    """Whether the tokens account for all letters and digits of the text, in their order; JSON is compared as such.

    Servers that hold tokens back until they can tell a call from text may drop what they know of these. They may also
    write the call in another notation than the model did, so that only letters and digits can be compared.
    """
    try:
        plain = orjson.dumps(orjson.loads(text)).decode()
    except orjson.JSONDecodeError:
        plain = text
    told = "".join(token.text for token in tokens)
    letters = iter([character for character in told.casefold() if character.isalnum()])
    return all(character in letters for character in plain.casefold() if character.isalnum())
