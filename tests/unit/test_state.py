"""The pure half of the loop: every decision as plain values."""

import pytest

from agent.errors import ToolsUnsettled, UsageLimitExceeded
from agent.state import (
    CallModel,
    CallTools,
    Complete,
    Fail,
    Limits,
    Retrieve,
    RunState,
    after_model,
    after_retrieval,
    after_tools,
    next_action,
)
from models.messages import Finish, Message, ToolCall, Usage
from tools.results import ToolResult

QUESTION = (Message(role="user", content="Where is order 7?"),)
CALL = ToolCall(id="a", name="get_order", arguments='{"order_id": 7}')
CALLED = Finish(reason="tool_calls", usage=Usage(input_tokens=10, output_tokens=5))
FOUND = ToolResult(content="shipped")
REFUSED = ToolResult(content="order_id: not a number", failure="invalid_arguments")


def asked(*, retrieve: bool = False) -> RunState:
    return RunState(turns=QUESTION, retrieve=retrieve)


def test_a_run_searches_asks_and_completes() -> None:
    state = asked(retrieve=True)
    assert next_action(state, Limits()) == Retrieve()
    state = after_retrieval(state, [])
    assert next_action(state, Limits()) == CallModel(with_tools=True)
    state = after_model(state, "Here.", [], Finish(reason="stop"))
    assert next_action(state, Limits()) == Complete("stop")
    assert [turn.role for turn in state.turns] == ["user", "assistant"]


def test_tool_results_go_back_to_the_model_under_the_ids_it_gave() -> None:
    state = after_model(asked(), "", [CALL], CALLED)
    assert next_action(state, Limits()) == CallTools((CALL,))
    state = after_tools(state, [CALL], [FOUND])
    assert state.turns[-1] == Message(role="tool", content="shipped", tool_call_id="a", name="get_order")
    assert next_action(state, Limits()) == CallModel(with_tools=True)


def test_a_call_that_cannot_be_run_is_handed_back_once_and_then_tools_are_withdrawn() -> None:
    state = after_tools(after_model(asked(), "", [CALL], CALLED), [CALL], [REFUSED])
    assert next_action(state, Limits()) == CallModel(with_tools=True)
    state = after_tools(after_model(state, "", [CALL], CALLED), [CALL], [REFUSED])
    assert next_action(state, Limits()) == CallModel(with_tools=False)
    action = next_action(after_model(state, "", [CALL], CALLED), Limits())
    assert isinstance(action, Fail)
    assert isinstance(action.error, ToolsUnsettled)


def test_the_last_model_call_is_offered_no_tools_so_that_it_answers() -> None:
    state = after_tools(after_model(asked(), "", [CALL], CALLED), [CALL], [FOUND])
    assert next_action(state, Limits(model_calls=2)) == CallModel(with_tools=False)


@pytest.mark.parametrize("limits", [Limits(tool_calls=0), Limits(tokens=15)], ids=["tool calls", "tokens"])
def test_a_limit_that_is_reached_ends_the_run_and_is_named(limits: Limits) -> None:
    state = after_model(asked(), "", [CALL], CALLED)
    if limits.tool_calls:
        state = after_tools(state, [CALL], [FOUND])
    action = next_action(state, limits)
    assert isinstance(action, Fail)
    assert isinstance(action.error, UsageLimitExceeded)
    assert "limits." in str(action.error)


def test_usage_adds_up_over_the_calls() -> None:
    state = after_tools(after_model(asked(), "", [CALL], CALLED), [CALL], [FOUND])
    state = after_model(state, "Shipped.", [], Finish(usage=Usage(input_tokens=3, output_tokens=4)))
    assert state.usage == Usage(input_tokens=13, output_tokens=9)


def test_tools_that_fail_for_good_do_not_count_as_the_models_mistake() -> None:
    failed = ToolResult(content="the back end is down", failure="failed")
    state = after_tools(after_model(asked(), "", [CALL], CALLED), [CALL], [failed])
    assert state.bad_turns == 0
