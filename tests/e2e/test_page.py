"""The page at ``/``, in a real headless Chromium against a real service."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, FilePayload, Locator, Page, Route, ViewportSize, expect

from models.scripted import ScriptedModel
from records.keys import KeyStore, NewKey
from records.principal import Scope
from tests.support.service import running_service

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "page.png"
PHONE: ViewportSize = {"width": 320, "height": 640}
NARROW: ViewportSize = {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Service(Protocol):
    """What the page needs of the service under test."""

    url: str


async def ask(page: Page, question: str) -> Locator:
    """Ask, and give the turn that answers."""
    await page.get_by_role("textbox", name="Your question").fill(question)
    await page.keyboard.press("Enter")
    return page.get_by_role("article", name=question).last


async def answered(turn: Locator) -> Locator:
    await expect(turn).to_have_attribute("data-state", "completed")
    return turn


def answer(turn: Locator) -> Locator:
    return turn.locator(".answer")


async def test_an_answer_has_markers_that_open_the_passage_in_its_document(live_service: Service, page: Page) -> None:
    """Document, heading path and passage are shown; Escape leads back to the marker."""
    await page.goto(live_service.url)
    turn = await answered(await ask(page, "How long may I return opened headphones?"))
    marker = turn.locator(".answer .cite").first
    await marker.click()
    panel = page.get_by_role("dialog")
    await expect(panel.get_by_role("heading", level=2)).to_be_focused()
    await expect(panel.locator(".place")).not_to_be_empty()
    await expect(panel.locator("mark").first).to_be_visible()
    passage = " ".join(await panel.locator("mark").all_inner_texts())
    assert await panel.locator(".claim").first.inner_text() in passage
    assert "headphones" in passage.lower()
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(marker).to_be_focused()


async def test_the_sources_under_an_answer_are_those_it_cites(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    turn = await answered(await ask(page, "How long may I return opened headphones?"))
    cited = set(await turn.locator(".answer .cite").all_text_contents())
    listed = set(await turn.locator(":scope > .sources .stone").all_text_contents())
    assert cited
    assert cited == listed


async def test_a_tool_call_is_shown_with_its_arguments_and_its_result(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    turn = await answered(await ask(page, "Where is order 1042?"))
    call = turn.locator(".step.tool")
    await expect(call).to_have_attribute("data-state", "done")
    await call.locator("summary").click()
    arguments, result = await call.locator("pre").all_inner_texts()
    assert json.loads(arguments)["order_id"] == 1042
    assert json.loads(result)


async def test_text_is_shown_while_it_is_written_and_stop_ends_it(slow_service: Service, page: Page) -> None:
    await page.goto(slow_service.url)
    turn = await ask(page, "Tell me a long story.")
    await expect(answer(turn)).to_have_text(re.compile(r"\w"))
    early = await answer(turn).inner_text()
    await expect(answer(turn)).not_to_have_text(early)
    await expect(turn).to_have_attribute("aria-busy", "true")
    await page.get_by_role("button", name="Stop").click()
    await expect(turn).to_have_attribute("data-state", "cancelled")
    await expect(turn).to_contain_text("Stopped.")
    assert (await answer(turn).inner_text()).startswith(early)
    await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


async def test_a_reload_goes_on_with_the_running_answer(slow_service: Service, page: Page) -> None:
    await page.goto(slow_service.url)
    turn = await ask(page, "Tell me a long story, please.")
    await expect(answer(turn)).to_have_text(re.compile(r"\w"))
    early = await answer(turn).inner_text()
    await page.reload()
    turn = page.get_by_role("article", name="Tell me a long story, please.")
    await expect(answer(turn)).to_contain_text(early)
    await page.get_by_role("button", name="Stop").click()
    await expect(turn).to_have_attribute("data-state", "cancelled")


async def test_a_session_is_listed_and_shown_again_with_its_sources(live_service: Service, page: Page) -> None:
    question = "May I return opened headphones that I have worn?"
    await page.goto(live_service.url)
    said = await answer(await answered(await ask(page, question))).inner_text()
    address = page.url
    await page.get_by_role("link", name="New conversation").click()
    await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    await page.get_by_role("navigation").get_by_role("link", name=question).first.click()
    assert page.url == address
    turn = await answered(page.get_by_role("article", name=question))
    assert await answer(turn).inner_text() == said
    await page.reload()
    await turn.locator(".cite").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_an_uploaded_file_can_be_asked_about_and_deleted(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    text = b"# The quern of Ardlow\n\nThe quern of Ardlow is turned on Tuesdays by the miller's daughter."
    await page.locator("#files").set_input_files({"name": "quern.md", "mimeType": "text/markdown", "buffer": text})
    documents = page.get_by_role("region", name="Documents")
    await expect(documents.get_by_role("button", name="quern")).to_be_visible()
    await expect(page.locator(".upload")).to_have_count(0)
    turn = await answered(await ask(page, "When is the quern of Ardlow turned?"))
    await expect(answer(turn)).to_contain_text("Tuesdays")
    await documents.get_by_role("button", name="quern").click()
    panel = page.get_by_role("dialog")
    await expect(panel).to_contain_text("turned on Tuesdays")
    await panel.get_by_role("button", name="Delete this document").click()
    await panel.get_by_role("button", name="Delete it for good").click()
    await expect(documents.get_by_role("button", name="quern")).to_have_count(0)


async def test_a_file_that_cannot_be_read_says_why_beside_its_name(
    live_service: Service, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(live_service.url)
    await page.locator("#files").set_input_files({"name": "empty.pdf", "mimeType": "application/pdf", "buffer": b""})
    upload = page.locator(".upload.failed")
    await expect(upload).to_contain_text("empty.pdf")
    await expect(upload.get_by_role("button", name="Try again")).to_be_visible()
    await upload.get_by_role("button", name="Dismiss").click()
    await expect(page.locator(".upload")).to_have_count(0)


async def test_on_a_phone_an_upload_is_seen_where_it_was_asked_for(
    live_service: Service, context: BrowserContext, tmp_path: Path
) -> None:
    """The list of documents is in the closed rail: progress, outcome and failure are above the question box."""
    page = await context.new_page()
    await page.set_viewport_size(NARROW)
    await page.goto(live_service.url)
    release = asyncio.Event()

    async def hold_back(route: Route) -> None:
        await release.wait()
        await route.continue_()

    await page.route(re.compile("/v1/documents$"), hold_back)
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Add documents").click()
    empty: FilePayload = {"name": "empty.pdf", "mimeType": "application/pdf", "buffer": b""}
    text = b"# The sluice\n\nThe sluice is opened at dawn."
    sluice: FilePayload = {"name": "sluice.md", "mimeType": "text/markdown", "buffer": text}
    await (await chooser.value).set_files([sluice, empty])
    uploads = page.get_by_role("list", name="Uploads")
    await expect(uploads.get_by_role("progressbar", name="Upload of sluice.md")).to_be_in_viewport()
    await page.screenshot(path=tmp_path / "sending.png")
    release.set()
    await expect(uploads.get_by_text("added")).to_be_in_viewport()
    failed = uploads.locator(".failed")
    await expect(failed.get_by_role("button", name="Try again")).to_be_in_viewport()
    await expect(page.get_by_role("textbox", name="Your question")).to_be_in_viewport()
    assert await overflow(page) == 0
    await page.screenshot(path=tmp_path / "failed.png")
    await failed.get_by_role("button", name="Dismiss").click()
    await expect(page.locator(".upload")).to_have_count(0)

    await page.get_by_role("button", name="Conversations and documents").click()
    documents = page.get_by_role("region", name="Documents")
    await expect(documents.get_by_role("button", name="The sluice")).to_be_visible()
    await page.locator("#files").set_input_files(empty)
    await expect(documents.get_by_role("button", name="Try again")).to_be_in_viewport()
    await page.screenshot(path=tmp_path / "rail.png")
    await documents.get_by_role("button", name="The sluice").click()
    await page.get_by_role("button", name="Delete this document").click()
    await page.get_by_role("button", name="Delete it for good").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_hostile_document_stays_text(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    text = f"# Zebrafinch {HOSTILE}\n\nThe zebrafinch password is {HOSTILE} and nothing else."
    await page.locator("#files").set_input_files(
        {"name": "finch.md", "mimeType": "text/markdown", "buffer": text.encode()}
    )
    entry = page.get_by_role("region", name="Documents").get_by_role("button", name=re.compile("finch", re.IGNORECASE))
    await expect(entry).to_be_visible()
    await answered(await ask(page, "What is the zebrafinch password?"))
    await entry.click()
    panel = page.get_by_role("dialog")
    await expect(panel).to_contain_text("<script>alert(2)</script>")
    assert await page.locator("#turns :is(img, script), dialog :is(img, script)").count() == 0
    await panel.get_by_role("button", name="Delete this document").click()
    await panel.get_by_role("button", name="Delete it for good").click()
    await expect(entry).to_have_count(0)


def stream_of(*events: dict[str, Any], newline: str = "\r\n") -> str:
    """A body as another server might frame it: carriage returns, comments, several data lines."""
    frames = [": hello" + newline]
    for seq, event in enumerate(events, 1):
        head, tail = json.dumps({"run_id": "r1", "seq": seq, **event}).split(",", 1)
        lines = [f"event: {event['type']}", f"id: {seq}", f"data: {head},", f"data:{tail}", ": beat", "", ""]
        frames.append(newline.join(lines))
    return "".join(frames)


async def test_hostile_text_in_every_field_of_every_event_stays_text(live_service: Service, page: Page) -> None:
    source = {
        "label": 1, "document_id": "d1", "version": "v1", "collection": HOSTILE, "uri": "javascript:alert(3)",
        "title": HOSTILE, "heading_path": [HOSTILE], "page": 1, "start": 0, "end": 9, "text": HOSTILE,
        "trust": "untrusted", "score": 1.0, "scores": {"dense": 0.5}, "metadata": {HOSTILE: HOSTILE},
    }  # fmt: skip
    said = f"{HOSTILE} [1]\n\n- [here](javascript:alert(4)) ![x](https://example.org/x.png)\n\n```\n{HOSTILE}\n```"
    body = stream_of(
        {"type": "run.started", "session_id": "s1", "model": HOSTILE, "config_version": "", "created_at": ""},
        {"type": "retrieval.completed", "query": HOSTILE, "collection": HOSTILE, "sources": [source], "duration_ms": 1},
        {"type": "memory.recalled", "duration_ms": 1, "memories": [
            {"id": HOSTILE, "version": 1, "kind": "fact", "text": HOSTILE, "trust": "stated", "score": 1.0}]},
        {"type": "cache.hit", "entry_id": HOSTILE, "question": HOSTILE, "decided_by": "near", "score": 1.0,
         "threshold": 0.9, "age_seconds": 1, "decision": [HOSTILE]},
        {"type": "tool.call", "call_id": "c1", "name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "effect": "write"},
        {"type": "tool.result", "call_id": "c1", "name": HOSTILE, "ok": False, "content": HOSTILE, "failure": "failed",
         "duration_ms": 1},
        {"type": "text.delta", "delta": said},
        {"type": "citation", "label": 1, "start": 0, "end": len(HOSTILE), "document_id": "d1", "version": "v1"},
        {"type": "something.new", "field": 1},
        {"type": "run.failed", "code": "model_error", "detail": HOSTILE, "retryable": True},
    )  # fmt: skip
    await page.route("**/v1/chat/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    await page.route("**/v1/documents/d1?*", lambda route: route.fulfill(json={"text": HOSTILE}))
    await page.goto(live_service.url)
    turn = await ask(page, HOSTILE)
    await expect(turn).to_have_attribute("data-state", "failed")
    await expect(answer(turn)).to_contain_text("onerror=alert(1)")
    await expect(turn.locator(".failure")).to_contain_text("onerror=alert(1)")
    await expect(turn.get_by_role("button", name="Try again")).to_be_visible()
    await turn.locator(".cite").click()
    await expect(page.get_by_role("dialog").locator("mark")).to_have_text(HOSTILE[:9])
    found = page.locator("#turns :is(img, script, iframe), dialog :is(img, script, iframe)")
    assert await found.count() == 0
    assert await page.locator("a[href^='javascript']").count() == 0


RENDERED = {
    "plain **bold** and *thin*": "<p>plain <strong>bold</strong> and <em>thin</em></p>",
    "- one\n- two\n  1. deep": "<ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul>",
    "say:\n3. three": '<p>say:</p><ol start="3"><li>three</li></ol>',
    "## A title": "<h3>A title</h3>",
    "`a < b`": "<p><code>a &lt; b</code></p>",
    "```sh\n**x**\n\n[1]\n```": '<pre tabindex="0"><code>**x**\n\n[1]</code></pre>',
    "known [1], unknown [7]": "<p>known <b>1</b>, unknown [7]</p>",
    "both [1, 2]": "<p>both <b>1</b><b>2</b></p>",
    "<b>no</b>": "<p>&lt;b&gt;no&lt;/b&gt;</p>",
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "2 * 3 * 4 and snake_case_name": "<p>2 * 3 * 4 and snake_case_name</p>",
    "[bank](https://evil.example/a)": (
        '<p><a href="https://evil.example/a" target="_blank" rel="noopener noreferrer nofollow">bank</a>'
        '<span class="soft"> (evil.example)</span></p>'
    ),
    "| a | b |\n|---|---|\n| 1 | <i> |": (
        '<div class="table"><table><thead><tr><th>a</th><th>b</th></tr></thead>'
        "<tbody><tr><td>1</td><td>&lt;i&gt;</td></tr></tbody></table></div>"
    ),
}


async def test_markdown_becomes_few_known_elements(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    rendered = await page.evaluate(
        """async (texts) => {
          const { blocks, renderBlock } = await import("/page/markdown.js");
          const cite = (label) => label < 3 ? Object.assign(document.createElement("b"), { textContent: label }) : null;
          const html = (text) => blocks(text).flatMap((block) => renderBlock(block, cite)).map((n) => n.outerHTML);
          return texts.map((text) => html(text).join(""));
        }""",
        list(RENDERED),
    )
    assert dict(zip(RENDERED, rendered, strict=True)) == RENDERED


async def test_spans_in_code_points_find_their_text_behind_emoji(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    text, start, end = "🎧👩‍🚀 café — 世界🎉!", 4, 10
    found = await page.evaluate(
        """async ([text, start, end]) => {
          const { unitSpan } = await import("/page/codepoints.js");
          return text.slice(...unitSpan(text, start, end));
        }""",
        [text, start, end],
    )
    assert found == text[start:end]


@contextlib.asynccontextmanager
async def cutting_proxy(url: str, *, after: int) -> AsyncIterator[str]:
    """A proxy that cuts the first chat stream after so many bytes, and lets everything else pass."""
    target = urlsplit(url)
    cuts = 1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        left: int | None = None

        async def there() -> None:
            nonlocal cuts, left
            while data := await reader.read(65_536):
                if cuts and data.startswith(b"POST /v1/chat/stream"):
                    cuts, left = cuts - 1, after
                up_writer.write(data)
            up_writer.close()

        async def back() -> None:
            nonlocal left
            while data := await up_reader.read(65_536):
                writer.write(data[:left])
                await writer.drain()
                if left is not None and (left := left - len(data)) <= 0:
                    break
            writer.close()

        with contextlib.suppress(ConnectionError):
            await asyncio.gather(there(), back())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_cut_connection_is_taken_up_again_without_loss_or_repetition(
    slow_service: Service, context: BrowserContext
) -> None:
    page = await context.new_page()
    resumed: list[str | None] = []

    async def note(route: Route) -> None:
        resumed.append(await route.request.header_value("Last-Event-ID"))
        await route.continue_()

    await page.route("**/v1/runs/*/events", note)
    async with cutting_proxy(slow_service.url, after=2_500) as url:
        await page.goto(url)
        async with page.expect_response("**/v1/runs/*/events"):
            turn = await ask(page, "Tell me a long story, and mind the gap.")
        before = await answer(turn).inner_text()
        await expect(answer(turn)).not_to_have_text(before)
        await page.get_by_role("button", name="Stop").click()
        await expect(turn).to_have_attribute("data-state", "cancelled")
        shown = await answer(turn).inner_text()
        run = await page.evaluate("JSON.parse(sessionStorage.getItem('cairn.run')).runId")
        kept = await (await page.request.get(f"{url}v1/runs/{run}")).json()
    assert len(resumed) == 1
    assert resumed[0] is not None
    assert shown.split() == kept["answer"].split()


async def test_without_the_service_the_page_says_so_and_asks_again_on_request(
    live_service: Service, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(live_service.url)
    await expect(page.get_by_role("button", name=re.compile(r"\?$")).first).to_be_visible()
    await context.set_offline(True)
    turn = await ask(page, "How long may I return opened headphones?")
    await expect(turn.locator(".failure")).to_contain_text("cannot be reached")
    await context.set_offline(False)
    await turn.get_by_role("button", name="Try again").click()
    again = await answered(page.get_by_role("article"))
    await expect(again.locator(".cite").first).to_be_visible()


async def test_a_session_that_is_not_there_is_said_and_left(live_service: Service, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(f"{live_service.url.rstrip('/')}/#s=00000000-0000-7000-8000-000000000000")
    await expect(page.get_by_role("alert").filter(has_text=re.compile("session", re.IGNORECASE))).to_be_visible()
    await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    await answered(await ask(page, "How long may I return opened headphones?"))


async def test_a_question_that_is_refused_can_be_changed(live_service: Service, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(live_service.url)
    box = page.get_by_role("textbox", name="Your question")
    await box.fill("How long may I return opened headphones? " * 10_000)
    await box.press("Enter")
    await expect(page.locator(".failure")).to_contain_text("characters")
    await page.get_by_role("button", name="Change the question").click()
    await expect(box).to_be_focused()
    await expect(page.get_by_role("article")).to_have_count(0)
    await answered(await ask(page, "How long may I return opened headphones?"))


async def test_a_service_without_documents_invites_to_add_some(slow_service: Service, page: Page) -> None:
    await page.goto(slow_service.url)
    async with page.expect_file_chooser():
        await page.get_by_role("button", name="Add your first document").click()


async def test_the_keyboard_alone_is_enough(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the question box")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Your question")).to_be_focused()
    await page.keyboard.type("How long may I return")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("opened headphones?")
    await page.keyboard.press("Enter")
    turn = await answered(page.get_by_role("article"))
    marker = turn.locator(".cite").first
    for _ in range(20):
        if await marker.evaluate("(node) => node === document.activeElement"):
            break
        await page.keyboard.press("Shift+Tab")
    await expect(marker).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(marker).to_be_focused()


async def overflow(page: Page) -> int:
    return int(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


async def test_on_a_phone_nothing_scrolls_sideways(live_service: Service, page: Page) -> None:
    await page.set_viewport_size(PHONE)
    await page.goto(live_service.url)
    await expect(page.get_by_role("button", name=re.compile(r"\?$")).first).to_be_visible()
    assert await overflow(page) == 0
    turn = await answered(await ask(page, "How long may I return opened headphones?"))
    assert await overflow(page) == 0
    await turn.locator(".cite").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await overflow(page) == 0
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Conversations and documents").click()
    await expect(page.get_by_role("navigation")).to_be_visible()
    assert await overflow(page) == 0
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("navigation")).to_be_hidden()
    assert await page.locator("#conversation").evaluate("(node) => node.scrollWidth - node.clientWidth") == 0
    await page.get_by_role("button", name="Conversations and documents").click()
    await page.mouse.click(PHONE["width"] - 5, 300)
    await expect(page.get_by_role("navigation")).to_be_hidden()


CONTROLS = {"button", "link", "textbox", "dialog", "DisclosureTriangle", "progressbar", "navigation", "article"}


async def unnamed(page: Page) -> list[str]:
    """Controls and landmarks of the accessibility tree that have no name."""
    session = await page.context.new_cdp_session(page)
    tree = await session.send("Accessibility.getFullAXTree")
    nodes = [node for node in tree["nodes"] if not node["ignored"] and node.get("role", {}).get("value") in CONTROLS]
    assert nodes
    return [node["role"]["value"] for node in nodes if not node.get("name", {}).get("value")]


async def test_every_control_has_a_name(live_service: Service, page: Page) -> None:
    await page.goto(live_service.url)
    await expect(page.get_by_role("button", name=re.compile(r"\?$")).first).to_be_visible()
    assert await unnamed(page) == []
    turn = await answered(await ask(page, "How long may I return opened headphones?"))
    await turn.locator(".cite").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await unnamed(page) == []
    for landmark in ("main", "navigation", "complementary"):
        await expect(page.get_by_role(landmark).first).to_be_visible()


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two hex colours (WCAG 2.2, 1.4.3)."""

    def luminance(colour: str) -> float:
        channels = [int(colour.lstrip("#")[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


PAIRS = [
    *((text, ground) for text in ("ink", "soft", "lake", "alarm") for ground in ("fog", "paper")),
    ("ink", "rock"),
    ("soft", "rock"),
    ("ink", "sign-wash"),
    ("sign-ink", "sign"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(live_service: Service, page: Page, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.goto(live_service.url)
    names = sorted({name for pair in PAIRS for name in pair})
    values = await page.evaluate(
        """(names) => {
          const style = getComputedStyle(document.documentElement);
          return names.map((name) => style.getPropertyValue("--" + name).trim());
        }""",
        names,
    )
    colours = dict(zip(names, values, strict=True))
    faint = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in PAIRS}
    assert {pair: round(ratio, 2) for pair, ratio in faint.items() if ratio < 4.5} == {}


LATER = {"key_dialog.js", "word_diff.js", *(f"memory{part}" for part in (".js", ".css", "_api.js", "_words.js")),
         "memory_record.js", "memory_undo.js"}  # fmt: skip
"""What is loaded only when it is asked for."""


async def test_the_page_stays_small(live_service: Service, page: Page) -> None:
    """No framework, no build: all that the browser loads is what lies in the folder, comments included.

    90 kB, uncompressed, is a second on a slow phone line (0.75 Mbit/s). The dialogs for keys and for approvals took the
    page beyond 80; what comes next has to make room for itself, as memory did, which comes with the first look at it.
    """
    sizes = {file.name: file.stat().st_size for file in (ROOT / "service" / "page").iterdir() if file.is_file()}
    assert sum(size for name, size in sizes.items() if name not in LATER and not name.endswith(".svg")) < 90_000
    assert sum(sizes.values()) < 130_000
    assert max(size for name, size in sizes.items() if name.endswith(".js")) < 10_000
    loaded = set()
    page.on("request", lambda request: loaded.add(urlsplit(request.url).path.removeprefix("/page/")))
    await page.goto(live_service.url)
    await answered(await ask(page, "How long may I return opened headphones?"))
    assert {"app.js", "style.css"} <= loaded
    assert loaded & LATER == set()


async def test_the_picture_of_the_page(live_service: Service, page: Page, request: pytest.FixtureRequest) -> None:
    """Draws ``docs/images/page.png`` anew when asked to (``--screenshots``)."""
    if not request.config.getoption("--screenshots", default=False):
        pytest.skip("pictures are drawn with --screenshots only")
    await page.set_viewport_size({"width": 1280, "height": 880})
    await page.goto(live_service.url)
    await answered(await ask(page, "Where is order 1042?"))
    turn = await answered(await ask(page, "How long may I return opened headphones?"))
    await turn.locator(".cite").first.click()
    await expect(page.get_by_role("dialog").locator(".claim").first).to_be_visible()
    await page.get_by_role("region", name="Conversation", exact=True).evaluate("(node) => node.scrollTo(0, 0)")
    await page.mouse.move(0, 0)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURE)


@dataclass(frozen=True)
class KeyedService:
    """A service that wants a key, and a way to make and revoke some."""

    url: str
    keys: KeyStore

    async def key(self, *scopes: Scope) -> NewKey:
        return await self.keys.create(tenant="default", name="page", scopes=scopes)


@pytest_asyncio.fixture(loop_scope="module")
async def keyed_service(tmp_path: Path) -> AsyncIterator[KeyedService]:
    async with running_service(tmp_path, model=ScriptedModel(lambda _: ["Said with a key."])) as running:
        service = KeyedService(running.url, KeyStore(running.services.knowledge.database))
        await service.key("admin")
        yield service


async def text_starts(node: Locator) -> float:
    """How far from the left edge its first character is."""
    script = "(node) => { const r = new Range(); r.selectNodeContents(node); return r.getBoundingClientRect().left; }"
    return float(await node.evaluate(script))


def key_dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name="This service asks for a key")


async def give(page: Page, key: str, *, accepted: bool = True) -> None:
    await key_dialog(page).get_by_label("API key").fill(key)
    await page.keyboard.press("Enter")
    await expect(key_dialog(page)).to_have_count(0 if accepted else 1)


async def test_a_key_is_asked_for_once_and_kept_in_the_tab_only(
    keyed_service: KeyedService, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(keyed_service.url)
    await expect(key_dialog(page).get_by_label("API key")).to_be_focused()
    for wrong in (f"cairn_{'0' * 32}_{'0' * 48}", "schlüssel"):
        await give(page, wrong, accepted=False)
        await expect(key_dialog(page).get_by_role("alert")).to_contain_text("does not know this key")
        await expect(key_dialog(page).get_by_label("API key")).to_be_focused()
    key = (await keyed_service.key("admin")).text
    await give(page, f" {key} ")
    await expect(answer(await answered(await ask(page, "Hello?")))).to_have_text("Said with a key.")
    await page.locator("#files").set_input_files(
        {"name": "note.md", "mimeType": "text/markdown", "buffer": b"# Note\n\nA note on keys."}
    )
    await expect(page.get_by_role("region", name="Documents").get_by_role("button", name="note")).to_be_visible()
    await page.reload()
    await expect(answer(await answered(page.get_by_role("article", name="Hello?")))).to_have_text("Said with a key.")
    await expect(key_dialog(page)).to_have_count(0)

    held = await page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]")
    assert (key in held[0], held[1:]) == (True, [[], ""])
    assert key not in await page.content()
    forget = page.get_by_role("button", name="Forget the key")
    assert await text_starts(forget) == await text_starts(page.get_by_role("heading", name="Documents"))
    await forget.click()
    await expect(key_dialog(page)).to_be_visible()
    assert key not in await page.evaluate("Object.values(sessionStorage)")


async def test_a_key_that_is_revoked_is_asked_for_again_and_the_question_goes_on(
    keyed_service: KeyedService, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(keyed_service.url)
    first = await keyed_service.key("chat")
    await give(page, first.text)
    await answered(await ask(page, "Hello?"))
    await keyed_service.keys.revoke(first.key.id)
    gone = {"Authorization": f"Bearer {first.text}"}
    while (await page.request.get(f"{keyed_service.url}/v1/sessions", headers=gone)).status != 401:
        pass
    turn = await ask(page, "And now?")
    await expect(key_dialog(page).get_by_role("alert")).to_contain_text("not accepted any more")
    await give(page, (await keyed_service.key("admin")).text)
    # The session is the first key's own, so the second one is told that it is not there.
    await expect(turn.locator(".failure")).to_contain_text("session")


async def test_a_page_without_a_key_says_so_and_takes_one_later(
    keyed_service: KeyedService, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(keyed_service.url)
    await expect(key_dialog(page)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(key_dialog(page)).to_have_count(0)
    await expect(page.get_by_role("alert").filter(has_text="only with a key")).to_have_count(1)
    turn = await ask(page, "Hello?")
    await give(page, (await keyed_service.key("admin")).text)
    await answered(turn)
    await expect(page.get_by_role("alert").filter(has_text="only with a key")).to_have_count(0)
    await expect(page.get_by_role("region", name="Documents")).to_contain_text("None yet")


async def test_a_key_that_may_only_chat_is_enough_for_the_page(
    keyed_service: KeyedService, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.goto(keyed_service.url)
    await give(page, (await keyed_service.key("chat")).text)
    await answered(await ask(page, "Hello?"))
    await expect(page.get_by_role("navigation").get_by_role("link", name="Hello?")).to_be_visible()
    await expect(page.locator("#main > .passing")).to_have_count(0)
