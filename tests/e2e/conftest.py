"""What several end-to-end tests share: the example shop as a user runs it, a service that answers slowly, a browser."""

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import ROOT, LocalService, cairn, running_service, served

SHOP = ROOT / "examples" / "shop"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE: ViewportSize = {"width": 1280, "height": 800}


@dataclass(frozen=True)
class Shop:
    """The example shop, served by ``cairn serve``."""

    url: str
    data_dir: Path


@pytest.fixture(scope="session")
def live_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The example shop with its handbook ingested, its tools, and the built-in model."""
    data_dir = tmp_path_factory.mktemp("shop")
    ingested = cairn(
        "ingest", str(SHOP / "handbook"), "--collection", "shop", "--trust", "--data-dir", str(data_dir), "--json"
    )
    assert ingested.returncode == 0, ingested.stderr
    with served(data_dir, "--collection", "shop", "--tools", str(SHOP / "tools.py")) as url:
        yield Shop(url, data_dir)


@pytest_asyncio.fixture(loop_scope="module")
async def slow_service(tmp_path: Path) -> AsyncIterator[LocalService]:
    """A service whose model says a word every 50 ms for five seconds."""
    import asyncio

    def words(_: ModelRequest) -> list[ScriptItem]:
        said: list[ScriptItem] = []
        for number in range(100):
            said += [f"word{number} ", lambda: asyncio.sleep(0.05)]
        return said

    async with running_service(tmp_path, model=ScriptedModel(words, name="scripted:slow")) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    opened = await browser.new_context(viewport=WIDE, reduced_motion="reduce", color_scheme="light")
    # A guard against hanging for ever, not a measure of speed: the machine may be busy.
    opened.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page that must end without an error in its console, a dialog, or a request to anyone but the service."""
    opened = await context.new_page()
    complaints: list[str] = []
    origins: set[str] = set()
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    opened.on("request", lambda request: origins.add(urlsplit(request.url).netloc))
    yield opened
    assert complaints == []
    assert len(origins) <= 1
