"""What an operator may say of MCP servers, and what is said when it cannot be."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from service.mcp.settings import McpSettings
from tests.support.service import ROOT
from tools.errors import ToolLoadingError

DESK: dict[str, Any] = {"name": "desk", "command": "desk-server"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": None},
        {"url": "https://example.org/mcp"},
        {"name": "a desk"},
        {"name": ""},
        {"command": None, "url": "https://example.org/mcp?key=1"},
        {"command": None, "url": "https://example.org/mcp", "headers": {"X-Key": "a\nb"}},
        {"effects": {"order": "maybe"}},
        {"surprise": True},
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        McpSettings(**{**DESK, **wrong})


def test_credentials_come_from_the_environment_and_are_shown_nowhere() -> None:
    given = McpSettings(name="desk", url="https://example.org/mcp", headers={"Authorization": "Bearer ${DESK_TOKEN}"})
    server = given.server({"DESK_TOKEN": "geheim-4711"})
    assert "geheim" not in f"{given!r} {server!r} {given.model_dump_json()}"


def test_a_variable_that_is_not_set_is_named() -> None:
    given = McpSettings(**DESK, env={"TOKEN": "${DESK_TOKEN}"})
    with pytest.raises(ToolLoadingError, match="desk: the variable DESK_TOKEN is not set"):
        given.server({})


def test_a_service_without_mcp_does_not_load_the_sdk() -> None:
    """It takes a second, which every start would."""
    loaded = "import service.api, service.services, cairn, sys; print([name for name in sys.modules if 'mcp' in name])"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "['service.mcp', 'service.mcp.settings']"
