"""Real processes, really killed: whatever a tool does to its own, it costs one call and the next one runs."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from cairn import ToolResult, tool
from tests.support import wild_tools
from tests.support.context import CONTEXT
from tests.support.wild_tools import SECONDS, Item
from tools.errors import ToolDefinitionError
from tools.loading import load_tools
from tools.toolset import coerce

ROOT = Path(__file__).parents[2]


async def call(given: Any, **arguments: Any) -> ToolResult:
    return await coerce(given).call(arguments, CONTEXT)


async def read(deed: str) -> ToolResult:
    return await call(wild_tools.wild_read, deed=deed)


async def write(deed: str) -> ToolResult:
    return await call(wild_tools.wild_write, deed=deed)


async def own_process() -> int:
    return int((await read("nothing")).value)


async def test_calls_one_after_the_other_share_a_process_that_is_not_ours() -> None:
    first, second = await own_process(), await own_process()
    assert first == second != os.getpid()


async def test_calls_at_once_have_processes_of_their_own_but_only_a_few() -> None:
    results = await asyncio.gather(*(read("nothing") for _ in range(8)))
    assert len({result.value for result in results}) == 4


@pytest.mark.parametrize("deed", ["sleep", "hold"])
@pytest.mark.parametrize(("do", "failure"), [(read, "timeout"), (write, "unknown")])
async def test_a_call_that_hangs_is_ended_with_its_process(do: Any, failure: str, deed: str) -> None:
    before = int((await do("nothing")).value)
    result = await do(deed)
    assert (result.failure, f"timed out after {SECONDS:g} s" in result.content) == (failure, True)
    assert not psutil.pid_exists(before)
    assert (await do("nothing")).failure is None


async def test_cancelling_ends_the_process_and_what_it_started_at_once(tmp_path: Path) -> None:
    note = tmp_path / "note"
    calling = asyncio.create_task(call(wild_tools.start_and_wait, note=note))
    while not note.exists():
        await asyncio.sleep(0)
    pids = [int(pid) for pid in note.read_text().split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    gone(*pids)


def gone(*pids: int) -> None:
    """Wait until the processes have ended; one that init has not collected yet has."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            while process.status() != psutil.STATUS_ZOMBIE:
                pass
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("exit", "exit code 3"),
        ("abort", "SIGABRT"),
        ("segfault", "SIGSEGV"),
        ("kill", "SIGKILL"),
        ("fork", "exit code 3"),
        ("close", "its process ended"),
        ("eat", "MemoryError"),
        ("sys.exit", "SystemExit"),
        ("key", "KeyError"),
    ],
)
async def test_a_crash_fails_a_read_and_leaves_the_outcome_of_a_write_unknown(deed: str, said: str) -> None:
    for do, failure in ((read, "failed"), (write, "unknown")):
        result = await do(deed)
        assert (result.failure, said in result.content) == (failure, True), result
        assert (await do("nothing")).failure is None


async def test_a_tool_that_says_that_nothing_was_done_is_believed() -> None:
    assert await write("refuse") == ToolResult(content="wild_write failed: The shop is closed.", failure="failed")


async def test_a_value_that_cannot_be_shown_was_done() -> None:
    result = await write("lie")
    assert (result.failure, "was done" in result.content) == ("unserialisable", True)


async def test_what_a_tool_prints_or_closes_does_not_disturb_the_conversation() -> None:
    assert (await read("chatter")).value == await own_process()


async def test_a_tool_that_forks_and_returns_twice_answers_once() -> None:
    assert [(await call(wild_tools.fork_and_return, number=number)).value for number in range(4)] == [0, 1, 2, 3]


async def test_arguments_and_context_arrive_as_they_are() -> None:
    items = [Item(itemNumber=3), Item(itemNumber=4)]
    assert (await call(wild_tools.echo, items=items)).value == {"items": [3, 4], "tenant": "acme"}


