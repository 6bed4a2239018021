"""What the policy promises: the first rule that matches holds, and doubt never makes it laxer."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from records.principal import Principal
from tools.policy import Autonomy, Gate, Policy, Rule, strictness

ALICE = Principal(tenant="t", id="alice", roles=frozenset({"agent"}))


@dataclass(frozen=True)
class Tool:
    name: str = "refund"
    default_autonomy: Literal["suggest", "confirm", "auto"] = "confirm"
    approvers: tuple[str, ...] = ("clerk",)


REFUND = Tool()
AUTONOMY = st.sampled_from(["refuse", "suggest", "confirm", "auto"])
NUMBERS = st.integers(-1000, 1000) | st.decimals(-1000, 1000, places=2) | st.floats(-1000, 1000)
UNCLEAR: list[Any] = [None, "", "twelve", "1_000", " 5", "NaN", "Infinity", "٣", True, [5], {"value": 5}]


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    limit = st.integers(-1000, 1000)
    return st.sampled_from(["above", "below", "equals"]).flatmap(
        lambda name: limit.map(lambda value: {"argument": "amount", name: value})
    )


RULES = st.lists(
    st.builds(
        lambda autonomy, approvers, condition: Rule(autonomy=autonomy, approvers=approvers, **condition),
        AUTONOMY,
        st.none() | st.just(()) | st.just(("manager",)),
        st.just({}) | conditions(),
    ),
    max_size=5,
)


def written(value: Any) -> Any:
    """A number as JSON holds it: a decimal is a string of digits."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def decide(rules: list[Rule], amount: Any, tool: Tool = REFUND, asker: Principal = ALICE) -> Gate:
    return Policy(rules).decide(tool, {"amount": written(amount)}, asker)


@given(RULES, NUMBERS)
def test_the_first_rule_that_matches_holds_else_what_the_tool_says(rules: list[Rule], amount: Any) -> None:
    number = Decimal(str(amount))

    def matches(rule: Rule) -> bool:
        return (
            (rule.above is None or number > rule.above)
            and (rule.below is None or number < rule.below)
            and (rule.equals is None or number == rule.equals)
        )

    first = next((rule for rule in rules if matches(rule)), None)
    gate = decide(rules, amount)
    assert gate.autonomy == ((first and first.autonomy) or "confirm")
    assert gate.approvers == (("clerk",) if first is None or first.approvers is None else first.approvers)


@given(RULES, NUMBERS, st.sampled_from(UNCLEAR))
def test_an_argument_that_cannot_be_compared_leaves_no_more_than_any_number_would(
    rules: list[Rule], amount: Any, unclear: Any
) -> None:
    assert strictness(decide(rules, unclear).autonomy) <= strictness(decide(rules, amount).autonomy)
    missing = Policy(rules).decide(REFUND, {}, ALICE)
    assert missing.autonomy == decide(rules, unclear).autonomy


@pytest.mark.parametrize("unclear", UNCLEAR, ids=repr)
def test_a_rule_that_relaxes_is_not_used_when_its_argument_is_unclear_and_says_so(unclear: Any) -> None:
    small = Rule(tool="refund", argument="amount", below=Decimal(50), autonomy="auto")
    assert decide([small], 49.99).autonomy == "auto"
    assert decide([small], unclear).autonomy == "confirm"


@pytest.mark.parametrize("unclear", UNCLEAR, ids=repr)
def test_a_rule_that_tightens_is_not_passed_over_when_its_argument_is_unclear(unclear: Any) -> None:
    large = Rule(tool="refund", argument="amount", above=Decimal(100), autonomy="confirm", approvers=("manager",))
    rules = [large, Rule(tool="refund", autonomy="auto")]
    assert decide(rules, 100).autonomy == "auto"
    gate = decide(rules, unclear)
    assert (gate.autonomy, gate.approvers) == ("confirm", ("manager",))
    assert gate.reason == "rule 1 of the policy may hold: argument amount is missing or cannot be compared"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"tool": "other"}, "refund acts only once a person agrees"),
        ({}, "rule 1 of the policy"),
        ({"argument": "amount", "above": 10, "below": "99.5"}, "rule 1 of the policy (amount above 10 and below 99.5)"),
        ({"argument": "amount", "equals": 50}, "rule 1 of the policy (amount equal to 50)"),
    ],
)
def test_the_reason_says_which_rule_holds_and_why(rule: dict[str, Any], reason: str) -> None:
    assert decide([Rule(**rule, autonomy="confirm")], 50).reason == reason


def test_of_equally_strict_answers_the_one_that_names_approvers_holds() -> None:
    rules = [
        Rule(argument="amount", above=Decimal(10), autonomy="confirm", approvers=()),
        Rule(autonomy="confirm", approvers=("manager",)),
    ]
    assert decide(rules, None).approvers == ("manager",)


