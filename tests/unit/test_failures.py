"""The one table of failures is complete, and says the same to streams and to HTTP."""

import errno
import inspect
import re
import sqlite3
from types import ModuleType

import pytest
from sqlalchemy.exc import OperationalError

from agent import errors as agent_errors
from agent import failures
from agent.approvals import approval
from agent.failures import DISK_FULL, FAILURES, INTERNAL, Failure, classify, run_failed, status_of
from agent.journal import record
from memory import sessions
from models import errors as model_errors
from retrieval import catalog, changes
from retrieval import errors as retrieval_errors
from tools import errors as tool_errors

MODULES = (model_errors, retrieval_errors, agent_errors, approval, sessions, record, catalog, changes)
AT_START = {tool_errors.ToolSetupError, tool_errors.ToolDefinitionError, tool_errors.ToolLoadingError}
"""Raised before there is anybody to answer: the command says them."""


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    """The exception classes that a module defines."""
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", [kind for module in MODULES for kind in exceptions_of(module)])
def test_every_exception_that_a_run_or_a_request_can_meet_has_a_row_of_its_own(kind: type[Exception]) -> None:
    assert kind in FAILURES


def test_of_the_tools_errors_only_those_of_the_start_have_no_row() -> None:
    assert set(exceptions_of(tool_errors)) - set(FAILURES) == AT_START


def test_codes_are_unique_and_readable() -> None:
    named = [value for value in vars(failures).values() if isinstance(value, Failure)]
    codes = [failure.code for failure in (*FAILURES.values(), *named)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_a_code_leads_back_to_its_status() -> None:
    for failure in (*FAILURES.values(), INTERNAL, DISK_FULL):
        assert status_of(failure.code) == failure.status
    assert status_of("never_heard_of") == 500


def test_only_what_the_server_can_mend_by_itself_is_retryable() -> None:
    assert all(failure.status in {409, 502, 503, 504} for failure in FAILURES.values() if failure.retryable)


def test_a_kind_that_is_not_in_the_table_counts_as_its_nearest_ancestor() -> None:
    class Overloaded(model_errors.Transient):
        """A provider's own kind."""

    assert classify(Overloaded("busy")).code == "model_unavailable"
    assert classify(RuntimeError("?")) == INTERNAL


FULL = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        FULL,
        retrieval_errors.StoreUnavailable("IO Error: Failed to flush segment.json: No space left (os error 28)"),
        ExceptionGroup("tools", [ExceptionGroup("inner", [FULL]), ValueError("x")]),
    ],
)
def test_a_full_disk_is_recognised_wherever_it_comes_from(error: Exception) -> None:
    assert classify(error) == DISK_FULL
    assert "free some space" in run_failed(error).detail


def test_the_message_of_an_unforeseen_error_is_not_told() -> None:
    assert "hunter2" not in run_failed(RuntimeError("the password is hunter2")).detail
    assert run_failed(model_errors.Transient("cannot reach it")).detail == "cannot reach it"
