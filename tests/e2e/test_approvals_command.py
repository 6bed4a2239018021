"""``cairn approvals`` and ``cairn autonomy`` beside a service that runs, as an operator uses them."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from tests.support.service import cairn, served, share_models

TOOLS = '''
from typing import Annotated

from pydantic import Field

from cairn import tool


@tool(effect="irreversible", approvers=("manager",), examples=("Refund order 1042.", "Please refund order 7."))
def refund(order: Annotated[int, Field(ge=1, description="The order's number")]) -> str:
    """Refund an order."""
    return f"Order {order} is refunded."
'''

pytestmark = pytest.mark.slow


@dataclass
class Desk:
    """A service, its data folder, and an operator at a terminal."""

    url: str
    data_dir: Path

    def ask(self, message: str) -> dict[str, Any]:
        """Ask; gives the run as the answer has it."""
        response = httpx.post(f"{self.url}/v1/chat", json={"message": message}, timeout=30, trust_env=False)
        assert response.status_code in {200, 202}, response.text
        return response.json()  # type: ignore[no-any-return]

    def ask_until(self, status: str) -> dict[str, Any]:
        """Ask for a refund again and again until the run comes to this; other processes hear of it after a while."""
        asked = time.monotonic()
        while (run := self.ask("Refund order 1042."))["status"] != status:
            assert time.monotonic() - asked < 60
            if run["status"] == "waiting_approval":
                (call,) = httpx.get(f"{self.url}/v1/approvals?status=pending", trust_env=False).json()["items"]
                body = {"decision": "reject"}
                httpx.post(f"{self.url}/v1/approvals/{call['id']}", json=body, trust_env=False).raise_for_status()
        return run

    def run(self, *arguments: str) -> CompletedProcess[str]:
        return cairn(*arguments, "--data-dir", str(self.data_dir))

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def waiting(self) -> str:
        """The id of the one approval that waits."""
        (item,) = self.json("approvals", "list")["items"]
        return str(item["id"])

    def result(self, run_id: str) -> dict[str, Any]:
        """What became of the run's call."""
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            until = time.monotonic() + 60
            while (run := client.get(f"/v1/runs/{run_id}").json())["status"] in {"running", "waiting_approval"}:
                assert time.monotonic() < until
        return run["tool_calls"][0]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "tools.py").write_text(TOOLS)
    share_models(folder / "data")
    with served(folder / "data", "--tools", str(folder / "tools.py")) as url:
        yield Desk(url, folder / "data")


def test_what_waits_is_listed_shown_and_approved(desk: Desk) -> None:
    run = desk.ask("Refund order 1042.")
    assert run["status"] == "waiting_approval"
    waiting = desk.waiting()
    listed = desk.run("approvals", "list").stdout
    assert f"{waiting}  pending  refund (irreversible)" in listed
    assert '{"order": 1042}' in listed
    shown = desk.run("approvals", "show", waiting).stdout
    for part in ("refund acts only once a person agrees", "decided by: manager", '"order": 1042', run["run_id"]):
        assert part in shown
    assert desk.run("approvals", "approve", waiting).stdout == "refund was approved.\n"
    assert desk.result(run["run_id"])["content"] == "Order 1042 is refunded."
    assert desk.run("approvals", "list").stdout == "Nothing waits to be decided.\n"


def test_arguments_are_edited_as_text_or_from_a_file(desk: Desk, tmp_path: Path) -> None:
    run = desk.ask("Refund order 1042.")
    waiting = desk.waiting()
    for wrong, why in {"{order: 7}": "not JSON", "[7]": "a JSON object", '{"order": "seven"}': "do not fit"}.items():
        refused = desk.run("approvals", "edit", waiting, "--arguments", wrong)
        assert refused.returncode == 1
        assert why in refused.stderr
    (tmp_path / "arguments.json").write_text('{"order": 7}')
    edited = desk.json("approvals", "edit", waiting, "--arguments", f"@{tmp_path / 'arguments.json'}")
    assert edited["decision"]["arguments"] == {"order": 7}
    assert desk.result(run["run_id"])["content"] == "Order 7 is refunded."
    shown = desk.run("approvals", "show", waiting).stdout
    assert "edited to:" in shown


