"""What golden tests share: the committed files, and writing them anew."""

import json
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden import demands, removals

HERE = Path(__file__).parent


class Golden:
    """The committed files beside this one."""

    def __init__(self, *, update: bool) -> None:
        self._update = update

    def text(self, name: str, now: str) -> None:
        """Fail when the file says something else; show the difference."""
        file = HERE / name
        if self._update:
            file.write_text(now, encoding="utf-8")
        before = file.read_text(encoding="utf-8")
        if before != now:
            difference = "\n".join(unified_diff(before.splitlines(), now.splitlines(), "committed", "now", lineterm=""))
            pytest.fail(f"{name} has changed. If that is meant: {_again()}\n\n{difference}", pytrace=False)

    def promise(self, name: str, now: Any) -> None:
        """Fail with what would break its users; then, when it has merely grown, ask for the file to be written anew."""
        file = HERE / name
        written = json.dumps(now, indent=2, ensure_ascii=False) + "\n"
        if self._update:
            file.write_text(written, encoding="utf-8")
        before = json.loads(file.read_text(encoding="utf-8"))
        broken: Sequence[str] = [*removals(before, now), *(demands(before, now) if "paths" in before else ())]
        if broken:
            lines = "\n".join(f"  - {line}" for line in broken)
            pytest.fail(
                f"{name}: this breaks programs that use Cairn:\n{lines}\n"
                f"If it is meant nevertheless, say so under Changed in CHANGELOG.md, then: {_again()}",
                pytrace=False,
            )
        if before != now:
            pytest.fail(f"{name} is behind, and nothing in it breaks anybody. {_again()}", pytrace=False)


def _again() -> str:
    return "pytest tests/golden --update-golden, and read the difference."


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The committed files; with --update-golden each is written anew first."""
    return Golden(update=request.config.getoption("--update-golden"))
