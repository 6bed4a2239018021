"""One person at the service: asks, follows the stream over every break, decides approvals, keeps what was told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp

from evals.retail.processes import Fleet

TERMINAL = frozenset({"run.completed", "run.failed", "run.cancelled"})
CLICKS = 10
_BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)

Approval = dict[str, Any]
Decide = Callable[[Approval], Awaitable[dict[str, str]]]
"""What to say to an approval: the body of the decision."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as it came over the wire."""

    id: int
    type: str
    data: str


@dataclass(slots=True)
class Heard:
    """What one person was told of one run.

    Attributes:
        complete: Whether what came over all connections is what one replay from the start tells.
        won: For each approval the number of clicks that the service said yes to.
        breaks: How often a connection was lost.
        runs: The runs that the copies of the request were answered with.
    """

    run_id: str = ""
    session_id: str = ""
    frames: list[Frame] = field(default_factory=list)
    complete: bool = False
    won: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    breaks: int = 0
    runs: set[str] = field(default_factory=set)

    @property
    def end(self) -> str:
        """The type of the last event."""
        return self.frames[-1].type if self.frames else ""

    @property
    def answer(self) -> str:
        """The answer that the last event tells."""
        return str(json.loads(self.frames[-1].data).get("answer", "")) if self.frames else ""


class Asker:
    """Asks one question in a session of its own."""

    def __init__(self, fleet: Fleet, client: aiohttp.ClientSession, decide: Decide, *, copies: int) -> None:
        self.heard = Heard()
        self._fleet = fleet
        self._client = client
        self._decide = decide
        self._copies = copies

    async def ask(self, message: str, key: str) -> Heard:
        """Ask, and come back with everything that was told up to the end."""
        heard = self.heard
        while not heard.run_id:
            await asyncio.gather(*(self._post(message, key) for _ in range(self._copies)))
        while heard.end not in TERMINAL:
            if heard.end == "run.waiting":
                await self._click()
            await self._follow()
        replay = await self._insist(self._replay)
        seqs = [frame.id for frame in heard.frames]
        ends = [frame.type for frame in heard.frames if frame.type in TERMINAL]
        heard.complete = heard.frames == replay and seqs == list(range(1, len(seqs) + 1)) and ends == [heard.end]
        return heard

    async def _post(self, message: str, key: str) -> None:
        """Send the request; the first copy that is answered is read."""
        heard = self.heard
        body = {"message": message, "retrieval": "off"}
        try:
            url = f"{await self._fleet.url()}/v1/chat/stream"
            async with self._client.post(url, json=body, headers={"Idempotency-Key": key}) as response:
                if response.status == 409:  # the first copy is being accepted
                    return
                response.raise_for_status()
                run_id = response.headers["X-Run-Id"]
                heard.runs.add(run_id)
                if not heard.run_id:
                    heard.run_id = run_id
                    await self._listen(response)
        except _BROKEN as error:
            _require_broken(error)
            heard.breaks += 1

    async def _follow(self) -> None:
        heard = self.heard
        try:
            url = f"{await self._fleet.url()}/v1/runs/{heard.run_id}/events"
            last = {"Last-Event-ID": str(heard.frames[-1].id)} if heard.frames else {}
            async with self._client.get(url, headers=last) as response:
                response.raise_for_status()
                await self._listen(response)
        except _BROKEN as error:
            _require_broken(error)
            heard.breaks += 1

    async def _listen(self, response: aiohttp.ClientResponse) -> None:
        async for frame in _frames(response):
            self.heard.frames.append(frame)
            if frame.type == "run.started":
                self.heard.session_id = json.loads(frame.data)["session_id"]

    async def _replay(self) -> list[Frame]:
        url = f"{await self._fleet.url()}/v1/runs/{self.heard.run_id}/events"
        async with self._client.get(url) as response:
            response.raise_for_status()
            return [frame async for frame in _frames(response)]

    async def _click(self) -> None:
        """Ten people decide at once, until the service has heard one of them."""
        asked = [json.loads(frame.data) for frame in self.heard.frames if frame.type == "approval.requested"]
        for each in asked:
            url = f"/v1/approvals/{each['approval_id']}"
            while (approval := await self._insist(partial(self._get, url)))["status"] == "pending":
                self.heard.kinds[approval["id"]] = approval["kind"]
                decision = await self._decide(approval)
                won = await asyncio.gather(*(self._decided(url, decision) for _ in range(CLICKS)))
                self.heard.won[approval["id"]] = self.heard.won.get(approval["id"], 0) + sum(won)

    async def _decided(self, path: str, decision: dict[str, str]) -> bool:
        with suppress(*_BROKEN):
            async with self._client.post(f"{await self._fleet.url()}{path}", json=decision) as response:
                if response.status not in {200, 409}:
                    raise RuntimeError(f"a decision was answered {response.status}: {await response.text()}")
                return response.status == 200
        return False

    async def _get(self, path: str) -> Any:
        async with self._client.get(f"{await self._fleet.url()}{path}") as response:
            response.raise_for_status()
            return await response.json()

    async def _insist(self, get: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await get()
            except _BROKEN as error:
                _require_broken(error)


def _require_broken(error: BaseException) -> None:
    """An answer that says no is no broken connection."""
    if isinstance(error, aiohttp.ClientResponseError) and error.status not in {0, 503}:
        raise error


async def _frames(response: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    """The whole frames of a stream; what is cut off in the middle of one was never told."""
    rest = b""
    async for piece in response.content.iter_any():
        *frames, rest = (rest + piece).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if line and line[0] != ":")
            if fields:
                yield Frame(int(fields["id"]), fields["event"], fields["data"])
