"""What is remembered, on the page: a timeline, histories, going back, forgetting, deciding and taking back."""

import random
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from memory.records import Draft, MemoryVersion, Subject
from models.scripted import ScriptedModel
from records.keys import KeyStore
from records.principal import LOCAL, Principal, Scope
from tests.e2e.test_page import HOSTILE, PHONE, overflow, unnamed
from tests.support.service import ROOT, LocalService, running_service

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PICTURE = ROOT / "docs" / "images" / "memory.png"
BLACK, MILK = "I like my coffee black, in the morning.", "I like my coffee with oat milk, in the morning."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path_factory.mktemp("memory"), model=ScriptedModel(lambda _: ["I see."])) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def service(serving: LocalService) -> LocalService:
    """One that remembers nothing."""
    for record in await serving.services.memory.reader.list(LOCAL, 200):
        await serving.services.memory.forget(LOCAL, record.id)
    return serving


async def put(service: LocalService, text: str, **said: Any) -> str:
    response = await service.client.post("/v1/memory", json={"kind": "preference", "text": text, **said})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def edit(service: LocalService, record: str, text: str, seen: int = 1, **said: Any) -> None:
    body = {"text": text, "expected_version": seen, **said}
    (await service.client.put(f"/v1/memory/{record}", json=body)).raise_for_status()


async def stands(service: LocalService, record: str) -> MemoryVersion:
    return await service.services.memory.reader.get(LOCAL, record)


async def propose(service: LocalService, text: str) -> str:
    draft = Draft(subject=Subject("user", "local"), kind="fact", text=text, trust="inferred", author="model")
    return (await service.services.memory.propose(LOCAL, draft)).version.id


async def opened(page: Page, service: LocalService) -> Locator:
    """Open the page, and what is remembered on it."""
    await page.goto(service.url)
    return await opened_again(page)


async def opened_again(page: Page) -> Locator:
    await page.get_by_role("button", name="What is remembered").click()
    panel = page.get_by_role("dialog")
    await expect(panel.get_by_role("heading", name="What is remembered")).to_be_focused()
    return panel


def timeline(panel: Locator) -> Locator:
    return panel.get_by_role("list", name="What is remembered").locator(".memory-entry")


def versions(panel: Locator) -> Locator:
    return panel.get_by_role("list", name="Versions").get_by_role("listitem")


async def test_what_is_remembered_of_me_is_a_timeline(service: LocalService, page: Page) -> None:
    """The newest first; on request also what is about others, and what no longer counts."""
    await put(service, "I live in Rome.", kind="fact", slot="city")
    await put(service, BLACK)
    await put(service, "I moved to Lyon.", kind="fact", slot="city", trust="inferred")
    await put(service, "I moved to Nice.", kind="fact", slot="city")
    await put(service, "Bob drinks tea.", subject={"type": "user", "id": "bob"})
    ends = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    await put(service, "The shop was shut.", subject={"type": "tenant"}, kind="fact", valid_until=ends)
    panel = await opened(page, service)
    await expect(timeline(panel).get_by_role("button")).to_have_text(["I moved to Nice.", BLACK])
    await expect(timeline(panel).first).to_contain_text(re.compile(r"since .*20\d\d.* · fact · stated by a person"))
    await panel.get_by_label("also what no longer counts").check()
    await expect(panel.get_by_label("also what no longer counts")).to_be_focused()
    await expect(timeline(panel)).to_have_count(3)
    await expect(timeline(panel).last).to_contain_text("I live in Rome.")
    await expect(timeline(panel).last).to_contain_text("replaced by another")
    await panel.get_by_role("combobox", name="Whose").select_option("All that I may read")
    await expect(timeline(panel)).to_have_count(5)
    await expect(timeline(panel).first).to_contain_text(re.compile(r"about all of us · no longer valid"))
    await expect(timeline(panel).nth(1)).to_contain_text("about user bob")