def test_a_rejection_says_why_and_cannot_be_taken_back(desk: Desk) -> None:
    run = desk.ask("Refund order 1042.")
    waiting = desk.waiting()
    assert desk.run("approvals", "reject", waiting, "--reason", "paid already").stdout == "refund was rejected.\n"
    result = desk.result(run["run_id"])
    assert (result["failure"], "paid already" in result["content"]) == ("rejected", True)
    again = desk.run("approvals", "approve", waiting)
    assert again.returncode == 1
    assert f"approval {waiting} is rejected by local; it cannot be decided again" in again.stderr


def test_what_would_change_the_terminal_is_shown_as_what_it_is_not(desk: Desk) -> None:
    desk.ask("Refund order 1042.")
    waiting = desk.waiting()
    reason = "fine\x1b[2K\r\u202eenif"
    assert desk.run("approvals", "reject", waiting, "--reason", reason).returncode == 0
    shown = desk.run("approvals", "show", waiting).stdout
    assert "fine\ufffd[2K\ufffd\ufffdenif" in shown
    assert "\x1b[2K" not in shown


def test_a_stopped_tool_is_refused_within_a_second_until_it_goes_on(desk: Desk) -> None:
    assert desk.run("autonomy", "stop", "--tool", "refund", "--reason", "paid twice").returncode == 0
    call = desk.ask_until("completed")["tool_calls"][0]
    assert call["failure"] == "refused"
    assert "paid twice" in call["content"]
    other = desk.run("autonomy", "resume")
    assert other.returncode == 1
    assert "every tool of every tenant is not stopped; stopped: refund of every tenant" in other.stderr
    assert desk.run("autonomy", "resume", "--tool", "refund").stdout == "Goes on: refund of every tenant.\n"
    desk.ask_until("waiting_approval")
    assert desk.run("approvals", "reject", desk.waiting()).returncode == 0


def test_the_report_says_what_people_decided(desk: Desk) -> None:
    before = desk.json("autonomy", "report")
    counted = {line["tool"]: line for line in before["tools"]}.get("refund", {"proposals": 0, "rejected": 0})
    desk.ask("Refund order 1042.")
    assert desk.run("approvals", "reject", desk.waiting()).returncode == 0
    (line,) = desk.json("autonomy", "report")["tools"]
    assert (line["proposals"], line["rejected"]) == (counted["proposals"] + 1, counted["rejected"] + 1)
    heading, refunds = desk.run("autonomy", "report").stdout.splitlines()
    assert heading.split() == ["tool", "proposals", "pending", "approved", "edited", "rejected", "expired"]
    assert refunds.split() == [str(value) for value in line.values()]


def test_what_waits_outlives_the_service_and_is_decided_in_the_next(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    share_models(tmp_path / "data")
    arguments = (tmp_path / "data", "--tools", str(tmp_path / "tools.py"))
    with served(*arguments) as url:
        run = Desk(url, tmp_path / "data").ask("Refund order 1042.")
    with served(*arguments) as url:
        desk = Desk(url, tmp_path / "data")
        assert desk.json("approvals", "approve", desk.waiting())["genuine"] is True
        assert desk.result(run["run_id"])["content"] == "Order 1042 is refunded."


def test_without_a_service_or_a_database_it_says_so(tmp_path: Path) -> None:
    listed = cairn("approvals", "list", "--data-dir", str(tmp_path))
    assert (listed.returncode, "start it with `cairn serve`" in listed.stderr) == (1, True)
    stopped = cairn("autonomy", "stop", "--reason", "r", "--data-dir", str(tmp_path / "elsewhere"))
    assert (stopped.returncode, "holds no database" in stopped.stderr) == (1, True)
    assert not (tmp_path / "elsewhere").exists()
