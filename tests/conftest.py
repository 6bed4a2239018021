"""What all tests share: no test leaves this machine."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::")


def pytest_configure() -> None:
    """One short line for a log entry: the default writes every local variable of a traceback, which takes its time."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


def pytest_sessionfinish() -> None:
    """Databases that tests have handed on are dropped."""
    from tests.support.postgres import drop_spare

    asyncio.run(drop_spare())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="Write the pictures that the documentation shows.")
    parser.addoption("--update-golden", action="store_true", help="Write golden files anew, to be read in review.")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection to anywhere but this machine is a failure of the test."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not address[0].startswith(_LOCAL):
            raise AssertionError(f"a test tried to connect to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider's key and no setting of the developer's own shell reaches a test."""
    import os

    for name in list(os.environ):
        if name.startswith(("CAIRN_", "OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_", "SHOP_")):
            monkeypatch.delenv(name)
