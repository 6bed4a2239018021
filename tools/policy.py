"""The policy: what a tool may do on its own, and who agrees to the rest."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from records.principal import Principal

Autonomy = Literal["refuse", "suggest", "confirm", "auto"]
"""``auto`` acts, ``confirm`` asks first, ``suggest`` only says what it would do, ``refuse`` not even that."""

_STRICT: tuple[Autonomy, ...] = ("refuse", "suggest", "confirm", "auto")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")


class Governed(Protocol):
    """What a policy has to know of a tool."""

    @property
    def name(self) -> str: ...
    @property
    def default_autonomy(self) -> Literal["suggest", "confirm", "auto"]: ...
    @property
    def approvers(self) -> tuple[str, ...]: ...


class Rule(BaseModel):
    """One rule of the operator's: which calls it is about, and what holds for them.

    Attributes:
        tool: A name, or a pattern with ``*`` and ``?``.
        roles: The asker has one of them; anybody when empty.
        argument: The name of the argument that ``above``, ``below`` or ``equals`` look at.
        confidence_below: The model is less sure of the call than this; a model that does not say how sure it is, too.
        autonomy: The tool's own when absent.
        approvers: Roles of which a decider has one; the tool's own when absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str = Field(default="*", min_length=1)
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    argument: str | None = None
    above: Decimal | None = None
    below: Decimal | None = None
    equals: StrictBool | StrictStr | Decimal | None = None
    confidence_below: float | None = Field(default=None, gt=0, le=1)
    autonomy: Autonomy | None = None
    approvers: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        conditions = (self.above, self.below, self.equals)
        if (self.argument is None) != all(condition is None for condition in conditions):
            raise ValueError("a rule with `argument` takes `above`, `below` or `equals`, and these take `argument`")
        if self.autonomy is None and self.approvers is None:
            raise ValueError("a rule says `autonomy` or `approvers`")
        if self.confidence_below is not None and self.autonomy == "auto":
            raise ValueError("a rule with `confidence_below` cannot let a call through: it says who is asked instead")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What holds for one call.

    Attributes:
        approvers: Roles of which a decider has one; anybody of the tenant when empty.
        reason: Why, for the person who is asked.
    """

    autonomy: Autonomy
    approvers: tuple[str, ...] = ()
    reason: str

    def at_most(self, autonomy: Autonomy, reason: str) -> "Gate":
        """This gate, or a stricter one for that reason."""
        if strictness(self.autonomy) <= strictness(autonomy):
            return self
        return Gate(autonomy=autonomy, approvers=self.approvers, reason=reason)


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's rules: the first that matches holds, else what the tool itself says.

    A rule whose argument is missing, or cannot be compared with what the rule says, is not passed over and not applied
    either: then it might match or not, and of all that might hold the strictest does.
    """

    rules: Sequence[Rule] = field(default_factory=tuple)

    def decide(
        self, tool: Governed, arguments: Mapping[str, Any], principal: Principal, confidence: float | None = None
    ) -> Gate:
        """What holds for this call.

        Args:
            arguments: JSON data, defaults included, as the tool validated them.
            confidence: How sure the model is of it, from 0 to 1; None, as sure as nothing, when it does not say.
        """
        possible: list[Gate] = []
        for number, rule in enumerate(self.rules, 1):
            if not _concerns(rule, tool, principal) or _is_sure(rule, confidence):
                continue
            matches = _compare(rule, arguments)
            if matches is None:
                doubt = (
                    f"rule {number} of the policy may hold: argument {rule.argument} is missing or cannot be compared"
                )
                possible.append(_gate(rule, tool, doubt))
            elif matches:
                why = f"rule {number} of the policy{_condition(rule, confidence)}"
                return _strictest([*possible, _gate(rule, tool, why)])
        reason = (
            f"{tool.name} acts only once a person agrees" if tool.default_autonomy == "confirm" else "its own autonomy"
        )
        own = Gate(autonomy=tool.default_autonomy, approvers=tool.approvers, reason=reason)
        return _strictest([*possible, own])


def strictness(autonomy: Autonomy) -> int:
    """How much it leaves to the agent: 0 is nothing."""
    return _STRICT.index(autonomy)


def _condition(rule: Rule, confidence: float | None) -> str:
    """What the rule says of the argument and of the model's confidence, for the person who is asked."""
    limits = {"above": rule.above, "below": rule.below, "equal to": rule.equals}
    said = " and ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)
    parts = [f"{rule.argument} {said}"] if said else []
    if rule.confidence_below is not None:
        # Cut, not rounded: 0.6999 is not "0.7, below 0.7".
        known = confidence if confidence is not None and math.isfinite(confidence) else None
        sure = "unknown" if known is None else f"{math.floor(known * 1000) / 1000:g}"
        parts.append(f"the model's confidence is {sure}, below {rule.confidence_below:g}")
    return f" ({'; '.join(parts)})" if parts else ""


def _is_sure(rule: Rule, confidence: float | None) -> bool:
    """Whether the rule is about calls that the model is less sure of."""
    return rule.confidence_below is not None and confidence is not None and confidence >= rule.confidence_below


def _concerns(rule: Rule, tool: Governed, principal: Principal) -> bool:
    return (
        fnmatchcase(tool.name, rule.tool)
        and rule.tenant in {None, principal.tenant}
        and (not rule.roles or bool(principal.roles.intersection(rule.roles)))
    )


def _gate(rule: Rule, tool: Governed, reason: str) -> Gate:
    return Gate(
        autonomy=rule.autonomy or tool.default_autonomy,
        approvers=tool.approvers if rule.approvers is None else rule.approvers,
        reason=reason,
    )


def _strictest(gates: Sequence[Gate]) -> Gate:
    # Of two that are equally strict, one that names approvers; else the first.
    return min(gates, key=lambda gate: (strictness(gate.autonomy), not gate.approvers))


def _compare(rule: Rule, arguments: Mapping[str, Any]) -> bool | None:
    """Whether the rule's conditions hold; None when that cannot be said."""
    if rule.argument is None:
        return True
    value = arguments.get(rule.argument)
    number = _number(value)
    answers = []
    if rule.above is not None:
        answers.append(None if number is None else number > rule.above)
    if rule.below is not None:
        answers.append(None if number is None else number < rule.below)
    if rule.equals is not None:
        answers.append(_equal(value, rule.equals))
    if False in answers:
        return False
    return None if None in answers else True


def _equal(value: Any, wanted: object) -> bool | None:
    if isinstance(wanted, Decimal):
        number = _number(value)
        return None if number is None else number == wanted
    return value == wanted if type(value) is type(wanted) else None


def _number(value: Any) -> Decimal | None:
    """The number that JSON data hold: a number, or its digits in a string, as decimals are written."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    text = value if isinstance(value, str) else str(value)
    return Decimal(text) if _NUMBER.fullmatch(text) else None