async def test_a_process_sees_only_the_variables_that_the_tool_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WILD_COLOUR", "green")
    monkeypatch.setenv("WILD_SECRET", "x")
    found = (await call(wild_tools.surroundings)).value
    assert found["environment"].pop("WILD_COLOUR") == "green"
    assert set(found["environment"]) <= {"PATH", "HOME", "LANG", "LC_CTYPE"}
    assert (found["input"], found["leads"]) == ("", True)


async def test_a_class_is_constructed_in_the_process_and_kept() -> None:
    counter = coerce(wild_tools.Counter)
    assert [(await counter.call({}, CONTEXT)).value[0] for _ in range(3)] == [1, 2, 3]


async def test_a_process_killed_between_calls_costs_one_call_at_most() -> None:
    first = await own_process()
    os.kill(first, signal.SIGKILL)
    results = [await read("nothing") for _ in range(2)]
    assert results[-1].failure is None
    assert results[-1].value != first


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_processes_end_with_the_event_loop_whichever_it_is(loop: Any) -> None:
    async def several() -> tuple[int, ToolResult, int]:
        return await own_process(), await write("sleep"), await own_process()

    with asyncio.Runner(loop_factory=loop) as runner:
        first, hung, last = runner.run(several())
    assert hung.failure == "unknown"
    assert not psutil.pid_exists(first)
    assert not psutil.pid_exists(last)


def test_a_process_that_hangs_dies_with_a_service_that_is_killed() -> None:
    script = (
        "import asyncio\n"
        "from tests.support.wild_tools import announce_and_hang\n"
        "from tests.unit.test_tool_processes import call\n"
        "asyncio.run(call(announce_and_hang))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pid = int(service.stdout.readline())
        assert psutil.pid_exists(pid)
        service.kill()
        gone(pid)


DESK = """
import os
from cairn import tool
from models import HOURS

@tool(isolation="process")
def hours(store: str) -> tuple[str, int]:
    return HOURS[store], os.getpid()
"""


async def test_a_file_of_a_users_project_is_found_again_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "my-desk.py").write_text(DESK)
    (tmp_path / "models.py").write_text("HOURS = {'Cork': '9 to 6'}\n")
    (hours,) = load_tools("my-desk.py", tmp_path)
    shown, pid = (await hours.call({"store": "Cork"}, CONTEXT)).value
    assert (shown, pid == os.getpid()) == ("9 to 6", False)


async def test_a_script_that_is_run_is_found_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    run = (
        "if __name__ == '__main__':\n    from tools.toolset import coerce\n    import asyncio\n"
        "    from tests.support.context import CONTEXT\n"
    )
    script.write_text(
        f"{DESK}\n{run}    print(asyncio.run(coerce(hours).invoke({{'store': 'Cork'}}, CONTEXT)).value[0])\n"
    )
    (tmp_path / "models").mkdir()
    script.write_text(script.read_text().replace("from models import HOURS", "HOURS = {'Cork': '9 to 6'}"))
    done = subprocess.run([sys.executable, script], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout == "9 to 6\n", done.stderr


async def test_a_tool_that_cannot_be_loaded_there_was_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILD_KEY", "x")
    source = "from cairn import tool\nimport os\nKEY = os.environ['WILD_KEY']\n"
    source += "@tool(isolation='process', effect='write')\ndef act() -> None:\n    print(KEY)\n"
    (tmp_path / "keyed.py").write_text(source)
    (act,) = load_tools("keyed.py", tmp_path)
    result = await act.call({}, CONTEXT)
    assert result.failure == "failed"
    assert result.content == "act failed: it cannot be loaded in its process: KeyError: 'WILD_KEY'"


async def test_arguments_that_cannot_cross_are_not_sent() -> None:
    result = await call(wild_tools.wild_write, deed=lambda: None)
    assert (result.failure, "cannot be handed to a process" in result.content) == ("failed", True)


@pytest.mark.parametrize("target", [lambda: None, wild_tools.Counter()])
def test_what_another_process_could_not_find_is_refused(target: Any) -> None:
    with pytest.raises(ToolDefinitionError, match="at the top of a module"):
        coerce(tool(name="act", isolation="process")(target))
