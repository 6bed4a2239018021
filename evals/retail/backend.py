"""The shop's back end in a process of its own: ``python -m evals.retail.backend DATA|- [--mode M] [--faults RATE]``.

Each session of the service has a shop of its own, so that tasks do not meet. All that was asked to change something is
in a log of requests, with what came of it; ``/truth`` tells it, and the shops' states, to whoever judges the service.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError, validate_call

from evals.retail.faults import REFUSED, Door, Faults
from evals.retail.generated import generated
from evals.retail.shop import READS, WRITES, Data, Refused, World
from evals.retail.tasks import Call, load

Mode = Literal["keyed", "reconciled", "blind"]
"""What the back end does about repetition: acts once for each key; tells which keys it acted for; nothing at all."""

Text = Annotated[str, Header()]


@dataclass(frozen=True, slots=True)
class Entry:
    """A request to change something, and what came of it."""

    session: str
    key: str
    call: str
    came_to: Literal["acted", "refused", "repeated"]


class BackEnd:
    """The shops, one for each session, and the log of requests."""

    def __init__(self, data: Data, mode: Mode) -> None:
        self.log: list[Entry] = []
        self._data = data
        self._mode = mode
        self._worlds: dict[str, World] = {}
        self._answers: dict[str, tuple[int, Any]] = {}

    def world(self, session: str) -> World:
        """The session's shop."""
        return self._worlds.setdefault(session, World(self._data))

    def read(self, session: str, operation: str, arguments: Mapping[str, Any]) -> tuple[int, Any]:
        """Look something up."""
        return _done(self.world(session), operation, arguments)

    def write(self, session: str, key: str, operation: str, arguments: Mapping[str, Any]) -> tuple[int, Any]:
        """Change something, and log it; nothing comes between the two."""
        call = Call(operation, arguments).name
        if self._mode == "keyed" and key in self._answers:
            self.log.append(Entry(session, key, call, "repeated"))
            return self._answers[key]
        status, answer = _done(self.world(session), operation, arguments)
        self.log.append(Entry(session, key, call, "acted" if status == 200 else "refused"))
        self._answers[key] = (status, answer)
        return status, answer

    def answer_to(self, key: str) -> tuple[int, Any] | None:
        """What was answered under a key, where that is kept track of."""
        if self._mode != "reconciled":
            raise HTTPException(501, "nobody keeps track of that here")
        return self._answers.get(key)


def _done(world: World, operation: str, arguments: Mapping[str, Any]) -> tuple[int, Any]:
    try:
        return 200, validate_call(getattr(world, operation))(**arguments)
    except Refused as refused:
        return 422, {"detail": str(refused)}
    except ValidationError as error:
        return 400, {"detail": str(error)}


def create_app(back_end: BackEnd) -> FastAPI:
    """The back end's HTTP face."""
    app = FastAPI()

    @app.get("/operations/{operation}")
    async def read(operation: str, request: Request, x_session: Text) -> JSONResponse:
        _require(operation in READS)
        status, answer = back_end.read(x_session, operation, dict(request.query_params))
        return JSONResponse(answer, status)

    @app.post("/operations/{operation}")
    async def write(operation: str, body: dict[str, Any], x_session: Text, idempotency_key: Text) -> JSONResponse:
        _require(operation in WRITES)
        status, answer = back_end.write(x_session, idempotency_key, operation, body)
        return JSONResponse(answer, status)

    @app.get("/calls/{key}")
    async def call(key: str) -> dict[str, Any]:
        answered = back_end.answer_to(key)
        return {"done": answered is not None and answered[0] == 200, "answer": answered and answered[1]}

    @app.get("/truth/sessions/{session}")
    async def state(session: str) -> Any:
        log = [asdict(entry) for entry in back_end.log if entry.session == session]
        return {"state": back_end.world(session).state(), "log": log}

    @app.get("/truth/log")
    async def log() -> Any:
        return [asdict(entry) for entry in back_end.log]

    return app


def _require(known: bool) -> None:  # noqa: FBT001 - reads as an assertion
    if not known:
        raise HTTPException(404, "there is no such operation")


async def serve(back_end: BackEnd, rate: float, hang: float, seed: int) -> None:
    """Serve until the parent closes standard input; the addresses go to standard output as one line of JSON."""
    app = create_app(back_end)
    faults = Faults(app, rate=rate, hang=hang, seed=seed)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        port = listener.getsockname()[1]
        door = Door(port)
        await door.open()

        @app.get("/truth/faults")
        async def counts() -> Counter[str]:
            return faults.counts + Counter({REFUSED: door.shut})

        server = uvicorn.Server(uvicorn.Config(faults, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        print(json.dumps({"url": f"http://127.0.0.1:{door.port}", "truth": f"http://127.0.0.1:{port}"}), flush=True)
        swinging = asyncio.create_task(door.swing(seed, opened=1.5, closed=0.1) if rate else asyncio.Event().wait())
        parent = asyncio.create_task(_until_closed_input())
        parent.add_done_callback(lambda _: setattr(server, "should_exit", True))
        await server._serve([listener])  # noqa: SLF001 - serve() would take over the signals
        swinging.cancel()
        with suppress(asyncio.CancelledError):
            await swinging


async def _until_closed_input() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    await reader.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder with db.json and tasks.json; - makes a small shop up")
    parser.add_argument("--mode", choices=["keyed", "reconciled", "blind"], default="keyed")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that meet one")
    parser.add_argument("--hang", type=float, default=1.0, help="seconds that a hanging request is held")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.ERROR)  # the server complains of every answer that a fault takes away
    data, _ = generated() if options.data == "-" else load(Path(options.data))
    asyncio.run(serve(BackEnd(data, options.mode), options.faults, options.hang, options.seed))


if __name__ == "__main__":
    main()
