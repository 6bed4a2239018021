"""Reads in an SQL statement which rows it can reach."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from records.words import (
    BOUND,
    ENDS,
    JOINS,
    SETS,
    STARTS,
    VERBS,
    Tokens,
    Unconfined,
    cut,
    cut_conflict,
    first,
    is_name,
    is_one_of,
    names,
    read,
    refuse,
    split,
    until,
)

__all__ = ["Unconfined", "confine"]


def confine(sql: str, owners: Mapping[str, str]) -> None:
    """Check that every use of these tables is confined to one owner.

    What is read, changed or deleted needs an equality of the owner's column with a bound value, or with another column
    that has one; what is inserted needs a bound value for it; and no row may be given to another owner.

    Args:
        sql: One statement, as the driver gets it.
        owners: For each table that has owners the column that names them.

    Raises:
        Unconfined: It is not, or the statement is in a form that is not known here.
    """
    if re.search(rf"\b(?:{'|'.join(owners)})\b", sql, re.IGNORECASE):
        _Reader(owners).statement(read(sql), frozenset())


class _Reader:
    """The check of one statement, and of all that stand in it."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners

    def statement(self, tokens: Tokens, known: frozenset[str]) -> None:
        """Check a statement. ``known`` are the columns, as ``alias.name``, that a statement around it has confined."""
        verb = next((place for place, word in enumerate(tokens) if is_one_of(word, VERBS)), len(tokens))
        if tokens[verb : verb + 1] == ["insert"]:
            self._nested(tokens[:verb], known)
            self._insert(tokens[verb:], known)
            return
        for part in split(tokens, SETS):
            if any(is_one_of(word, VERBS) for word in part):
                self._scope(part, known)
            else:
                self._without_verb(part, known)

    def _without_verb(self, tokens: Tokens, known: frozenset[str]) -> None:
        # A pragma that names a table says how it is made, not what is in it.
        if tokens[:1] != ["pragma"] and any(True for _ in self._tables(tokens)):
            refuse(f"what {' '.join(map(str, tokens[:2]))} does with a tenant's table is not known")
        self._nested(tokens, known)

    def _scope(self, tokens: Tokens, known: frozenset[str]) -> None:
        """Check the tables that a SELECT, UPDATE or DELETE names itself, then the statements in it."""
        tables = list(self._tables(tokens))
        # A name that is given anew in here is not the one outside.
        given = set(names(tokens))
        outside = {column for column in known if column.partition(".")[0] not in given}
        confined = _closure(_equalities(tokens, tables), outside)
        for table, alias in tables:
            if f"{alias}.{self._owners[table]}" not in confined:
                refuse(f"{alias}.{self._owners[table]} is not bound to a value")
            if self._owners[table] in _assigned(tokens):
                refuse(f"{table}.{self._owners[table]} is never to change")
        self._nested(tokens, frozenset(confined))

    def _insert(self, tokens: Tokens, known: frozenset[str]) -> None:
        if tokens[1:2] != ["into"] or len(tokens) < 4:
            refuse("an insert begins with INSERT INTO")
        table, columns = tokens[2], tokens[3]
        if not isinstance(columns, list):
            refuse("an insert names its table and its columns")
        source, conflict = cut_conflict(tokens[4:])
        if any(is_one_of(word, SETS) for word in source):
            refuse("what is inserted comes from one query")
        owner = self._owners.get(table)
        if owner is not None:
            if [owner] not in split(columns, {","}):
                refuse(f"{table}.{owner} is not inserted")
            _require_bound(source, split(columns, {","}), owner)
            _require_own(conflict, table, owner)
        if is_one_of(first(source), {"select"}):
            self._scope(source, known)
        else:
            self._without_verb(source, known)
        self._without_verb(conflict, known | {f"{table}.{owner}"})

    def _nested(self, tokens: Tokens, known: frozenset[str]) -> None:
        for word in tokens:
            if isinstance(word, list):
                if is_one_of(first(word), STARTS):
                    self.statement(word, known)
                else:
                    self._nested(word, known)

    def _tables(self, tokens: Tokens) -> Iterator[tuple[str, str]]:
        """The owned tables that are named outside of statements in parentheses, with what they are called there."""
        for place, word in enumerate(tokens):
            if isinstance(word, list):
                if not is_one_of(first(word), STARTS):
                    yield from self._tables(word)
            elif _bare(word) in self._owners and tokens[place + 1 : place + 2] != ["."]:
                if word != _bare(word):
                    refuse("a table is not named by a string")
                after = tokens[place + 1 : place + 3]
                after = after[1:] if after[:1] == ["as"] else after
                yield word, after[0] if after and is_name(after[0]) else word


