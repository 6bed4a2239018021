"""docs/semantic-cache.md does what it says, and names the reasons of a miss that there are."""

import re
from pathlib import Path
from typing import get_args

from retrieval.cache.answers import Reason
from tests.docs.snippets import run_page
from tests.support.service import ROOT, share_models

PAGE = (ROOT / "docs" / "semantic-cache.md").read_text(encoding="utf-8")


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    share_models(tmp_path / ".cairn")
    assert {block.kind for block in run_page(PAGE, tmp_path)} >= {"file", "run", "serve", "output"}


def test_every_reason_of_a_miss_is_told() -> None:
    table = PAGE.partition("| `reason` of a miss |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {reason for reason in get_args(Reason) if reason}
