"""The ``cairn`` command as a user runs it: a process, its exit code, and what it prints."""

import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from service.owner import hold
from tests.support.service import ROOT, cairn, environment, served, share_models

pytestmark = pytest.mark.slow

HANDBOOK = "# Returns\n\nOpened headphones may be returned within 14 days.\n"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    share_models(folder)
    return folder


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "returns.md").write_text(HANDBOOK)
    (folder / "stores.md").write_text("# Stores\n\nThe store in Cork opens at nine.\n")
    return folder


def ingest(data_dir: Path, *arguments: str) -> dict[str, object]:
    """Ingest with --json; the last line is the summary."""
    run = cairn("ingest", *arguments, "--data-dir", str(data_dir), "--json")
    assert run.returncode in {0, 3}, run.stderr
    summary: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return summary | {"exit": run.returncode}


def counts(summary: dict[str, object]) -> dict[str, object]:
    return {key: summary[key] for key in ("added", "changed", "unchanged", "removed", "failed", "exit")}


def test_ingesting_again_changes_nothing_and_follows_what_changed(data_dir: Path, handbook: Path) -> None:
    """Added, unchanged, changed, pruned: each run does what is new and no more."""
    first = ingest(data_dir, str(handbook))
    assert counts(first) == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "failed": 0, "exit": 0}
    again = ingest(data_dir, str(handbook))
    assert counts(again) == {"added": 0, "changed": 0, "unchanged": 2, "removed": 0, "failed": 0, "exit": 0}
    (handbook / "returns.md").write_text(HANDBOOK.replace("14", "21"))
    (handbook / "stores.md").unlink()
    pruned = ingest(data_dir, str(handbook), "--prune")
    assert counts(pruned) == {"added": 0, "changed": 1, "unchanged": 0, "removed": 1, "failed": 0, "exit": 0}
    found = cairn("search", "How long for opened headphones?", "--data-dir", str(data_dir), "--json")
    items = json.loads(found.stdout)["items"]
    assert ["21 days" in item["text"] for item in items] == [True]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(data_dir: Path, handbook: Path) -> None:
    assert ingest(data_dir, str(handbook), "--dry-run")["added"] == 2
    said = cairn("ingest", str(handbook), "--dry-run", "--data-dir", str(data_dir)).stdout
    assert said == "Nothing was done. It would be: 2 added\n"
    assert ingest(data_dir, str(handbook))["added"] == 2


def test_files_that_cannot_be_read_are_named_and_the_rest_goes_in(data_dir: Path, handbook: Path) -> None:
    """Binary junk, an empty file and a path that is not there: three failures, exit code 3, two documents in."""
    (handbook / "junk.md").write_bytes(os.urandom(4096))
    (handbook / "empty.md").write_bytes(b"")
    summary = ingest(data_dir, str(handbook), str(handbook / "missing.md"))
    assert counts(summary) == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "failed": 3, "exit": 3}
    failures = summary["failures"]
    assert isinstance(failures, list)
    assert {Path(failure["uri"]).name for failure in failures} == {"junk.md", "empty.md", "missing.md"}
    assert all(failure["code"] and failure["reason"] for failure in failures)


def test_metadata_is_kept_with_the_document(data_dir: Path, handbook: Path) -> None:
    ingest(data_dir, str(handbook / "stores.md"), "--metadata", "country=ie")
    found = cairn("search", "opened headphones", "--data-dir", str(data_dir), "--json")
    items = json.loads(found.stdout)["items"]
    assert [item["metadata"] for item in items] == [{"country": "ie"}]


def test_standard_input_is_a_document(data_dir: Path) -> None:
    run = cairn("ingest", "-", "--data-dir", str(data_dir), "--json", input=HANDBOOK)
    assert json.loads(run.stdout)["added"] == 1


