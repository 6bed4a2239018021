"""The command line on a data folder does and says the same whether a service runs there or not."""

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.knowledge import open_knowledge
from service.settings import Settings
from tests.support.service import ROOT, cairn, served, share_models

RETURNS = "# Returns\n\nOpened headphones may be returned within 14 days.\n"
STORES = "# Stores\n\nThe store in Cork opens at nine.\n"
READER = """
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document


class Lines(BaseReader):
    def load_data(self, path):
        lines = open(path).read().splitlines()
        return [Document(text=line, metadata={"title": f" Line {n} "}) for n, line in enumerate(lines)]
"""
FIELDS = ("uri", "title", "media_type", "version", "acl", "metadata", "trust", "size", "chunk_count")

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    share_models(folder)
    return folder


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text)
    return folder


def ingest(data_dir: Path, *arguments: str, **options: Any) -> dict[str, int]:
    """What a run did, without what it left undone."""
    run = cairn("ingest", *arguments, "--data-dir", str(data_dir), "--json", **options)
    assert run.returncode == 0, run.stderr + run.stdout
    summary = json.loads(run.stdout.splitlines()[-1])
    return {key: summary[key] for key in ("added", "changed", "unchanged", "removed") if summary[key]}


def found(data_dir: Path, query: str) -> list[str]:
    run = cairn("search", query, "--data-dir", str(data_dir), "--json")
    assert run.returncode == 0, run.stderr
    return sorted(item["title"] for item in json.loads(run.stdout)["items"])


@pytest.mark.parametrize("serving", [False, True], ids=["alone", "with a service"])
def test_the_owner_finds_prunes_and_deletes_what_is_for_a_group(
    data_dir: Path, tmp_path: Path, *, serving: bool
) -> None:
    notes = write(
        tmp_path / "notes", returns=RETURNS, stores=STORES, plums="# Plums\n\nThe plum cellar opens at dusk.\n"
    )
    given = (str(notes), "--acl", "staff")
    with served(data_dir) if serving else nullcontext():
        assert ingest(data_dir, *given) == {"added": 3}
        assert found(data_dir, "headphones, stores and plums") == ["Plums", "Returns", "Stores"]
        (notes / "plums.md").unlink()
        assert ingest(data_dir, *given, "--prune", "--dry-run") == {"unchanged": 2, "removed": 1}
        assert ingest(data_dir, *given, "--prune") == {"unchanged": 2, "removed": 1}
        assert found(data_dir, "headphones, stores and plums") == ["Returns", "Stores"]
    with served(data_dir) as url:
        answer = httpx.post(f"{url}/v1/chat", json={"message": "How long for opened headphones?"}, timeout=30).json()
        assert "14 days" in answer["answer"]
        documents = httpx.get(f"{url}/v1/documents").json()["items"]
        assert [(each["title"], each["acl"]) for each in documents] == [("Returns", ["staff"]), ("Stores", ["staff"])]
        [returns, _] = [f"{url}/v1/documents/{document['id']}" for document in documents]
        assert "14 days" in httpx.get(returns).json()["text"]
        assert httpx.delete(returns).status_code == 204
        assert found(data_dir, "headphones and stores") == ["Stores"]
    assert found(data_dir, "headphones and stores") == ["Stores"]


@pytest.fixture
def odd_names(tmp_path: Path) -> Path:
    """A folder of names that the form of an upload cannot carry as they are."""
    folder = write(tmp_path / "odd", plain=RETURNS)
    for number, name in enumerate(('a"b.md', "a%22b.md", "C:\\x\\y.md", "line\nbreak.md", "ü ß.md", " blank .md")):
        (folder / name).write_text(f"Note number {number} has no heading.\n")
    (folder / "page.html").write_text("<title>Hours</title><p>We open at nine.</p>")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.md")).write_text("Its name is no UTF-8.\n")
    return folder


async def test_a_folder_is_taken_in_alike_either_way(data_dir: Path, tmp_path: Path, odd_names: Path) -> None:
    """Files and a reader's texts, trust that was said and that is the collection's: the other way finds no change."""
    (tmp_path / "lines_reader.py").write_text(READER)
    (tmp_path / "lines.txt").write_text("The first fact is blue.\nThe second fact is red.\n")
    reading = {"env": {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}}
    lines = (str(tmp_path / "lines.txt"), "--reader", "lines_reader:Lines")
    async with open_knowledge(Settings(data_dir=data_dir)) as knowledge:
        for name in ("believed-alone", "believed-serving"):
            await knowledge.catalog.ensure("default", name, knowledge.indexer, trusted=True)

    def take_in(kind: str) -> list[dict[str, int]]:
        return [
            ingest(data_dir, str(odd_names), "--collection", f"plain-{kind}", "--metadata", "country=ie"),
            ingest(data_dir, str(odd_names), "--collection", f"said-{kind}", "--trust"),
            ingest(data_dir, str(odd_names), "--collection", f"believed-{kind}"),
            ingest(data_dir, *lines, "--collection", f"lines-{kind}", **reading),
        ]

    added, unchanged = ([{what: 9}] * 3 + [{what: 2}] for what in ("added", "unchanged"))
    assert take_in("alone") == added
    with served(data_dir) as url:
        assert take_in("alone") == unchanged
        assert take_in("serving") == added
        for name, trust in (
            ("plain", "untrusted"),
            ("said", "trusted"),
            ("believed", "trusted"),
            ("lines", "untrusted"),
        ):
            alone, serving = (documents(url, f"{name}-{kind}") for kind in ("alone", "serving"))
            assert alone == serving
            assert {each["trust"] for each in alone} == {trust}
    assert take_in("serving") == unchanged


def documents(url: str, collection: str) -> list[dict[str, Any]]:
    items = httpx.get(f"{url}/v1/documents", params={"collection": collection}).json()["items"]
    return [{field: item[field] for field in FIELDS} for item in items]
