"""``cairn keys`` beside a service that runs: made, used, rotated, revoked; and the owner, who needs none."""

import json
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import cairn, served, share_models

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    share_models(tmp_path / "data")
    return tmp_path / "data"


def keys(data_dir: Path, *arguments: str) -> dict[str, Any]:
    run = cairn("keys", *arguments, "--data-dir", str(data_dir), "--json")
    assert run.returncode == 0, run.stderr
    printed: dict[str, Any] = json.loads(run.stdout)
    return printed


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


def until(url: str, status: int, **request: Any) -> None:
    """Wait until the service answers so: it hears of a key within a second, where it has the time."""
    started = time.monotonic()
    with httpx.Client(trust_env=False) as client:
        while client.get(f"{url}/v1/tools", **request).status_code != status:
            assert time.monotonic() - started < 60


def test_a_key_is_shown_once_and_kept_without_its_secret(data_dir: Path) -> None:
    made = keys(
        data_dir,
        *("create", "--tenant", "acme", "--scopes", "chat, search", "--role", "refunds", "--group", "staff"),
        *("--group", "board", "--name", "help desk", "--expires", "90d"),
    )
    assert made["key"].startswith(f"cairn_{made['id']}_")
    [listed] = keys(data_dir, "list")["items"]
    assert made == listed | {"key": made["key"]}
    assert (listed["scopes"], listed["roles"], listed["groups"]) == (
        ["chat", "search"],
        ["refunds"],
        ["board", "staff"],
    )
    assert (listed["tenant"], listed["name"], listed["state"]) == ("acme", "help desk", "active")
    assert keys(data_dir, "list", "--tenant", "other")["items"] == []
    told = cairn("keys", "list", "--data-dir", str(data_dir))
    assert made["id"] in told.stdout
    assert "help desk" in told.stdout
    assert made["key"].rpartition("_")[2] not in told.stdout + told.stderr
    plain = cairn("keys", "create", "--scopes", "chat", "--data-dir", str(data_dir))
    assert [line for line in plain.stdout.splitlines() if line.strip().startswith("cairn_")] != []


def test_a_running_service_follows(data_dir: Path) -> None:
    with served(data_dir) as url:
        assert httpx.get(f"{url}/v1/tools").status_code == 200
        made = keys(data_dir, "create", "--scopes", "tools:read")
        until(url, 401)
        assert httpx.get(f"{url}/v1/tools", headers=bearer(made)).status_code == 200
        rotated = keys(data_dir, "rotate", made["id"])
        assert rotated["id"] == made["id"]
        until(url, 401, headers=bearer(made))
        assert httpx.get(f"{url}/v1/tools", headers=bearer(rotated)).status_code == 200
        assert keys(data_dir, "revoke", made["id"])["state"] == "revoked"
        until(url, 401, headers=bearer(rotated))
        assert httpx.get(f"{url}/readyz").status_code == 200


def test_the_owner_of_the_folder_needs_no_key(data_dir: Path, tmp_path: Path) -> None:
    """Its token is new at every start, nobody else's to read, and gone when the service is."""
    (tmp_path / "note.md").write_text("# Quince\n\nThe quince tree bears in October.")
    keys(data_dir, "create", "--scopes", "chat")
    tokens = []
    for _ in range(2):
        with served(data_dir):
            file = data_dir / "service.json"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            tokens.append(json.loads(file.read_text())["token"])
            run = cairn("ingest", str(tmp_path / "note.md"), "--trust", "--data-dir", str(data_dir), "--json")
            assert json.loads(run.stdout)["failed"] == 0, run.stderr
            found = cairn("search", "quince tree", "--data-dir", str(data_dir), "--json")
            assert "October" in json.loads(found.stdout)["items"][0]["text"], found.stderr
        assert not file.exists()
    assert tokens[0] != tokens[1]