async def test_by_keyboard_a_record_is_compared_rolled_back_and_forgotten(service: LocalService, page: Page) -> None:
    record = await put(service, BLACK, slot="coffee")
    await edit(service, record, MILK, slot="drink")
    await page.goto(service.url)
    opener = page.get_by_role("button", name="What is remembered")
    await opener.focus()
    await page.keyboard.press("Enter")
    panel = page.get_by_role("dialog")
    await timeline(panel).get_by_role("button", name=MILK).focus()
    await page.keyboard.press("Enter")
    await expect(panel.get_by_role("heading", name="Preference")).to_be_focused()

    newest = versions(panel).first
    await expect(newest).to_contain_text("Version 2 · edited by local")
    await expect(newest.get_by_role("deletion")).to_have_text("black")
    await expect(newest.get_by_role("insertion")).to_have_text("with oat milk")
    await expect(newest).to_contain_text("slot: coffee → drink")

    back = panel.get_by_role("button", name="Go back to this version 1")
    await back.focus()
    await page.keyboard.press("Enter")
    await expect(panel.get_by_role("alert")).to_have_text("It says again what version 1 said.")
    await expect(versions(panel)).to_have_count(3)
    await expect(versions(panel).first).to_contain_text("rolled back to version 1 by local")
    assert (await stands(service, record)).content.text == BLACK

    forget = panel.get_by_role("button", name="Forget it")
    await forget.focus()
    await page.keyboard.press("Enter")
    await expect(panel.get_by_role("button", name="Forget it for good")).to_be_focused()
    assert (await stands(service, record)).version == 3
    await page.keyboard.press("Enter")
    await expect(panel.get_by_role("heading", name="What is remembered")).to_be_focused()
    await expect(panel.get_by_text("It is forgotten.")).to_be_visible()
    await expect(panel).to_contain_text("Nothing yet.")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(opener).to_be_focused()


async def test_what_was_changed_or_forgotten_meanwhile_is_shown_in_the_place_of_a_deed(
    service: LocalService, context: BrowserContext
) -> None:
    """A stale view decides nothing: neither goes something back that nobody saw, nor is it forgotten."""
    record = await put(service, BLACK)
    await edit(service, record, MILK)
    page = await context.new_page()
    panel = await opened(page, service)
    await timeline(panel).get_by_role("button").click()
    await expect(versions(panel)).to_have_count(2)
    await edit(service, record, "No coffee.", seen=2)
    await panel.get_by_role("button", name="Go back to this version 1").click()
    await expect(panel.get_by_role("alert")).to_contain_text("It has changed meanwhile")
    await expect(versions(panel)).to_have_count(3)
    assert (await stands(service, record)).content.text == "No coffee."

    await edit(service, record, BLACK, seen=3)
    await panel.get_by_role("button", name="Forget it").click()
    await panel.get_by_role("button", name="Forget it for good").click()
    await expect(versions(panel)).to_have_count(4)
    assert (await stands(service, record)).version == 4

    await service.client.delete(f"/v1/memory/{record}")
    await panel.get_by_role("button", name="Go back to this version 1").click()
    await expect(panel.get_by_role("heading", name="What is remembered")).to_be_focused()
    await expect(panel).to_contain_text("was forgotten")


async def test_a_long_history_is_shown_page_by_page(service: LocalService, page: Page) -> None:
    record = await put(service, "Number 1.")
    for number in range(2, 36):
        await edit(service, record, f"Number {number}.", seen=number - 1)
    panel = await opened(page, service)
    await timeline(panel).get_by_role("button").click()
    await panel.get_by_role("button", name="Show more").click()
    await expect(versions(panel)).to_have_count(35)
    await expect(panel.get_by_role("deletion")).to_have_text([str(number) for number in range(34, 0, -1)])
    await expect(versions(panel).last).to_contain_text("Number 1.")


async def test_proposals_are_accepted_and_rejected(service: LocalService, page: Page) -> None:
    taken, refused = await propose(service, "You prefer short answers."), await propose(service, "You own a boat.")
    panel = await opened(page, service)
    await expect(panel.get_by_role("heading", name="2 proposals to decide")).to_be_visible()
    await expect(panel).to_contain_text("inferred by a model")
    await panel.get_by_role("region", name="short answers").get_by_role("button", name="Accept").click()
    await expect(timeline(panel).get_by_role("button")).to_have_text(["You prefer short answers."])
    await expect(panel.get_by_role("heading", name="1 proposal to decide")).to_be_visible()
    await panel.get_by_role("region", name="boat").get_by_role("button", name="Reject").click()
    await expect(panel.get_by_text("It was rejected.")).to_be_visible()
    await expect(panel.get_by_role("button", name="Accept")).to_have_count(0)
    assert [(await stands(service, each)).status for each in (taken, refused)] == ["active", "rejected"]


@pytest_asyncio.fixture(loop_scope="module")
async def guarded(tmp_path: Path) -> AsyncIterator[LocalService]:
    """A service of its own, since from the first key on it answers nobody without one."""
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["I see."])) as service:
        yield service


