"""Questions for what a tool still needs, and the user's answers to them."""

import re
from collections.abc import Sequence

from models.extractive.parameters import Parameter, words_of
from models.messages import Message

_AT_ONCE = 3
_OPTIONS = 6
_NOUN_WORDS = 7
_END = re.compile(r",?\s*\be\.g\.|\bdefaults?\b|[.;(]|,? for example\b|,? such as\b", re.IGNORECASE)
_CLAUSE = re.compile(r"^(?:why|whether|how|what|which|when|where|who|if)\b", re.IGNORECASE)
_DECLINED = re.compile(
    r"^\W*(?:no|nope|stop)\b|\b(?:never ?mind|forget (?:it|that|about)|don['’]t|do not)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|an|a)\s+", re.IGNORECASE)


def ask_for(missing: Sequence[Parameter]) -> str:
    """One short question for each missing argument, in the words of its description."""
    return " ".join(_question(parameter) for parameter in missing[:_AT_ONCE])


def declines(text: str) -> bool:
    """Whether the user takes back what the model asked about: `never mind`, `no, don't`."""
    return _DECLINED.search(text) is not None


def earlier_requests(messages: Sequence[Message]) -> tuple[list[list[str]], str]:
    """What may still be open before the last message: the user's messages so far, and what the model asked last.

    `Where is my order?` – `Which order number do you mean?` – `1042`: the first is open when the third comes. Where
    the model asked several times in a row the request may lie further back, so each reach is given, longest first;
    messages are in the order in which they were said.
    """
    turns = [message for message in messages[:-1] if message.role in ("user", "assistant") and not message.tool_calls]
    said: list[str] = []
    reaches: list[list[str]] = []
    for before, after in zip(turns[-2::-2], turns[::-2], strict=False):
        if (before.role, after.role) != ("user", "assistant") or not after.content.rstrip().endswith(("?", ".")):
            break
        said = [before.content, *said]
        reaches.insert(0, said)
        if len(reaches) == _AT_ONCE:
            break
    return reaches, turns[-1].content.rstrip() if turns else ""


def _question(parameter: Parameter) -> str:
    noun = _ARTICLE.sub("", _END.split(parameter.description)[0].strip(" ,:"))
    options = _listed(parameter)
    if _CLAUSE.match(noun):
        return f"Please tell me {noun[0].lower()}{noun[1:]}{options}."
    if not noun or len(noun.split()) > _NOUN_WORDS:
        noun = " ".join(words_of(parameter.name)) or "value"
    noun = noun if noun[:2].isupper() else noun[0].lower() + noun[1:]
    return f"Which {noun} do you mean{options}?"


def _listed(parameter: Parameter) -> str:
    options = [str(option).replace("_", " ") for option in parameter.options]
    if not options:
        return ""
    if len(options) > _OPTIONS:
        return f" ({', '.join(options[: _OPTIONS - 1])}, …)"
    return f" ({', '.join(options[:-1])} or {options[-1]})" if len(options) > 1 else f" ({options[0]})"
