"""Real processes, really killed: whatever a document does, it costs one error and the next one is read."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from ingest.parsing import ParseError, ParseLimits, Parser
from tests.support import sample_files

LIMITS = ParseLimits(seconds=20, input_bytes=1 << 20, output_chars=2000)
HOSTILE = "tests.support.hostile_worker"


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    async with Parser(processes=1, limits=LIMITS, worker=HOSTILE) as parser:
        yield parser


async def process_of(parser: Parser) -> int:
    return int((await parser.parse(b"hello", name="x")).text.split()[0])


async def refusal(parser: Parser, document: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        await parser.parse(document, name="x")
    return caught.value


async def test_one_process_serves_many_documents(parser: Parser) -> None:
    assert await process_of(parser) == await process_of(parser)


@pytest.mark.parametrize("document", [b"hang", b"spin"])
async def test_a_document_that_never_ends_is_given_up_and_its_process_is_gone(document: bytes) -> None:
    limits = ParseLimits(seconds=0.5)
    async with Parser(processes=1, limits=limits, worker=HOSTILE) as parser:
        before = await process_of(parser)
        assert (await refusal(parser, document)).code == "timeout"
        assert not psutil.pid_exists(before)
        assert await process_of(parser) != before


async def test_a_document_that_eats_memory_is_refused_and_the_next_one_is_read(parser: Parser) -> None:
    assert (await refusal(parser, b"eat")).code == "memory"
    assert await process_of(parser)


@pytest.mark.parametrize("document", [b"abort", b"nest", b"connect", b"spawn", b"disk"])
async def test_what_a_parser_must_not_do_costs_one_error(parser: Parser, document: bytes) -> None:
    assert (await refusal(parser, document)).code == "corrupt"
    assert await process_of(parser)


async def test_what_libraries_print_does_not_disturb_the_conversation(parser: Parser) -> None:
    assert "chatter" in (await parser.parse(b"chatter", name="x")).text
    assert await process_of(parser)


async def test_too_much_text_is_refused(parser: Parser) -> None:
    assert (await refusal(parser, b"long")).code == "too_large"


async def test_a_process_killed_between_documents_is_replaced_unnoticed(parser: Parser) -> None:
    first = await process_of(parser)
    os.kill(first, signal.SIGKILL)
    assert await process_of(parser) != first


async def test_a_process_killed_in_the_middle_costs_one_error(parser: Parser) -> None:
    victim = await process_of(parser)
    hanging = asyncio.create_task(refusal(parser, b"spin"))
    while psutil.Process(victim).cpu_times().user < 0.5:
        await asyncio.to_thread(psutil.Process(victim).cpu_percent, 0.05)
    os.kill(victim, signal.SIGKILL)
    assert (await hanging).code == "memory"
    assert await process_of(parser) != victim


async def test_a_cancelled_document_takes_its_process_along(parser: Parser) -> None:
    victim = await process_of(parser)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await parser.parse(b"hang", name="x")
    assert not psutil.pid_exists(victim)
    assert await process_of(parser) != victim


async def test_two_documents_are_parsed_at_once() -> None:
    async with Parser(processes=2, limits=LIMITS, worker=HOSTILE) as parser:
        texts = await asyncio.gather(*(parser.parse(b"hello", name="x") for _ in range(2)))
    assert len({document.text.split()[0] for document in texts}) == 2


async def test_a_process_is_replaced_before_it_grows_old() -> None:
    limits = ParseLimits(documents_per_process=2)
    async with Parser(processes=1, limits=limits, worker=HOSTILE) as parser:
        pids = [await process_of(parser) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_a_parsing_process_sees_no_secrets_of_its_parent(parser: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "OPENAI_API_KEY" not in (await parser.parse(b"hello", name="x")).text


async def test_closing_leaves_neither_processes_nor_files(parser: Parser) -> None:
    document = await parser.parse(b"hello", name="x")
    folder = Path(document.text.split()[-1])
    assert folder.is_dir()
    await parser.aclose()
    assert not psutil.pid_exists(int(document.text.split()[0]))
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="closed"):
        await parser.parse(b"hello", name="x")


async def test_a_worker_that_does_not_start_is_said_plainly() -> None:
    async with Parser(processes=1, worker="no.such.worker") as parser:
        with pytest.raises(RuntimeError, match=r"does not start.*no"):
            await parser.parse(b"hello", name="x")


async def test_processes_die_with_their_parent() -> None:
    program = (
        "import asyncio, signal\n"
        "from ingest.parsing import Parser\n"
        "async def main():\n"
        f"    parser = Parser(processes=1, worker={HOSTILE!r})\n"
        "    print((await parser.parse(b'hello', name='x')).text.split()[0], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=20)


async def test_files_are_read_and_their_size_is_checked(parser: Parser, tmp_path: Path) -> None:
    small, empty, large = tmp_path / "small", tmp_path / "empty", tmp_path / "large"
    small.write_bytes(b"small")
    empty.touch()
    large.write_bytes(bytes(LIMITS.input_bytes + 1))
    assert "small" in (await parser.parse(small, name="small")).text
    for path, code in ((empty, "empty"), (large, "too_large")):
        with pytest.raises(ParseError) as caught:
            await parser.parse(path, name=path.name)
        assert caught.value.code == code
    with pytest.raises(FileNotFoundError):
        await parser.parse(tmp_path / "missing", name="missing")


async def test_every_format_is_read_in_one_process() -> None:
    async with Parser(processes=1) as parser:
        for make in sample_files.SAMPLES.values():
            assert sample_files.SENTENCE in (await parser.parse(make(), name="document")).text


async def test_a_bomb_costs_one_error_and_the_next_document_is_read() -> None:
    async with Parser(processes=1, limits=ParseLimits(memory_bytes=512 << 20, output_chars=1 << 20)) as parser:
        assert (await refusal(parser, sample_files.zip_bomb())).code == "too_large"
        assert (await refusal(parser, sample_files.xml_bomb())).code in {"memory", "corrupt", "empty"}
        assert sample_files.SENTENCE in (await parser.parse(sample_files.docx(), name="document")).text
