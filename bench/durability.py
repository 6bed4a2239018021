"""What durability costs: a two-turn tool run, journalled, against LangChain's create_agent with its PostgreSQL saver.

    python -m bench.durability [--runs 200] [--rounds 3] [--json]

Everything runs in one process with models that answer at once: a turn that calls a tool, the call, a turn that answers
in 20 tokens, streamed. Figures are milliseconds of processor time a run, medians over rounds in which the contenders
take turns; ``model`` is the model's stream and the tool alone. It needs PostgreSQL and Redis on this machine, and uses
databases of its own.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
import uvloop

from cairn import tool
from models.messages import Message, ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from records.principal import Principal
from tests.support.postgres import empty_postgres
from tests.support.redis import URL
from tests.support.runs import Bureau, Stores, own_stores, runs_over, shared_stores

TOKENS = [f"token{number} " for number in range(20)]
QUESTION = "Where is order 1042?"
ALICE = Principal(id="alice")
Run = Callable[[], Awaitable[None]]


@tool
async def get_order(order: int) -> dict[str, object]:
    """Look up where an order is."""
    return {"order": order, "state": "shipped"}


def script(request: ModelRequest) -> Sequence[ScriptItem]:
    """A call, then the answer."""
    if request.messages[-1].role == "tool":
        return TOKENS
    return [ToolCall(id="c", name="get_order", arguments='{"order": 1042}')]


async def model_alone() -> None:
    """The two turns and the tool without anything around them."""
    model = ScriptedModel(script)
    question = Message(role="user", content=QUESTION)
    async for _ in model.stream(ModelRequest(messages=(question,))):
        pass
    told = await get_order(1042)
    async for _ in model.stream(ModelRequest(messages=(question, Message(role="tool", content=str(told))))):
        pass


def cairn_run(bureau: Bureau) -> Run:
    """A run through the journal, followed to its end, as a connection does."""

    async def run() -> None:
        run_id, _ = await bureau.start(QUESTION)
        assert (await bureau.end_of(run_id))[-1].type == "run.completed"

    return run


@asynccontextmanager
async def create_agent_run(postgres: str | None) -> AsyncIterator[Run]:
    """LangChain's agent over a model that answers alike; with ``postgres`` it saves every step there."""
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk
    from langchain_core.tools import tool as langchain_tool

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **_: Any) -> Any:  # noqa: ARG002 - it knows what it calls
            return self

        async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            if messages[-1].type == "tool":
                for token in TOKENS:
                    yield ChatGenerationChunk(message=AIMessageChunk(content=token))
                return
            call = {"name": "get_order", "args": '{"order": 1042}', "id": "c", "index": 0, "type": "tool_call_chunk"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

    @langchain_tool
    async def get_order(order: int) -> str:
        """Look up where an order is."""
        return json.dumps({"order": order, "state": "shipped"})

    async with AsyncExitStack() as stack:
        saver = None
        if postgres is not None:
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

            url = postgres.replace("postgresql+asyncpg", "postgresql")
            saver = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(url))
            await saver.setup()
        agent = create_agent(Model(messages=iter([AIMessage("")])), [get_order], checkpointer=saver)
        threads = iter(range(10**9))

        async def run() -> None:
            said = []
            config = {"configurable": {"thread_id": str(next(threads))}}
            asked = {"messages": [("user", QUESTION)]}
            # Its overloads don't know how LangChain's own documentation asks.
            streaming: Any = agent.astream
            async for chunk, _ in streaming(asked, config, stream_mode="messages"):
                said.append(chunk.content)
            assert "".join(said).endswith("".join(TOKENS))

        yield run


async def cancel_latency(stores: Stores, times: int) -> float:
    """Milliseconds from the wish to stop to the end of a run whose model is silent; the median."""
    silent = ScriptedModel(lambda _: ["well, ", asyncio.Event().wait])
    taken = []
    async with runs_over(stores, silent) as bureau:
        for _ in range(times):
            run_id, _ = await bureau.start(QUESTION)
            async for event in bureau.runs.follow(run_id):
                if event.type == "text.delta":
                    break
            began = time.perf_counter()
            # The bureau's questions are Alice's.
            await bureau.runs.cancel(ALICE, run_id, "enough")
            assert (await bureau.end_of(run_id))[-1].type == "run.cancelled"
            taken.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(taken), 2)


async def measure(rounds: int, runs: int) -> dict[str, float]:
    """Processor time of a run for each contender."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = await stack.enter_async_context(empty_postgres())
        saved = await stack.enter_async_context(empty_postgres())
        own = await stack.enter_async_context(own_stores(folder))
        shared = await stack.enter_async_context(shared_stores(postgres, URL))
        bureaus = [
            await stack.enter_async_context(runs_over(stores, ScriptedModel(script), [get_order]))
            for stores in (own, shared)
        ]
        contenders: dict[str, Run] = {
            "model": model_alone,
            "cairn, SQLite": cairn_run(bureaus[0]),
            "cairn, PostgreSQL + Redis": cairn_run(bureaus[1]),
            "create_agent, nothing kept": await stack.enter_async_context(create_agent_run(None)),
            "create_agent, PostgreSQL": await stack.enter_async_context(create_agent_run(saved)),
        }
        figures: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                for _ in range(10):
                    await run()
                began = time.process_time()
                for _ in range(runs):
                    await run()
                for bureau in bureaus:
                    await bureau.idle()
                figures[name].append((time.process_time() - began) / runs * 1000)
        medians = {f"{name}, ms": round(statistics.median(values), 2) for name, values in figures.items()}
        medians["cancel, ms"] = await cancel_latency(own, 50)
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.durability", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the last line is JSON")
    arguments = parser.parse_args()
    os.environ["LANGSMITH_TRACING"] = "false"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(arguments.rounds, arguments.runs))
    ours, theirs = figures["cairn, PostgreSQL + Redis, ms"], figures["create_agent, PostgreSQL, ms"]
    figures["create_agent / cairn, both on PostgreSQL"] = round(theirs / ours, 1)
    for name, value in figures.items():
        print(f"{name:44} {value}")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
