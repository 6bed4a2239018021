"""A tool's result in a few plain sentences: its own fields and values, those that the question asks about first."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from models.extractive.answer_types import asked_for, holds
from models.extractive.dates import long_date
from models.extractive.parameters import words_of
from models.extractive.sentences import plain
from models.extractive.words import stem, terms

_FIELDS = 6
_RELEVANT_FIELDS = 3
_ITEMS = 5
_VALUE_CHARACTERS = 300
_TEXT_WORDS = 80
_LINES = 30
_STATE_KEYS = frozenset({"status", "state"})
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_DATE_WITHIN = re.compile(r"\b\d{4}-\d{2}-\d{2}\b(?!T)")
_ISO_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Refusal|Failure|Warning|NotFound)?: (?=\S)")


def phrase(question: str, name: str, content: str) -> str:
    """Say what a tool answered.

    Args:
        question: What the user wants to know.
        name: The tool's.
        content: The result as the model sees it: JSON text, plain text or the words of a failure.
    """
    try:
        value = json.loads(content)
    except ValueError:
        return _plain_text(name, content)
    if isinstance(value, Mapping):
        return _object(question, value)
    if isinstance(value, list):
        return f"Found {len(value)}: {_listing(value)}." if value else "Nothing was found."
    return _sentence(_shown(value)) if value not in (None, "") else "Done."


def _plain_text(name: str, content: str) -> str:
    lines = [plain(line) for line in content.splitlines() if line.strip()]
    if any(line.startswith("- ") for line in lines):
        return "\n".join(lines[:_LINES]) + ("\n…" if len(lines) > _LINES else "")
    text = plain(content)
    failed = text.startswith(f"{name} failed: ")
    if failed:
        text = text.removeprefix(f"{name} failed: ")
        said = _EXCEPTION.sub("", text)
        if not (said[:1].isupper() and " " in said):
            return _sentence(f"{name} did not work: {text}")
        text = said
    elif text.startswith("The arguments do not fit"):
        text = f"I could not use {name}. {text}"
    words = text.split(" ")
    return _sentence(" ".join(words[:_TEXT_WORDS]) + (" …" if len(words) > _TEXT_WORDS else "")) if text else "Done."


def _object(question: str, value: Mapping[str, Any]) -> str:
    fields = {str(key): one for key, one in value.items() if one is not None and one != ""}
    if not fields:
        return "Done."
    if isinstance(error := fields.get("error") or fields.get("detail"), str) and len(fields) <= 3:
        return _sentence(plain(error))
    opening, used = _opening(fields)
    rest = {key: one for key, one in fields.items() if key not in used}
    sentences = [opening, *(f"{_title(key)}: {_shown(one)}." for key, one in _chosen(question, rest))]
    return " ".join(sentence for sentence in sentences if sentence)


def _opening(fields: Mapping[str, Any]) -> tuple[str, set[str]]:
    """`Order 1042 is shipped.`: what the result is about, and its state where it has one."""
    subject = next(iter(fields))
    about = fields[subject]
    if subject in _STATE_KEYS or not isinstance(about, int | str) or isinstance(about, bool):
        return "", set()
    named = f"{_title(subject)} {about}" if isinstance(about, int) else _shown(about)
    state = next((key for key in fields if key in _STATE_KEYS and isinstance(fields[key], str)), None)
    if state is not None:
        return f"{named} is {plain(fields[state]).replace('_', ' ')}.", {subject, state}
    if len(fields) == 1:
        return f"{_title(subject)}: {_shown(about)}.", {subject}
    return f"{named if isinstance(about, int) else f'{_title(subject)}: {named}'}.", {subject}


def _chosen(question: str, fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The fields to tell: those that the question speaks of, else the first ones."""
    asked = set(terms(question))
    kind = asked_for(question)

    def relevance(key: str, value: Any) -> float:
        words = {stem(word) for word in words_of(key)}
        inside = {stem(word) for name in value for word in words_of(str(name))} if isinstance(value, Mapping) else set()
        typed = _suits(kind, value, question)
        return len(asked & words) + len(asked & inside) + 0.6 * typed

    scored = sorted(((relevance(key, value), -i, key) for i, (key, value) in enumerate(fields.items())), reverse=True)
    relevant = {key for score, _, key in scored[:_RELEVANT_FIELDS] if score > 0}
    shown = relevant or set(list(fields)[:_FIELDS])
    return [(key, _part(value, asked)) for key, value in fields.items() if key in shown]


def _suits(kind: str, value: Any, question: str) -> float:
    if kind == "time":
        return float(isinstance(value, str) and bool(_ISO_DATE.match(value) or _ISO_TIME.match(value)))
    return holds(kind, _shown(value), question) if kind in ("money", "percent", "duration") else 0.0


def _part(value: Any, asked: set[str]) -> Any:
    """Of a nested object only what was asked for, where that can be told."""
    if not isinstance(value, Mapping):
        return value
    part = {key: one for key, one in value.items() if asked & {stem(word) for word in words_of(str(key))}}
    return part or value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        if set(value) == {"amount", "currency"}:
            return f"{value['amount']} {value['currency']}"
        pairs = [f"{str(key).replace('_', ' ')} {_shown(one)}" for key, one in value.items() if one not in (None, "")]
        return _bounded(pairs, ", ") or "none"
    if isinstance(value, list):
        return _listing(value)
    text = plain(str(value))
    if _ISO_DATE.match(text) or _ISO_TIME.match(text):
        return _moment(text)
    text = _DATE_WITHIN.sub(lambda match: _moment(match[0]), text)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS].rsplit(' ', 1)[0]} …"


def _listing(items: Sequence[Any]) -> str:
    shown = [
        ", ".join(_shown(one) for one in list(item.values())[:4] if one not in (None, "") and not isinstance(one, list))
        if isinstance(item, Mapping) and set(item) != {"amount", "currency"}
        else _shown(item)
        for item in items[: _ITEMS + 1]
    ]
    return _bounded(shown, "; ", len(items)) or "none"


def _bounded(shown: Sequence[str], joint: str, count: int | None = None) -> str:
    more = (len(shown) if count is None else count) - _ITEMS
    return joint.join(shown[:_ITEMS]) + (f" and {more} more" if more > 0 else "")


def _moment(text: str) -> str:
    try:
        if _ISO_DATE.match(text):
            return long_date(date.fromisoformat(text))
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{long_date(moment.date())}, {moment:%H:%M}{' UTC' if text.endswith('Z') else ''}"


def _title(key: str) -> str:
    return " ".join(words_of(key)).capitalize()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…", "。")) else f"{text}."