def test_another_service_is_used_with_a_key(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("# Sloe\n\nThe sloe gin is kept in the attic.")
    made = keys(data_dir, "create", "--tenant", "acme", "--scopes", "search,documents:write")
    note = str(tmp_path / "note.md")
    with served(data_dir) as url:
        there = {"CAIRN_SERVICE_URL": url, "CAIRN_API_KEY": made["key"]}
        ingested = cairn("ingest", note, "--json", env=there, cwd=tmp_path)
        assert json.loads(ingested.stdout)["added"] == 1, ingested.stderr
        found = cairn("search", "sloe gin", "--json", env=there, cwd=tmp_path)
        assert "attic" in json.loads(found.stdout)["items"][0]["text"]
        assert not (tmp_path / ".cairn").exists()
        for env in ({"CAIRN_SERVICE_URL": url}, there | {"CAIRN_API_KEY": "sk-1"}):
            refused = cairn("ingest", note, env=env, cwd=tmp_path)
            assert refused.returncode == 1
            assert refused.stderr.splitlines()[-1] == (
                f"cairn: the service at {url} wants an API key that is good there: set CAIRN_API_KEY"
            )
        lacking = cairn("ingest", note, "--trust", env=there, cwd=tmp_path)
        assert lacking.returncode == 3
        assert "lacks the scope 'admin'" in lacking.stdout + lacking.stderr


def test_a_service_leaves_this_machine_only_once_there_is_a_key(data_dir: Path) -> None:
    refused = cairn("serve", "--host", "0.0.0.0", "--data-dir", str(data_dir), "--port", "0")
    assert refused.returncode == 1
    assert "will not listen on 0.0.0.0" in refused.stderr
    command = refused.stderr[refused.stderr.index("keys create") :].split()
    made = cairn(*command)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    with served(data_dir, "--host", "0.0.0.0") as url:
        for address in (url, url.replace("127.0.0.1", "127.0.0.2")):
            assert httpx.get(f"{address}/v1/tools", trust_env=False).status_code == 401
            given = httpx.get(f"{address}/v1/tools", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
            assert given.status_code == 200
        assert json.loads((data_dir / "service.json").read_text())["url"] == url


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "--scopes", "chat,everything"), "there is no scope 'everything'; the scopes are chat, search"),
        (("create", "--scopes", ""), "there is no scope ''"),
        (("create", "--scopes", "chat", "--expires", "soon"), "--expires takes 90d"),
        (("create", "--scopes", "chat", "--expires", "2001-01-01"), "over already"),
        (("create", "--scopes", "chat", "--expires", "0s"), "over already"),
        (("create", "--scopes", "chat", "--role", " "), "a role has 1 to 128"),
        (("create", "--scopes", "chat", "--tenant", "x" * 129), "a tenant has 1 to 128"),
        (("rotate", "nobody"), "there is no key 'nobody'"),
        (("revoke", "nobody"), "there is no key 'nobody'"),
    ],
)
def test_a_mistake_costs_one_clear_line(data_dir: Path, arguments: tuple[str, ...], says: str) -> None:
    run = cairn("keys", *arguments, "--data-dir", str(data_dir))
    assert run.returncode == 1
    assert says in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_key_says_whose_it_is(data_dir: Path) -> None:
    made = keys(data_dir, "create", "--scopes", "chat", "--attribute", "customer=201", "--attribute", "region=a=b")
    assert (
        keys(data_dir, "list")["items"][0]["attributes"] == made["attributes"] == {"customer": "201", "region": "a=b"}
    )
    assert "attributes: customer=201, region=a=b" in cairn("keys", "list", "--data-dir", str(data_dir)).stdout
    assert keys(data_dir, "rotate", made["id"])["attributes"] == made["attributes"]


@pytest.mark.parametrize("given", [("customer",), ("=201",), ("customer= ",), ("id=x",), ("a=1", "a=2")])
def test_an_attribute_that_could_not_be_meant_makes_no_key(data_dir: Path, given: tuple[str, ...]) -> None:
    named = [part for text in given for part in ("--attribute", text)]
    run = cairn("keys", "create", "--scopes", "chat", *named, "--data-dir", str(data_dir))
    assert (run.returncode != 0, "attribute" in run.stderr, run.stdout) == (True, True, "")