@pytest.mark.parametrize(
    ("equals", "value", "autonomy"),
    [
        ("EUR", "EUR", "auto"),
        ("EUR", "USD", "confirm"),
        ("5", "5", "auto"),
        ("5", 5, "confirm"),
        (5, "5.00", "auto"),
        (Decimal("0.1"), 0.1, "auto"),
        (True, True, "auto"),
        (True, False, "confirm"),
        (True, 1, "confirm"),
        (True, "true", "confirm"),
        (1, True, "confirm"),
    ],
)
def test_equals_compares_like_with_like(equals: Any, value: Any, autonomy: Autonomy) -> None:
    assert decide([Rule(argument="amount", equals=equals, autonomy="auto")], value).autonomy == autonomy


def test_amounts_are_compared_as_decimals() -> None:
    rules = [Rule(argument="amount", above=Decimal("0.3"), autonomy="refuse")]
    assert decide(rules, 0.3).autonomy == "confirm"
    assert decide(rules, "0.30000000000000000001").autonomy == "refuse"
    assert decide(rules, 10**30).autonomy == "refuse"


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"tool": "refund"}, True),
        ({"tool": "re*"}, True),
        ({"tool": "REFUND"}, False),
        ({"tool": "pay_*"}, False),
        ({"tenant": "t"}, True),
        ({"tenant": "another"}, False),
        ({"roles": ("agent", "boss")}, True),
        ({"roles": ("boss",)}, False),
    ],
)
def test_a_rule_is_about_the_tools_tenants_and_roles_that_it_names(rule: dict[str, Any], *, matches: bool) -> None:
    assert (decide([Rule(**rule, autonomy="auto")], 1).autonomy == "auto") is matches


def test_a_rule_may_name_approvers_and_leave_the_autonomy_to_the_tool() -> None:
    rule = Rule(approvers=("manager",))
    gate = decide([rule], 1, Tool(default_autonomy="suggest"))
    assert (gate.autonomy, gate.approvers) == ("suggest", ("manager",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"tool": "refund"},
        {"autonomy": "auto", "argument": "amount"},
        {"autonomy": "auto", "above": 5},
        {"autonomy": "auto", "argument": "amount", "above": "NaN"},
        {"autonomy": "yolo"},
        {"autonomy": "auto", "tols": "refund"},
        {"autonomy": "auto", "tool": ""},
    ],
)
def test_a_rule_that_says_nothing_or_something_unknown_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rule(**wrong)


@given(AUTONOMY, AUTONOMY)
def test_a_gate_is_only_ever_narrowed(own: Autonomy, most: Autonomy) -> None:
    narrowed = Gate(autonomy=own, approvers=("clerk",), reason="own").at_most(most, "stopped")
    assert strictness(narrowed.autonomy) == min(strictness(own), strictness(most))
    assert narrowed.approvers == ("clerk",)
    assert narrowed.reason == ("own" if strictness(own) <= strictness(most) else "stopped")


@given(RULES, NUMBERS, st.floats(0.01, 1), st.sampled_from(["refuse", "suggest", "confirm"]))
def test_a_model_that_does_not_say_how_sure_it_is_counts_as_unsure(
    rules: list[Rule], amount: Any, threshold: float, autonomy: Autonomy
) -> None:
    unsure = Rule(confidence_below=threshold, autonomy=autonomy)
    policy, arguments = Policy([unsure, *rules]), {"amount": written(amount)}
    assert policy.decide(REFUND, arguments, ALICE).autonomy == autonomy
    assert policy.decide(REFUND, arguments, ALICE, 0.0).autonomy == autonomy
    assert policy.decide(REFUND, arguments, ALICE, threshold) == Policy(
        [Rule(tool="-", autonomy="auto"), *rules]
    ).decide(REFUND, arguments, ALICE)


def test_a_condition_on_confidence_holds_beside_one_on_an_argument() -> None:
    rule = Rule(argument="amount", above=50, confidence_below=0.9, autonomy="suggest")
    policy = Policy([rule, Rule(autonomy="auto")])
    found = {
        (amount, sure): policy.decide(REFUND, {"amount": amount}, ALICE, sure).autonomy
        for amount in (10, 100)
        for sure in (0.8, 0.95)
    }
    assert found == {(10, 0.8): "auto", (10, 0.95): "auto", (100, 0.8): "suggest", (100, 0.95): "auto"}
    reason = "rule 1 of the policy (amount above 50; the model's confidence is 0.8, below 0.9)"
    assert policy.decide(REFUND, {"amount": 100}, ALICE, 0.8).reason == reason


@pytest.mark.parametrize(
    "rule", [{"confidence_below": 0}, {"confidence_below": 1.1}, {"confidence_below": 0.5, "autonomy": "auto"}]
)
def test_a_rule_on_confidence_has_a_threshold_and_lets_nothing_through(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rule(**{"autonomy": "confirm", **rule})