def test_a_reader_of_llama_index_is_a_source(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "my_reader.py").write_text(
        "from llama_index.core.readers.base import BaseReader\n"
        "from llama_index.core.schema import Document\n\n\n"
        "class Lines(BaseReader):\n"
        "    def load_data(self, path):\n"
        "        return [Document(text=line, id_=f'line-{n}') for n, line in enumerate(open(path))]\n"
    )
    (tmp_path / "lines.txt").write_text("The first fact is blue.\nThe second fact is red.\n")
    summary = cairn(
        "ingest",
        str(tmp_path / "lines.txt"),
        "--reader",
        "my_reader:Lines",
        "--data-dir",
        str(data_dir),
        "--json",
        env={"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))},
    )
    assert json.loads(summary.stdout.splitlines()[-1])["added"] == 2, summary.stderr


def test_the_command_hands_its_documents_to_a_running_service(data_dir: Path, handbook: Path) -> None:
    """It says so, keeps the counts, and the service answers from them at once."""
    with served(data_dir) as url:
        run = cairn("ingest", str(handbook), "--data-dir", str(data_dir), "--json")
        assert f"The service at {url} holds the data folder" in run.stderr
        assert json.loads(run.stdout)["added"] == 2
        answer = httpx.post(f"{url}/v1/chat", json={"message": "How long for opened headphones?"}).json()
        assert "14 days" in answer["answer"]
        (handbook / "stores.md").unlink()
        again = cairn("ingest", str(handbook), "--prune", "--data-dir", str(data_dir), "--json")
        assert (json.loads(again.stdout)["unchanged"], json.loads(again.stdout)["removed"]) == (1, 1)
        found = cairn("search", "headphones", "--data-dir", str(data_dir), "--json")
        assert len(json.loads(found.stdout)["items"]) == 1
    assert counts(ingest(data_dir, str(handbook)))["unchanged"] == 1


def test_with_and_without_a_service_the_same_folder_is_the_same(data_dir: Path, handbook: Path) -> None:
    """Groups, metadata and failures too: what one way took in the other finds unchanged, and says alike."""
    (handbook / "empty.md").write_bytes(b"")
    given = (str(handbook), "--acl", "staff", "--metadata", "country=ie")
    first = ingest(data_dir, *given)
    with served(data_dir):
        again = ingest(data_dir, *given)
    assert counts(first) == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "failed": 1, "exit": 3}
    assert counts(again) == {"added": 0, "changed": 0, "unchanged": 2, "removed": 0, "failed": 1, "exit": 3}
    assert again["failures"] == first["failures"]


def test_a_port_in_use_is_said_with_the_way_out(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = cairn("serve", "--port", str(port), "--data-dir", str(data_dir))
    assert run.returncode == 1
    assert f"port {port} is in use" in run.stderr
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_second_service_on_the_same_folder_is_refused_and_told_of_the_first(data_dir: Path) -> None:
    with served(data_dir) as url:
        run = cairn("serve", "--port", "0", "--data-dir", str(data_dir))
    assert run.returncode == 1
    assert url in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serve", "--host", "0.0.0.0"), "create one first: cairn keys create"),
        (("serve", "--model", "nonsense"), "there is no model 'nonsense'"),
        (("serve", "--tools", "missing.py"), "missing.py"),
        (("search", "x", "--collection", "nowhere"), "there is no collection 'nowhere'"),
        (("ingest", "x", "--metadata", "novalue"), "key=value"),
        (("ingest", "x", "--reader", "no.such:Reader"), "no.such:Reader"),
        (("reindex", "nowhere"), "there is no collection 'nowhere'"),
        (("vectors", "move", "nowhere", "--to", "edge"), "the same"),
    ],
)
def test_a_mistake_costs_one_clear_line(data_dir: Path, arguments: tuple[str, ...], says: str) -> None:
    run = cairn(*arguments, "--data-dir", str(data_dir))
    assert run.returncode == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("query", ["", " \n"])
def test_a_search_for_nothing_is_a_wrong_use_of_the_command(data_dir: Path, query: str) -> None:
    run = cairn("search", query, "--data-dir", str(data_dir))
    assert run.returncode == 2
    assert "the question is empty" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_command_says_its_version() -> None:
    run = cairn("--version")
    assert (run.returncode, run.stdout) == (0, f"cairn {version('cairn')}\n")


def test_waiting_for_another_process_is_said_before_it_ends(data_dir: Path) -> None:
    """The holder here is no service; once it lets go, the search goes on."""
    command = [sys.executable, "-m", "service", "search", "x", "--data-dir", str(data_dir)]
    with hold(data_dir):
        searching = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
        assert searching.stderr is not None
        said = searching.stderr.readline()
        assert searching.poll() is None
    rest = searching.communicate(timeout=60)[1]
    assert (
        said
        == f"Another process holds the data folder {data_dir}; waiting up to 10 seconds for it to end, or to serve.\n"
    )
    assert "there is no collection" in rest


def test_a_qdrant_server_that_is_away_is_one_line_with_its_address(data_dir: Path, handbook: Path) -> None:
    url = "http://127.0.0.1:9"
    run = cairn(
        "ingest", str(handbook), "--data-dir", str(data_dir), "--json", env={"CAIRN_RETRIEVAL__QDRANT_URL": url}
    )
    assert run.returncode == 1
    assert run.stderr.startswith(f"cairn: The Qdrant server at {url} does not answer: ")
    assert run.stderr.count("\n") == 1


def test_a_wrong_setting_is_named(data_dir: Path) -> None:
    run = cairn("search", "x", "--data-dir", str(data_dir), env={"CAIRN_LIMITS__SECONDS": "soon"})
    assert run.returncode == 1
    assert "limits.seconds" in run.stderr