async def test_a_key_that_may_only_read_hears_that_it_may_not_decide(
    guarded: LocalService, context: BrowserContext
) -> None:
    keys = KeyStore(guarded.services.knowledge.database)
    scopes: frozenset[Scope] = frozenset({"memory:read", "chat"})
    made = await keys.create(tenant="default", name="reader", scopes=scopes)
    asker = Principal(id=made.key.id)
    draft = Draft(subject=Subject("user", asker.id), kind="fact", text="You own a boat.", trust="inferred", author="m")
    proposed = (await guarded.services.memory.propose(asker, draft)).version
    page = await context.new_page()
    await page.goto(guarded.url)
    await page.get_by_role("dialog").get_by_role("textbox").fill(made.text)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="What is remembered").click()
    card = page.get_by_role("dialog").get_by_role("region", name="boat")
    await card.get_by_role("button", name="Accept").click()
    await expect(card.get_by_role("alert")).to_contain_text("memory:write")
    await expect(card.get_by_role("button", name="Accept")).to_have_count(0)
    assert (await guarded.services.memory.reader.get(asker, proposed.id)).status == "proposed"


async def test_what_came_from_a_source_is_taken_back_once_its_effect_was_seen(
    service: LocalService, page: Page
) -> None:
    """First what would change, of which nothing is done; then the deed; then the undoing of it."""
    source: dict[str, Any] = {"sources": [{"id": "https://a.example/faq", "trust": "inferred"}]}
    corrected = await put(service, BLACK)
    await edit(service, corrected, MILK, **source)
    new = await put(service, "I like it sweet.", **source)
    other = await put(service, "I like tea, too.")
    panel = await opened(page, service)
    await timeline(panel).get_by_role("button", name="I like it sweet.").click()
    await panel.get_by_role("button", name="Take back all from it").click()

    plan = panel.get_by_role("region", name="What would change")
    await expect(plan).to_contain_text("2 records would go back:")
    await expect(plan.get_by_role("listitem")).to_have_text(
        [f"{MILK}{BLACK}", "I like it sweet.nothing: it is taken back"]
    )
    assert [(await stands(service, each)).version for each in (corrected, new)] == [2, 1]

    await plan.get_by_role("button", name="Take back 2 records").click()
    await expect(plan).to_contain_text("2 records went back.")
    assert (await stands(service, corrected)).content.text == BLACK
    assert [(await stands(service, each)).status for each in (new, other)] == ["retracted", "active"]

    await expect(plan.get_by_role("button", name="Undo this")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(plan).to_contain_text("Undone: 2 records as before.")
    assert (await stands(service, corrected)).content.text == MILK
    assert (await stands(service, new)).status == "active"


async def test_all_since_a_snapshot_or_a_time_is_taken_back(service: LocalService, page: Page) -> None:
    record = await put(service, BLACK)
    panel = await opened(page, service)
    await panel.get_by_role("button", name="Take back…").click()
    await panel.get_by_role("textbox", name="Name").fill("before the milk")
    await panel.get_by_role("button", name="Take it").click()
    await expect(panel.get_by_text("The snapshot “before the milk” is taken.")).to_be_visible()
    await edit(service, record, MILK)
    await panel.get_by_role("combobox", name="All that").select_option("came after a snapshot")
    await expect(panel.get_by_role("combobox", name="Snapshot")).to_have_value("before the milk")
    show = panel.get_by_role("button", name="Show what would change")
    await show.click()
    plan = panel.get_by_role("region", name="What would change")
    await expect(plan.get_by_role("insertion")).to_have_text(BLACK)

    await panel.get_by_role("combobox", name="All that").select_option("was written since a time")
    await expect(plan).to_be_empty()
    since = panel.get_by_label("Since")
    await since.fill("2100-01-01T00:00:00")
    await show.click()
    await expect(plan).to_have_text("Nothing would change.")
    await since.fill("2020-01-01T00:00:00")
    await expect(plan).to_be_empty()
    await show.click()
    await expect(plan).to_contain_text("1 record would go back:")
    await plan.get_by_role("button", name="Take back 1 record").click()
    await expect(plan).to_contain_text("1 record went back.")
    assert (await stands(service, record)).status == "retracted"


async def test_the_conversation_that_a_record_came_from_is_one_click_away(
    service: LocalService, context: BrowserContext
) -> None:
    run = (await service.client.post("/v1/chat", json={"message": "I like it black.", "retrieval": "off"})).json()
    await put(service, BLACK, run_id=run["run_id"])
    await put(service, "Gone.", run_id="0193fd1c-7a2b-7c3d-8e4f-5a6b7c8d9e0f")
    page = await context.new_page()
    panel = await opened(page, service)
    await timeline(panel).filter(has_text="black").get_by_role("button", name="The conversation it came from").click()
    await expect(page.get_by_role("article", name="I like it black.")).to_be_in_viewport()
    await expect(panel).to_be_hidden()
    await page.wait_for_url(f"**/#s={run['session_id']}")
    await opened_again(page)
    await timeline(panel).filter(has_text="Gone").get_by_role("button", name="The conversation it came from").click()
    await expect(panel.get_by_text("is not there any more")).to_be_visible()


async def test_hostile_text_stays_text_everywhere_and_fits_on_a_phone(service: LocalService, page: Page) -> None:
    long = "x" * 400
    record = await put(
        service, HOSTILE, slot=HOSTILE, value={HOSTILE: HOSTILE}, sources=[{"id": f"javascript:alert(3) {HOSTILE}"}]
    )
    await edit(service, record, f"{HOSTILE} {long}", sources=[{"id": "javascript:alert(3)"}])
    await propose(service, f"{HOSTILE} {long}")
    await service.client.post("/v1/memory/snapshots", json={"name": HOSTILE})
    await page.set_viewport_size(PHONE)
    await page.goto(service.url)
    await page.get_by_role("button", name="Conversations and documents").click()
    await page.get_by_role("button", name="What is remembered").click()
    panel = page.get_by_role("dialog")

    async def sound(shown: Locator) -> None:
        await expect(shown).to_be_visible()
        assert await overflow(page) == 0
        assert await panel.locator(".panel-body").evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
        assert await page.locator("dialog :is(img, script, iframe, a)").count() == 0
        assert await unnamed(page) == []

    await sound(timeline(panel).first)
    for button in await panel.get_by_role("region", name="Proposal").get_by_role("button").all():
        box: Any = await button.bounding_box()
        assert box["height"] >= 36
    await timeline(panel).get_by_role("button").first.click()
    await sound(versions(panel).nth(1))
    await panel.get_by_role("button", name="Take back all from it").click()
    await sound(panel.get_by_role("button", name=re.compile("^Take back 1 record")))


def texts(seed: int) -> Sequence[str]:
    """Two texts of few words, which therefore repeat, in several scripts."""
    chance = random.Random(seed)
    words = ["a", "b", "naïve", "🎧", "шум", "don't", ",", ".", " ", "\n", "x-1", "e\u0301"]
    return [
        "".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(chance.randint(0, 30))) for _ in "12"
    ]


