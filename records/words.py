"""An SQL statement as words, as far as somebody has to know what its clauses are.

Both of our databases are read alike. What is not understood is refused rather than guessed at: a statement here is one
that Cairn's own code makes, so that whoever writes one in a new form is told so by the first test that executes it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

Tokens = list[Any]
"""Words, names without their quotes, ``?`` for any bound value; what stands in parentheses is a list of its own."""

BOUND = "?"

VERBS = frozenset({"select", "insert", "update", "delete"})
STARTS = VERBS | {"with", "values"}
SETS = frozenset({"union", "intersect", "except"})
ENDS = frozenset({"group", "order", "limit", "offset", "returning", "having", "window", "fetch", "for", "where"})
JOINS = frozenset({"join", "inner", "cross", "natural", "left", "right", "full", "outer"})
_WORDS = (
    STARTS | SETS | ENDS | JOINS
    | {"from", "using", "on", "set", "into", "as", "and", "or", "not", "default", "lateral", "indexed", "only", "all"}
    | {"case", "end", "between", "distinct", "conflict"}
)  # fmt: skip
_OPENINGS = frozenset({"e", "n", "b", "x"})
_MANY = "?*"

_TOKEN = re.compile(
    r"""\s+
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<many>__\[POSTCOMPILE_[^\]]+\])
    | (?P<word>[a-z_][a-z0-9_]*)
    | (?P<bound>\?|\$[0-9]+)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<mark>::|\[\]|[(),.]|[-+*/<>=~!@\#%^&|]+)""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


class Unconfined(Exception):
    """The statement could reach rows that are not their asker's, or cannot be read. Nothing was executed."""


def read(sql: str) -> Tokens:
    """The words of a statement.

    Raises:
        Unconfined: It holds what is not read here: a comment, another statement, a kind of text or name that is rare.
    """
    groups: list[Tokens] = [[]]
    position, before = 0, ""
    while position < len(sql):
        found = _TOKEN.match(sql, position)
        if found is None:
            refuse(f"{sql[position]!r} is not read here")
        kind, text = found.lastgroup, found.group().lower()
        if text == "(":
            groups.append([])
        elif text == ")":
            if len(groups) == 1:
                refuse("a parenthesis is closed that was not opened")
            done = groups.pop()
            groups[-1].append(done)
        elif kind is not None:
            # As an operator it would end what a clause is read to.
            if text == "from" and groups[-1][-1:] == ["distinct"]:
                refuse("IS DISTINCT FROM is not read here")
            groups[-1].append(_token(kind, text, before))
        position, before = found.end(), text if kind is not None else ""
    if len(groups) > 1:
        refuse("a parenthesis is not closed")
    return groups[0]


def names(tokens: Tokens) -> Iterator[str]:
    """The names that stand for themselves, not before a dot."""
    for place, word in enumerate(tokens):
        if isinstance(word, list):
            yield from names(word)
        elif is_name(word) and tokens[place + 1 : place + 2] != ["."]:
            yield word


def split(tokens: Tokens, at: Iterable[str]) -> list[Tokens]:
    """The words between these."""
    parts: list[Tokens] = [[]]
    for word in tokens:
        if is_one_of(word, at):
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def cut(tokens: Tokens, at: str) -> tuple[Tokens, Tokens]:
    """The words before this one, and those after it."""
    place = tokens.index(at) if at in tokens else len(tokens)
    return tokens[:place], tokens[place + 1 :]


def cut_conflict(tokens: Tokens) -> tuple[Tokens, Tokens]:
    """The words before ON CONFLICT, and those from CONFLICT on."""
    ends = (place for place in range(len(tokens)) if tokens[place : place + 2] == ["on", "conflict"])
    place = next(ends, len(tokens))
    return tokens[:place], tokens[place + 1 :]


def until(tokens: Tokens, ends: Iterable[str]) -> Tokens:
    """The words before the first of these."""
    return tokens[: next((place for place, word in enumerate(tokens) if is_one_of(word, ends)), len(tokens))]


def first(tokens: Tokens) -> Any:
    """The first word; None when there is none."""
    return tokens[0] if tokens else None


def is_one_of(word: Any, words: Iterable[str]) -> bool:
    """Whether it is one of these words."""
    return isinstance(word, str) and word in words


def is_name(word: Any) -> bool:
    """Whether it names something: no keyword, no value, no mark."""
    return isinstance(word, str) and word not in _WORDS and word.strip('"').isidentifier()


def refuse(why: str) -> NoReturn:
    """Refuse the statement."""
    raise Unconfined(why)


def _token(kind: str, text: str, before: str) -> str:
    if (kind == "mark" and ("--" in text or "/*" in text)) or (kind == "string" and before in _OPENINGS):
        refuse(f"{text!r} is not read here")
    if kind == "quoted":
        name = text[1:-1]
        return text if name in _WORDS or not name.isidentifier() else name
    return {"bound": BOUND, "many": _MANY}.get(kind, text)
