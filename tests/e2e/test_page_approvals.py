"""Approvals on the page, in a real headless Chromium: what waits is shown, decided, and followed to its end."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from agent.approvals.store import Decision
from cairn import tool
from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from records.principal import LOCAL
from tests.support.service import LocalService, running_service

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

QUESTION = "Please refund order R-7."


@dataclass
class Shop:
    """A service whose model proposes a refund, and what was paid."""

    service: LocalService
    paid: list[tuple[str | int, float]]


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    last = request.messages[-1]
    if last.role == "tool":
        return [f"It came to this: {last.content}"]
    if "refund" not in last.content:
        return ["Good day."]
    order = "9007199254740993" if "large" in last.content else '"R-7"'
    return ["I will see to it. ", ToolCall(id="c", name="refund", arguments=f'{{"order": {order}, "amount": 12.5}}')]


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    paid: list[tuple[str | int, float]] = []

    @tool(effect="irreversible", approvers=("manager",))
    def refund(order: str | int, amount: float) -> dict[str, float]:
        """Pay money back."""
        paid.append((order, amount))
        return {"paid": amount}

    async with running_service(tmp_path, model=ScriptedModel(script), tools=[refund]) as service:
        document = {"title": "Returns", "text": "# Returns\n\nWhoever sends a refund needs the order's number: R-7."}
        (await service.client.post("/v1/documents", json=document)).raise_for_status()
        yield Shop(service, paid)


async def ask(page: Page, question: str = QUESTION) -> Locator:
    """Ask, and give the turn that answers."""
    await page.get_by_role("textbox", name="Your question").fill(question)
    await page.keyboard.press("Enter")
    return page.get_by_role("article", name=question).last


def card(within: Page | Locator) -> Locator:
    return within.get_by_role("region", name="Approval of refund")


async def test_a_run_that_waits_shows_what_it_would_do_and_leaves_the_session_free(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    turn = await ask(page)
    await expect(turn).to_have_attribute("data-state", "waiting")
    asked = card(turn)
    await expect(asked).to_contain_text("Approve refund?")
    await expect(asked).to_contain_text("refund acts only once a person agrees")
    await expect(asked).to_contain_text("irreversible")
    await expect(asked).to_contain_text("manager")
    assert json.loads(await asked.locator("pre").inner_text()) == {"order": "R-7", "amount": 12.5}
    other = await ask(page, "Good morning")
    await expect(other).to_have_attribute("data-state", "completed")
    await expect(turn).to_have_attribute("data-state", "waiting")
    assert shop.paid == []


async def test_the_sources_that_led_there_open_their_passage(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    asked = card(await ask(page))
    await asked.get_by_text("What led here").click()
    await asked.get_by_role("button", name="Returns").click()
    await expect(page.get_by_role("dialog")).to_contain_text("needs the order's number")


async def test_approving_by_keyboard_makes_the_call_and_the_answer_goes_on(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    turn = await ask(page)
    approve = card(turn).get_by_role("button", name="Approve")
    await approve.focus()
    await page.keyboard.press("Enter")
    await expect(card(turn).get_by_role("heading", name="Approved by local")).to_be_focused()
    await expect(turn).to_have_attribute("data-state", "completed")
    await expect(turn.locator(".answer")).to_contain_text('I will see to it. It came to this: {"paid":12.5}')
    await expect(card(turn).get_by_role("button")).to_have_count(0)
    assert shop.paid == [("R-7", 12.5)]


async def test_edited_arguments_are_those_that_the_call_is_made_with(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    turn = await ask(page)
    asked = card(turn)
    await asked.get_by_role("button", name="Edit").click()
    field = asked.get_by_role("textbox", name="Arguments")
    await expect(field).to_be_focused()
    await field.fill('{"order": "R-7",')
    await asked.get_by_role("button", name="Approve these").click()
    await expect(asked.get_by_role("alert")).to_contain_text("That is not JSON")
    await field.fill('{"order": "R-7", "amount": 5}')
    await asked.get_by_role("button", name="Approve these").click()
    await expect(asked).to_contain_text("Edited and approved by local")
    await expect(turn).to_have_attribute("data-state", "completed")
    assert shop.paid == [("R-7", 5.0)]


async def test_a_number_too_large_for_javascript_is_shown_and_edited_as_it_is(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    turn = await ask(page, "Please refund the order with the large number.")
    asked = card(turn)
    await expect(asked.locator("pre")).to_contain_text("9007199254740993")
    await asked.get_by_role("button", name="Edit").click()
    field = asked.get_by_role("textbox", name="Arguments")
    await field.fill((await field.input_value()).replace("12.5", "5"))
    await asked.get_by_role("button", name="Approve these").click()
    await expect(turn).to_have_attribute("data-state", "completed")
    assert shop.paid == [(9007199254740993, 5.0)]


async def test_arguments_that_the_tool_refuses_are_said_beside_them(shop: Shop, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(shop.service.url)
    asked = card(await ask(page))
    await asked.get_by_role("button", name="Edit").click()
    await asked.get_by_role("textbox", name="Arguments").fill('{"order": "R-7", "amount": "much"}')
    await asked.get_by_role("button", name="Approve these").click()
    await expect(asked.get_by_role("alert")).to_contain_text("amount")
    await expect(asked.get_by_role("button", name="Approve these")).to_be_focused()
    await asked.get_by_role("button", name="Back").click()
    await expect(asked.get_by_role("button", name="Approve", exact=True)).to_be_focused()


async def test_a_rejection_with_its_reason_reaches_the_model(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    turn = await ask(page)
    await card(turn).get_by_role("button", name="Reject").click()
    await card(turn).get_by_role("textbox", name="Why?").fill("It was paid last week.")
    await card(turn).get_by_role("button", name="Reject").click()
    await expect(card(turn)).to_contain_text("Rejected by local")
    await expect(card(turn)).to_contain_text("It was paid last week.")
    await expect(turn.locator(".answer")).to_contain_text("It was paid last week.")
    assert shop.paid == []


async def test_a_reload_shows_what_waits_and_then_what_somebody_else_decided(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    await expect(await ask(page)).to_have_attribute("data-state", "waiting")
    await page.reload()
    turn = page.get_by_role("article", name=QUESTION)
    await expect(turn).to_have_attribute("data-state", "waiting")
    store = shop.service.services.approvals
    (waiting,) = await store.list(LOCAL, status="pending", limit=5)
    await store.decide(LOCAL, waiting.id, Decision(decision="approve"))
    await shop.service.services.runs.wake(waiting.run_id)
    await expect(card(turn)).to_contain_text("Approved by local")
    await expect(turn).to_have_attribute("data-state", "completed")
    await page.reload()
    await expect(card(page)).to_contain_text("Approved by local")
    await expect(card(page).get_by_role("button")).to_have_count(0)


async def test_what_was_decided_meanwhile_is_shown_in_the_place_of_a_second_decision(
    shop: Shop, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(shop.service.url)
    await ask(page)
    await page.get_by_role("button", name="Decide").click()
    panel = card(page.get_by_role("dialog"))
    await expect(panel).to_contain_text("Asked by local")
    store = shop.service.services.approvals
    (waiting,) = await store.list(LOCAL, status="pending", limit=5)
    await store.decide(LOCAL, waiting.id, Decision(decision="reject", reason="no"))
    await panel.get_by_role("button", name="Approve").click()
    await expect(panel).to_contain_text("Rejected by local")


async def test_all_that_waits_is_reached_from_the_header_and_decided_there(shop: Shop, page: Page) -> None:
    await page.goto(shop.service.url)
    await expect(page.get_by_role("button", name="Decide")).to_be_hidden()
    first = await ask(page)
    await expect(first).to_have_attribute("data-state", "waiting")
    await page.get_by_role("link", name="New conversation").click()
    await ask(page)
    opener = page.get_by_role("button", name="Decide what waits: 2")
    await opener.click()
    panel = page.get_by_role("dialog")
    await expect(card(panel)).to_have_count(2)
    await card(panel).last.get_by_role("button", name="Approve").click()
    await expect(card(panel).last).to_contain_text("Approved by local")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Decide what waits: 1")).to_be_visible()
    assert shop.paid == [("R-7", 12.5)]


async def test_on_a_phone_it_fits_and_can_be_tapped(shop: Shop, page: Page) -> None:
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(shop.service.url)
    turn = await ask(page)
    await expect(page.get_by_role("button", name="Decide")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    for button in await card(turn).get_by_role("button").all():
        box: Any = await button.bounding_box()
        assert box["height"] >= 40
        assert box["x"] + box["width"] <= 320
    await page.get_by_role("button", name="Decide").click()
    await card(page.get_by_role("dialog")).get_by_role("button", name="Approve").click()
    await expect(turn).to_have_attribute("data-state", "completed")


async def test_a_key_that_may_not_decide_sees_what_waits_and_hears_that_it_may_not(
    shop: Shop, context: BrowserContext
) -> None:
    keys = KeyStore(shop.service.services.knowledge.database)
    made = await keys.create(tenant="default", name="chat", scopes=frozenset({"chat"}))
    page = await context.new_page()
    await page.goto(shop.service.url)
    await page.get_by_role("dialog").get_by_role("textbox").fill(made.text)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    asked = card(await ask(page))
    await expect(page.get_by_role("button", name="Decide")).to_be_hidden()
    await asked.get_by_role("button", name="Approve").click()
    await expect(asked.get_by_role("alert")).to_contain_text("approvals")
    assert shop.paid == []
