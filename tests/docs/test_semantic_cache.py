"""docs/semantic-cache.md names the reasons of a miss that there are."""

import re
from typing import get_args

from retrieval.cache.answers import Reason
from tests.support.service import ROOT


def test_every_reason_of_a_miss_is_told() -> None:
    page = (ROOT / "docs" / "semantic-cache.md").read_text(encoding="utf-8")
    table = page.partition("| `reason` of a miss |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {reason for reason in get_args(Reason) if reason}
