"""``cairn cache`` beside a service that runs, and without one."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import cairn, served, share_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

QUESTION = "How long may I return opened headphones?"


def test_an_operator_looks_asks_why_and_empties_it(tmp_path: Path) -> None:
    share_models(tmp_path)

    def run(*arguments: str, **options: Any) -> Any:
        return cairn("cache", *arguments, "--data-dir", str(tmp_path), **options)

    assert "holds no database" in run("stats").stderr
    with served(tmp_path) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        text = "# Returns\n\nOpened headphones may be returned within 14 days.\u001b[2J"
        document = {"title": "Returns", "text": text, "trust": "trusted"}
        client.post("/v1/documents", json=document).raise_for_status()
        other = {**document, "collection": "other"}
        client.post("/v1/documents", json=other).raise_for_status()
        for body in ({}, {}, {"collection": "other"}):
            asked = client.post("/v1/chat", json={"message": QUESTION, **body}).json()
            assert "14 days" in asked["answer"]

        shown = run("explain", QUESTION)
        lines = shown.stdout.splitlines()
        assert lines[0] == "It would be answered as before: the same words were asked."
        assert lines[1] == "  1. it was asked before in these words"
        assert "14 days" in shown.stdout
        assert "\u001b" not in shown.stdout
        entry = json.loads(run("explain", QUESTION, "--json").stdout)["kept"]["entry_id"]
        assert run("explain", "How long may I not return opened headphones?").stdout.startswith(
            "It would be answered afresh: refused.\n"
        )
        assert json.loads(run("purge", "--collection", "default", "--entry", entry, "--json").stdout) == {"entries": 1}

    told = run("stats").stdout
    for line in ("answers:    1 (1 of other)", "allowed:    1.0% wrong of those given again", "stored:     2"):
        assert f"{line}\n" in told
    assert "start it with `cairn serve`" in run("explain", QUESTION).stderr
    refused = run("purge", input="n\n")
    assert refused.returncode == 1
    assert run("purge", input="y\n").stdout.endswith("1 answer deleted.\n")
