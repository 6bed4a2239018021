"""The pages that teach do what they say: every command runs and prints what is shown."""

from pathlib import Path

import pytest

from tests.docs.snippets import blocks, matches, run_page
from tests.support.service import ROOT, share_models

PAGES = (
    "quickstart.md",
    "add-a-tool.md",
    "connect-your-api.md",
    "mcp.md",
    "approvals.md",
    "keys.md",
    "durability.md",
    "webhooks.md",
    "memory.md",
    "semantic-cache.md",
    "shop-memory-and-cache.md",
    "conversations.md",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    share_models(tmp_path / ".cairn")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = run_page((ROOT / "docs" / name).read_text(encoding="utf-8"), tmp_path)
    assert {block.kind for block in done} >= {"file", "run", "serve", "output"}


def test_a_command_that_fails_fails_the_page(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="line 3: exit code 1"):
        run_page("Hello.\n\n<!-- run -->\n```sh\nfalse\n```\n", tmp_path)


def test_output_that_differs_fails_the_page(tmp_path: Path) -> None:
    page = "<!-- run -->\n```python\nprint('five', 'apples')\n```\n\n<!-- output -->\n```text\n{}\n```\n"
    run_page(page.format("five …"), tmp_path)
    with pytest.raises(AssertionError, match="but got\nfive apples"):
        run_page(page.format("five pears"), tmp_path)


def test_blocks_that_are_not_marked_are_only_shown() -> None:
    assert blocks("```sh\nrm -rf /\n```\n") == []


def test_an_ellipsis_stands_for_anything_but_nothing_else_does() -> None:
    assert matches("a … c\nd", "x\na b c\nd\ny\n")
    assert not matches("a … c\nd", "a b c\ne\n")
    assert not matches("1.5", "1x5")
