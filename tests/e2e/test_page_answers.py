"""What the page says of an answer: what was remembered for it, that it was given before, and whether it was right."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, Route, expect

from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem
from records.ids import now
from tests.e2e.test_page import PHONE, answered, ask, overflow, stream_of
from tests.support.service import LocalService, running_service

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

QUESTION = "How do I take my coffee?"
ANSWER = "You take it black."


def says(request: ModelRequest) -> list[ScriptItem]:
    return ["It is served black. [1]" if "served" in request.messages[-1].content else ANSWER]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    async with running_service(tmp_path_factory.mktemp("answers"), model=ScriptedModel(says)) as service:
        yield service


def scripted(*between: dict[str, Any]) -> str:
    """A run of which only this matters."""
    started = {"type": "run.started", "session_id": "s1", "model": "m", "config_version": "", "created_at": str(now())}
    ended = {"type": "run.completed", "finish_reason": "stop", "answer": ANSWER, "duration_ms": 1, "cached": True}
    return stream_of(started, *between, {"type": "text.delta", "delta": ANSWER}, ended)


def hit(**said: Any) -> dict[str, Any]:
    return {
        "type": "cache.hit", "entry_id": "e1", "question": QUESTION, "decided_by": "near", "score": 0.97,
        "threshold": 0.9, "age_seconds": 190.0, "decision": ["the words agree", "0.97 is over 0.90"], **said,
    }  # fmt: skip


async def test_what_was_remembered_for_an_answer_is_told_and_leads_to_the_record(
    service: LocalService, page: Page
) -> None:
    """The version is the one that was shown, whatever the record says by now. What is forgotten is gone here, too."""
    said = {"kind": "preference", "text": "I like it black."}
    record = (await service.client.post("/v1/memory", json=said)).json()["id"]
    await service.client.put(f"/v1/memory/{record}", json={"text": "I like it white.", "expected_version": 1})
    recalled = [
        {"id": record, "version": 1, "kind": "preference", "text": "I like it black.", "trust": "stated", "score": 0.8},
        {"id": "other", "version": 4, "kind": "profile", "text": "My name is Ada.", "trust": "stated", "score": 0.5},
    ]
    body = scripted({"type": "memory.recalled", "memories": recalled, "duration_ms": 1})
    await page.route("**/v1/chat/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    await page.goto(service.url)
    turn = await answered(await ask(page, QUESTION))
    line = turn.locator(".step.memory")
    await expect(line.locator("summary")).to_have_text("Remembered: I like it black. and 1 more")
    await line.locator("summary").press("Enter")
    await expect(line.get_by_role("button")).to_have_text(["I like it black. version 1", "My name is Ada. version 4"])
    opener = line.get_by_role("button").first
    await opener.press("Enter")
    panel = page.get_by_role("dialog")
    await expect(panel.get_by_role("list", name="Versions").get_by_role("listitem")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(opener).to_be_focused()

    await opener.press("Enter")
    await panel.get_by_role("button", name="Forget it").click()
    await panel.get_by_role("button", name="Forget it for good").click()
    await expect(line.locator("summary")).to_have_text("Remembered: [forgotten] and 1 more")
    await expect(opener).to_have_text("[forgotten] version 1")


async def test_an_answer_that_was_given_before_says_so_and_is_asked_for_afresh(
    service: LocalService, page: Page
) -> None:
    asked: list[Any] = []
    streams = [
        scripted(hit(question="How do I like my coffee?")),
        scripted({"type": "cache.miss", "reason": "bypassed", "decision": ["you asked afresh"]}),
        scripted(hit(decided_by="concurrent", age_seconds=0)),
    ]

    async def answer(route: Route) -> None:
        asked.append(route.request.post_data_json)
        await route.fulfill(body=streams[len(asked) - 1], content_type="text/event-stream")

    await page.route("**/v1/chat/stream", answer)
    await page.set_viewport_size(PHONE)
    await page.goto(service.url)
    first = await answered(await ask(page, QUESTION))
    given = first.locator(".step.cached")
    await expect(given.locator("summary")).to_have_text("Answered before, 3 minutes ago")
    await given.locator("summary").press("Enter")
    await expect(given.locator("q")).to_have_text("How do I like my coffee?")
    await expect(given.get_by_role("listitem")).to_have_text(["the words agree", "0.97 is over 0.90"])
    assert await overflow(page) == 0
    await given.get_by_role("button", name="Ask afresh").press("Enter")
    await expect(page.get_by_role("article")).to_have_count(2)
    second = await answered(page.get_by_role("article").last)
    await expect(second.locator(".step")).to_have_count(0)
    third = await answered(await ask(page, QUESTION))
    await expect(third.locator(".step.cached summary")).to_have_text("Answered together with the same question")
    await expect(third.locator("q")).to_have_count(0)
    assert [body.get("cache") for body in asked] == [None, "bypass", None]
    assert {body["message"] for body in asked} == {QUESTION}


async def test_a_run_that_remembers_and_one_that_was_answered_before_say_so(service: LocalService, page: Page) -> None:
    """The events as runs tell them, not as a script does."""
    said = {"kind": "preference", "text": "I take my coffee with cardamom."}
    record = (await service.client.post("/v1/memory", json=said)).json()["id"]
    await page.goto(service.url)
    turn = await answered(await ask(page, QUESTION))
    await expect(turn.locator(".step.memory summary")).to_have_text(f"Remembered: {said['text']}")
    await service.client.delete(f"/v1/memory/{record}")

    document = {"title": "Coffee", "text": "# Coffee\n\nCoffee is served black.", "trust": "trusted"}
    (await service.client.post("/v1/documents", json=document)).raise_for_status()
    for given in (False, True):
        await page.get_by_role("link", name="New conversation").click()
        await expect(page.get_by_role("article")).to_have_count(0)
        turn = await answered(await ask(page, "How is coffee served?"))
        await expect(turn.locator(".step.cached")).to_have_count(int(given))
    await turn.get_by_role("button", name="Ask afresh").press("Enter")
    await expect(page.get_by_role("article")).to_have_count(2)
    afresh = await answered(page.get_by_role("article").last)
    await expect(afresh.locator(".step.cached")).to_have_count(0)


def verdict(turn: Locator, name: str) -> Locator:
    return turn.get_by_role("group", name="Was this right?").get_by_role("button", name=name)


async def test_an_answer_is_called_right_or_wrong_and_a_reload_shows_it(service: LocalService, page: Page) -> None:
    await page.goto(service.url)
    turn = await answered(await ask(page, QUESTION))
    await verdict(turn, "Right").press("Enter")
    await expect(verdict(turn, "Right")).to_have_attribute("aria-pressed", "true")
    await verdict(turn, "Wrong").press("Enter")
    await expect(verdict(turn, "Right")).to_have_attribute("aria-pressed", "false")
    field = turn.get_by_role("textbox", name="What is wrong with it?")
    await expect(field).to_be_focused()
    await field.fill("With <b>milk</b>.")
    await turn.get_by_role("button", name="Send").press("Enter")
    await expect(turn.get_by_text("“With <b>milk</b>.”")).to_be_visible()
    await expect(verdict(turn, "Wrong")).to_be_focused()
    run = await page.evaluate("JSON.parse(sessionStorage.getItem('cairn.run')).runId")
    kept = (await service.client.get(f"/v1/runs/{run}")).json()["feedback"]
    assert (kept["verdict"], kept["comment"]) == ("wrong", "With <b>milk</b>.")

    await page.reload()
    turn = page.get_by_role("article", name=QUESTION)
    await expect(verdict(turn, "Wrong")).to_have_attribute("aria-pressed", "true")
    await expect(turn.get_by_text("“With <b>milk</b>.”")).to_be_visible()


async def test_a_verdict_that_did_not_arrive_is_not_shown_as_said(
    service: LocalService, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(service.url)
    turn = await answered(await ask(page, QUESTION))
    await context.set_offline(True)
    await verdict(turn, "Wrong").click()
    await expect(turn.get_by_role("alert")).to_contain_text("cannot be reached")
    await expect(verdict(turn, "Wrong")).to_have_attribute("aria-pressed", "false")
    await context.set_offline(False)
    await verdict(turn, "Wrong").click()
    await turn.get_by_role("button", name="Leave it at that").click()
    await expect(verdict(turn, "Wrong")).to_have_attribute("aria-pressed", "true")
    await expect(turn.get_by_role("textbox")).to_have_count(0)
