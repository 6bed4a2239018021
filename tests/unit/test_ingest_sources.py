"""What a command line names becomes documents, or the reason why not."""

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from ingest.fetching import Fetcher
from ingest.items import Item, Unreadable
from ingest.llama_readers import ReaderUnusable, read_with
from ingest.sources import PathRoots, read_paths


async def read(*paths: str | Path, fetcher: Fetcher | None = None, stdin: bytes = b"") -> list[Item | Unreadable]:
    return [item async for item in read_paths([str(p) for p in paths], fetcher=fetcher, stdin=io.BytesIO(stdin))]


def failures(items: list[Item | Unreadable]) -> list[tuple[str, str]]:
    return [(item.uri, item.code) for item in items if isinstance(item, Unreadable)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.md", "a.md", "deep/er/c.txt", ".hidden/d.md", "deep/.e.md", "ü ?.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


async def test_a_folder_gives_its_files_in_order_without_hidden_ones(tree: Path) -> None:
    items = await read(tree)
    assert [item.name for item in items if isinstance(item, Item)] == ["a.md", "b.md", "c.txt", "ü ?.md"]
    assert items[0].uri == (tree / "a.md").as_uri()


async def test_a_folder_linked_into_itself_is_read_once(tree: Path) -> None:
    (tree / "deep" / "loop").symlink_to(tree)
    (tree / "self").symlink_to(tree / "self")
    items = await read(tree)
    assert sum(isinstance(item, Item) for item in items) == 4
    assert failures(items) == [((tree / "self").as_uri(), "unreadable")]


async def test_globs_match_at_any_depth_and_say_when_nothing_does(tree: Path) -> None:
    assert [i.name for i in await read(tree / "**" / "*.txt") if isinstance(i, Item)] == ["c.txt"]
    assert [code for _, code in failures(await read(tree / "*.pdf"))] == ["not_found"]


async def test_a_relative_path_has_an_absolute_uri(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "deep")
    [item] = await read("../a.md")
    assert item.uri == (tree / "a.md").as_uri()


async def test_what_is_missing_or_no_file_is_named_and_the_rest_goes_on(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    items = await read(tree / "gone.md", tree / "pipe", tree / "a.md")
    assert [code for _, code in failures(items)] == ["not_found", "unsupported"]
    assert items[-1].uri == (tree / "a.md").as_uri()


async def test_standard_input_is_a_document() -> None:
    [item] = await read("-", stdin=b"# Hello")
    assert isinstance(item, Item)
    assert (item.uri, item.data) == ("stdin:", b"# Hello")


def test_roots_cover_what_they_would_find(tree: Path) -> None:
    roots = PathRoots((str(tree / "deep"), str(tree / "a.md"), str(tree / "*.rst"), "https://shop.example/faq", "-"))
    covered = {
        (tree / "deep/er/x.md").as_uri(): True,
        (tree / "deeper/x.md").as_uri(): False,
        (tree / "a.md").as_uri(): True,
        (tree / "a.md").as_uri() + "#2": True,
        (tree / "b.md").as_uri(): False,
        (tree / "ü ?.rst").as_uri(): True,
        (tree / "deep.d/x.rst").as_uri(): False,
        "https://shop.example/faq": True,
        "https://shop.example/faq2": False,
        "stdin:": True,
    }
    assert {uri: roots.covers(uri) for uri in covered} == covered


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    over = asyncio.Event()

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=b"<h1>Returns</h1>", content_type="text/html")

    async def untyped(_: web.Request) -> web.Response:
        return web.Response(body=b"# Returns", content_type="application/octet-stream")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async def silent(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async def around(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query.get("to", "/around"))

    app = web.Application()
    app.add_routes([web.get("/docs/returns policy", page), web.get("/endless", endless), web.get("/silent", silent)])
    app.add_routes([web.get("/untyped", untyped)])
    app.add_routes([web.get("/around", around)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        over.set()
        await runner.cleanup()


async def test_a_url_is_fetched_with_its_type_and_is_not_local() -> None:
    async with site() as url:
        [item] = await read(f"{url}/around?to=/docs/returns%20policy", fetcher=Fetcher(allow_private=True))
    assert isinstance(item, Item)
    assert (item.name, item.data, item.media_type, item.remote) == (
        "returns policy",
        b"<h1>Returns</h1>",
        "text/html",
        True,
    )


async def test_a_type_that_says_nothing_is_none() -> None:
    async with site() as url:
        [item] = await read(f"{url}/untyped", fetcher=Fetcher(allow_private=True))
    assert isinstance(item, Item)
    assert item.media_type is None


async def test_a_file_name_that_is_no_unicode_is_named_by_what_is(tree: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tree) + b"/odd\xff.md"))
    path.write_text("x")
    [item] = await read(path)
    assert isinstance(item, Item)
    assert (item.name, item.uri) == ("odd.md", path.as_uri())


@pytest.mark.parametrize(
    ("path", "code", "seconds"),
    [
        ("/none", "http_error", 30),
        ("/endless", "too_large", 30),
        ("/silent", "timeout", 0.2),
        ("/around", "unreachable", 30),
    ],
)
async def test_a_url_that_gives_no_document_says_why(path: str, code: str, seconds: float) -> None:
    fetcher = Fetcher(allow_private=True, max_bytes=1 << 20, seconds=seconds)
    async with site() as url:
        assert failures(await read(url + path, fetcher=fetcher)) == [(url + path, code)]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/docs/returns%20policy",
        "http://localhost:{port}/docs/returns%20policy",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0:{port}/",
    ],
)
async def test_private_addresses_are_refused(url: str) -> None:
    async with site() as base:
        [item] = await read(url.format(port=base.rpartition(":")[2]))
    assert isinstance(item, Unreadable)
    assert item.code in {"refused", "unreachable"}
    assert "private address" in item.reason or item.code == "unreachable"


async def test_a_llama_index_reader_is_a_source(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "lines_reader.py").write_text(
        "from llama_index.core import Document\n"
        "from llama_index.core.readers.base import BaseReader\n"
        "class Lines(BaseReader):\n"
        "    def load_data(self, file):\n"
        "        if file.name == 'b.md': raise ValueError('not this one')\n"
        "        lines = enumerate(file.read_text().split())\n"
        "        return [Document(text=line, metadata={'n': n, 'odd': {}}) for n, line in lines]\n"
    )
    (tree / "a.md").write_text("one\ntwo\n")
    monkeypatch.syspath_prepend(str(tree))
    paths = [str(tree / "a.md"), str(tree / "b.md")]
    items = [item async for item in read_with("lines_reader:Lines", paths)]
    sys.modules.pop("lines_reader", None)
    found = [(i.uri, i.text, i.metadata) for i in items if isinstance(i, Item)]
    base = (tree / "a.md").as_uri()
    assert found == [(f"{base}#1", "one", {"n": 0}), (f"{base}#2", "two", {"n": 1})]
    assert failures(items) == [((tree / "b.md").as_uri(), "reader_failed")]


async def test_llama_indexs_own_folder_reader_works_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Thirty days.")
    items = [i async for i in read_with("llama_index.core:SimpleDirectoryReader", [str(tmp_path)])]
    assert [(i.uri, i.text) for i in items if isinstance(i, Item)] == [((tmp_path / "a.txt").as_uri(), "Thirty days.")]


@pytest.mark.parametrize("spec", ["nowhere:Reader", "json:JSONDecoder", "json", ":", "json:Nothing"])
async def test_a_reader_that_is_none_is_refused_by_name(spec: str) -> None:
    with pytest.raises(ReaderUnusable):
        [item async for item in read_with(spec, ["x"])]