@pytest.mark.parametrize("content", [b"= nothing\n", b"model = '\xff'\n"], ids=["no TOML", "no UTF-8"])
def test_a_settings_file_that_cannot_be_read_is_named(data_dir: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cairn.toml").write_bytes(content)
    run = cairn("search", "x", "--data-dir", str(data_dir), cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("cairn: cairn.toml cannot be read: ")
    assert "Traceback" not in run.stderr


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    run = cairn("search", "x", "--data-dir", str(tmp_path / "file" / "data"))
    assert run.returncode == 1
    assert "--data-dir" in run.stderr


def test_serving_with_ingest_brings_the_documents_up_to_date_first(data_dir: Path, handbook: Path) -> None:
    with served(data_dir, "--ingest", str(handbook)) as url:
        titles = [item["title"] for item in httpx.get(f"{url}/v1/documents").json()["items"]]
    assert titles == ["Returns", "Stores"]
    (handbook / "stores.md").unlink()
    with served(data_dir, "--ingest", str(handbook)) as url:
        titles = [item["title"] for item in httpx.get(f"{url}/v1/documents").json()["items"]]
    assert titles == ["Returns"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_service_leaves_nothing_running_and_starts_again(
    data_dir: Path, handbook: Path, number: signal.Signals
) -> None:
    ingest(data_dir, str(handbook))
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "Cairn is ready" not in (line := process.stdout.readline()):
        assert process.poll() is None, line
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode == 0
    with served(data_dir) as url:
        answer = httpx.post(f"{url}/v1/chat", json={"message": "How long for opened headphones?"}).json()
        assert "14 days" in answer["answer"]


def test_a_run_that_a_killed_service_left_behind_goes_on_without_its_tool(data_dir: Path, tmp_path: Path) -> None:
    """The process dies while a tool runs; the next one, which has no such tool, brings the run to its end, once."""
    (tmp_path / "hang.py").write_text(
        "import asyncio\nfrom cairn import tool\n\n\n"
        "@tool(examples=('Wait for me now',))\n"
        "async def wait_forever() -> str:\n    '''Wait for me.'''\n    await asyncio.sleep(600)\n    return 'x'\n"
    )
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*command, "--tools", str(tmp_path / "hang.py")], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "Cairn is ready" not in (line := process.stdout.readline()):
        assert process.poll() is None, line
    url = line.split()[-1]
    with httpx.stream("POST", f"{url}/v1/chat/stream", json={"message": "Wait for me now"}, timeout=20) as response:
        run = response.headers["x-run-id"]
        for line in response.iter_lines():
            if line == "event: tool.call":
                break
        process.kill()
    process.communicate()
    with served(data_dir) as url:
        for _ in range(2):
            stream = httpx.get(f"{url}/v1/runs/{run}/events", timeout=20).text
            assert stream.count("event: run.completed") == 1
        body = httpx.get(f"{url}/v1/runs/{run}").json()
        assert (body["status"], body["tool_calls"][0]["failure"]) == ("completed", "unknown_tool")


def test_a_stopped_service_lets_its_readers_go_and_hands_their_runs_over(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(
        "import asyncio\nfrom cairn import tool\n\n\n"
        "@tool(examples=('Wait for me now',))\n"
        "async def wait_forever() -> str:\n    '''Wait for me.'''\n    await asyncio.sleep(600)\n    return 'x'\n"
    )
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*command, "--tools", str(tmp_path / "hang.py")], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "Cairn is ready" not in (line := process.stdout.readline()):
        assert process.poll() is None, line
    url, seen = line.split()[-1], []
    with httpx.stream("POST", f"{url}/v1/chat/stream", json={"message": "Wait for me now"}, timeout=20) as response:
        for line in response.iter_lines():
            seen.append(line)
            if line == "event: tool.call":
                process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 0
    # The stream was closed in good order, and the run was handed over: it has no end yet.
    assert "event: tool.call" in seen
    assert not any(line.startswith("event: run.") for line in seen[3:])


def test_the_log_is_json_with_the_runs_id(data_dir: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--model", "openai:gone"],
            cwd=ROOT,
            env=environment({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        while "Cairn is ready" not in (line := process.stdout.readline()):
            assert process.poll() is None, line
        url = line.split()[-1]
        answer = httpx.post(f"{url}/v1/chat", json={"message": "Hello"}, timeout=20)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
    assert "127.0.0.1:9" in answer.json()["detail"]
    lines = [json.loads(line) for line in log.read_text().splitlines() if line]
    assert any(line.get("run_id") == answer.json()["run_id"] and line["code"] == "model_unavailable" for line in lines)


def test_what_takes_seconds_to_import_stays_out_of_the_start() -> None:
    script = (
        "import sys, service.services, service.api, service.commands.serve;"
        "slow = {'torch', 'sentence_transformers', 'llama_index', 'langchain', 'qdrant_client', 'transformers'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