async def test_a_difference_by_words_gives_both_texts_again(service: LocalService, page: Page) -> None:
    pairs = [*(texts(seed) for seed in range(200)), ["", ""], ["", "new"], ["old", ""], ["a " * 3000, "b " * 3000]]
    await page.goto(service.url)
    found = await page.evaluate(
        """async (pairs) => {
          const { wordDiff } = await import("/page/word_diff.js");
          return pairs.map(([before, after]) => wordDiff(before, after));
        }""",
        pairs,
    )

    def letters(pieces: Any, kind: str) -> str:
        return re.sub(r"\s", "", "".join(text for each, text in pieces if each in {"same", kind}))

    for (before, after), pieces in zip(pairs, found, strict=True):
        assert letters(pieces, "gone") == re.sub(r"\s", "", before)
        assert letters(pieces, "new") == re.sub(r"\s", "", after)
        if before == after:
            assert {kind for kind, _ in pieces} <= {"same"}


async def test_the_picture_of_memory(service: LocalService, page: Page, request: pytest.FixtureRequest) -> None:
    """Draws ``docs/images/memory.png`` anew when asked to (``--screenshots``)."""
    if not request.config.getoption("--screenshots", default=False):
        pytest.skip("pictures are drawn with --screenshots only")
    record = await put(service, "I like my coffee black, in the morning.", slot="coffee")
    await edit(service, record, "I like my coffee with oat milk, in the morning.", slot="coffee")
    await page.set_viewport_size({"width": 1280, "height": 640})
    panel = await opened(page, service)
    await timeline(panel).get_by_role("button").click()
    await expect(versions(panel)).to_have_count(2)
    await page.mouse.move(0, 0)
    await page.screenshot(path=PICTURE)
