"""``cairn memory`` beside a service that runs, as an operator uses it; docs/memory.md shows the rest."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import cairn, served, share_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_an_operator_looks_takes_back_and_forgets(tmp_path: Path) -> None:
    share_models(tmp_path)

    def run(*arguments: str, **options: Any) -> Any:
        return cairn("memory", *arguments, "--data-dir", str(tmp_path), **options)

    assert "start it with `cairn serve`" in run("list").stderr
    with served(tmp_path) as url:
        sources = [{"id": "page"}]
        said = {"text": "likes \u001b[2Jtea\u2028\nand more", "value": {"a": 1}, "sources": sources, "slot": "drink"}
        first = httpx.post(f"{url}/v1/memory", json=said, trust_env=False).json()
        assert run("list").stdout.count("likes �[2Jtea and more") == 1
        shown = run("show", first["id"]).stdout
        for part in (
            'value:      {"a": 1}',
            "slot:       drink",
            "source:     page (untrusted)",
            "untrusted, version 1",
        ):
            assert part in shown
        assert "\u001b" not in shown
        assert json.loads(run("show", first["id"], "--json").stdout)["text"] == said["text"]

        assert run("snapshot", "before").stdout.startswith("before  ")
        assert "there is a snapshot 'before'" in run("snapshot", "before").stderr
        assert run("snapshot").stdout.startswith("before  ")
        httpx.post(f"{url}/v1/memory", json={"text": "after"}, trust_env=False)
        assert len(json.loads(run("list", "--snapshot", "before", "--json").stdout)["items"]) == 1
        assert "1 record went back" in run("rollback", "--snapshot", "before").stdout
        assert json.loads(run("list", "--status", "active", "--json").stdout)["items"][0]["id"] == first["id"]
        for wrong in (["rollback"], ["rollback", first["id"]], ["rollback", first["id"], "--to", "1", "--run", "r"]):
            assert (run(*wrong).returncode, run(*wrong).stdout) == (1, "")

        exported = run("export").stdout
        assert json.loads(exported)["text"] == said["text"]
        taken = run("import", "-", input=exported + '{"text": "x", "kind": "rule", "trust": "untrusted"}\n')
        assert taken.stdout == "1 unchanged, 1 refused\n"
        assert "line 2: what came from an untrusted source" in taken.stderr
        assert "line 1 is not JSON" in run("import", "-", input="nonsense").stderr

        refused = run("forget", first["id"], input="n\n")
        assert (refused.returncode, run("show", first["id"]).returncode) == (1, 0)
        assert run("forget", first["id"], input="y\n").stdout.endswith("It is forgotten.\n")
        assert "was forgotten" in run("show", first["id"]).stderr

        for wrong in (["forget"], ["forget", "x", "--subject", "user:local"]):
            assert "give the id of a record, or --subject" in run(*wrong).stderr
        assert run("forget", "--subject", "user:local", "--sessions", input="n\n").returncode == 1
        gone = run("forget", "--subject", "user:local", "--sessions", "--yes")
        assert gone.stdout == "Forgotten: 1 records, 0 sessions.\n", gone.stderr
        assert json.loads(run("list", "--json").stdout)["items"] == []