def _equalities(tokens: Tokens, tables: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The pairs that are equal for every row that the statement reaches: columns as ``alias.name``, or ``?``."""
    simple = len(tables) == 1 and not _is_joined(tokens)
    for leaf in _conditions(tokens):
        left, right = (_operand(side, tables[0][1] if simple else None) for side in cut(leaf, "="))
        if left and right:
            yield left, right


def _conditions(tokens: Tokens) -> Iterator[Tokens]:
    """What must hold of every row: the WHERE, and the ON of joins that leave nothing in without."""
    wheres = [place for place, word in enumerate(tokens) if word == "where"]
    if len(wheres) > 1:
        refuse("there is more than one WHERE")
    for place in wheres:
        yield from _conjuncts(until(tokens[place + 1 :], ENDS | {"on"}))
    if not any(is_one_of(word, {"left", "right", "full", "outer"}) for word in tokens):
        for place, word in enumerate(tokens):
            if word == "on" and tokens[place - 1] != "distinct":
                yield from _conjuncts(until(tokens[place + 1 :], ENDS | JOINS | {",", "set"}))


def _conjuncts(tokens: Tokens) -> Iterator[Tokens]:
    """The conditions that must all hold; of those of which one is enough, none."""
    if len(tokens) == 1 and isinstance(tokens[0], list):
        yield from _conjuncts(tokens[0])
        return
    parts: list[Tokens] = [[]]
    cases, between = 0, False
    for word in tokens:
        cases += (word == "case") - (word == "end")
        if word == "or" and not cases:
            return
        if word == "and" and not cases and not between:
            parts.append([])
            continue
        between = word == "between" or (between and word != "and")
        parts[-1].append(word)
    if len(parts) == 1:
        yield parts[0]
        return
    for part in parts:
        yield from _conjuncts(part)


def _closure(pairs: Iterable[tuple[str, str]], known: Iterable[str]) -> set[str]:
    """The columns that are equal to a bound value, or to one that is."""
    confined, waiting = {BOUND, *known}, list(pairs)
    while True:
        found = {each for pair in waiting for each in pair if not confined.isdisjoint(pair)} - confined
        if not found:
            return confined
        confined |= found


def _require_bound(source: Tokens, columns: Sequence[Tokens], owner: str) -> None:
    """Refuse rows whose value for the owner is not bound."""
    place, rows = columns.index([owner]), _rows(source)
    for row in rows:
        items = split(row, {","})
        if len(items) != len(columns) or _operand(items[place], None) != BOUND:
            refuse(f"{owner} is not inserted as a bound value")
    if not rows:
        refuse("it is not known what is inserted")


def _rows(source: Tokens) -> list[Tokens]:
    """The rows that are inserted, as far as the statement says what is in them."""
    match first(source):
        case "select":
            return [until(source[1:], ENDS | {"from"})]
        case "values":
            return [row for row in until(source, ENDS) if isinstance(row, list)]
    return []


def _require_own(conflict: Tokens, table: str, owner: str) -> None:
    """Refuse an upsert that could change a row of another owner, or give it away."""
    if "update" not in conflict:
        return
    if owner in _assigned(conflict):
        refuse(f"{table}.{owner} is never to change")
    target = conflict[1] if conflict[0] == "conflict" and isinstance(conflict[1], list) else []
    pairs = _equalities(conflict, [(table, table), (table, table)])
    if [owner] not in split(target, {","}) and f"{table}.{owner}" not in _closure(pairs, [f"excluded.{owner}"]):
        refuse(f"an upsert into {table} could change another {owner}'s row")


def _assigned(tokens: Tokens) -> set[str]:
    """The columns that a SET gives new values."""
    if "set" not in tokens:
        return set()
    parts = split(until(tokens[tokens.index("set") + 1 :], ENDS | {"from"}), {","})
    targets = [cut(part, "=")[0] for part in parts]
    return {each for target in targets for each in names(target)}


def _operand(tokens: Tokens, table: str | None) -> str | None:
    """A column as ``alias.name``, ``?`` for a bound value, cast or not; None for anything else."""
    match tokens:
        case ["?"] | ["?", "::", str()]:
            return BOUND
        case [str() as alias, ".", str() as name] if is_name(alias) and is_name(name):
            return f"{alias}.{name}"
        case [str() as name] if table is not None and is_name(name):
            return f"{table}.{name}"
    return None


def _is_joined(tokens: Tokens) -> bool:
    """Whether rows may come from more than one place, so that a name alone does not say whose column it is."""
    start = next((place for place, word in enumerate(tokens) if is_one_of(word, {"from", "using"})), len(tokens))
    rest = until(tokens[start + 1 :], ENDS)
    return ("update" in tokens[:start] and start < len(tokens)) or any(
        is_one_of(t, JOINS | {",", "using"}) for t in rest
    )


def _bare(word: str) -> str:
    return word.strip("'")
