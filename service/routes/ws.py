"""A run over a WebSocket: the events of its log, and what the client says to it, on one connection."""

import asyncio
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.events import TERMINAL
from records.principal import Principal, Scope
from service.identity import Identity
from service.problems import ProblemError, describe, invalid_request
from service.routes.approvals import decide
from service.routes.context import forbidden, parse_event_id
from service.routes.runs import cancel
from service.schemas.approvals import DecisionRequest
from service.schemas.runs import CancelRequest
from service.services import Services

UVICORN: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": 2**18,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
    "ws_per_message_deflate": False,
}
"""How the server speaks WebSocket (RFC 6455). Events are too small to be worth compressing."""

_OPENING_SECONDS = 10.0
_NORMAL, _POLICY, _RESTART = 1000, 1008, 1012

router = APIRouter(prefix="/v1/runs", tags=["runs"])


class Auth(BaseModel):
    """Who asks, where no header could say so."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["auth"]
    key: str = Field(max_length=200)


class Resume(BaseModel):
    """From which event on to tell."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["resume"]
    after: int = Field(ge=0, lt=10**18)


class Cancel(CancelRequest):
    """Stop the run."""

    type: Literal["cancel"]


class Decide(DecisionRequest):
    """Decide an approval."""

    type: Literal["decide"]
    approval_id: str = Field(max_length=64)


ClientMessage = Auth | Resume | Cancel | Decide
_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


@router.websocket("/{run_id}/ws")
async def converse_with_run(websocket: WebSocket, run_id: str) -> None:
    """Tell the run's events as they come, up to the terminal one, and do what the client says."""
    await websocket.accept()
    conversation = _Conversation(websocket, run_id)
    try:
        await websocket.close(await conversation.hold())
    except* WebSocketDisconnect:
        pass


class _Conversation:
    """One connection. What it sends waits for the client to read; the log keeps what is still to be sent."""

    def __init__(self, websocket: WebSocket, run_id: str) -> None:
        self._websocket = websocket
        self._run_id = run_id
        self._services: Services = websocket.app.state.services
        self._identity: Identity = websocket.app.state.identity
        # Only a request that names a principal, or needs none, comes with one.
        self._known = getattr(websocket.state, "principal", None) is not None
        self._authorization = websocket.headers.get("authorization", "").encode("latin-1") or None

    async def hold(self) -> int:
        """Hold the conversation; gives the code to close it with."""
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                after = await self._open()
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the client is told
            await self._refuse(_expected() if isinstance(error, TimeoutError) else error)
            return _POLICY
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen())
            code = await self._tell(after)
            listening.cancel()
        return code

    async def _open(self) -> int:
        """Learn who asks, and after which event to begin."""
        given = self._websocket.query_params.get("after")
        message = None if self._known and given is not None else await self._receive()
        if isinstance(message, Auth):
            self._authorization, self._known = f"Bearer {message.key}".encode(), True
            message = None
        if not self._known:
            raise ProblemError(401, "unauthenticated", 'the first message must be {"type": "auth", "key": "cairn_…"}')
        await self._services.run_store.get(await self._principal("chat"), self._run_id)
        if given is not None and message is None:
            return parse_event_id(given, "after")
        message = message or await self._receive()
        if given is None and isinstance(message, Resume):
            return message.after
        raise _expected()

    async def _tell(self, after: int) -> int:
        last = ""
        async with aclosing(self._services.events.follow(self._run_id, after)) as events:  # type: ignore[type-var]
            async for event in events:
                await self._websocket.send_text(event.data.decode())
                last = event.type
        if not last:
            told = await self._services.events.read(self._run_id)
            last = told[-1].type if told else ""
        return _NORMAL if last in TERMINAL else _RESTART

    async def _listen(self) -> None:
        while True:
            try:
                await self._do(await self._receive())
            except WebSocketDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - one message must not end the conversation
                await self._refuse(error)

    async def _do(self, message: ClientMessage) -> None:
        match message:
            case Cancel():
                await cancel(self._services, await self._principal("chat"), self._run_id, message.reason)
            case Decide():
                await decide(self._services, await self._principal("approvals"), message.approval_id, message)
            case Auth():
                self._authorization = f"Bearer {message.key}".encode()
                await self._services.run_store.get(await self._principal("chat"), self._run_id)
            case Resume():
                raise ProblemError(400, "unexpected_message", "'resume' can only be said at the beginning")

    async def _principal(self, scope: Scope) -> Principal:
        """Who asks, as of now: a key may have been revoked since the last message."""
        principal = await self._identity.authenticate(self._authorization)
        if not principal.may(scope):
            raise forbidden(scope)
        return principal

    async def _receive(self) -> ClientMessage:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or _NORMAL)
        try:
            return _MESSAGE.validate_json(message.get("text") or message.get("bytes") or b"")
        except ValidationError as error:
            raise invalid_request(error.errors()) from error

    async def _refuse(self, error: Exception) -> None:
        problem = describe(error)
        self._services.metrics.problem(problem.code)
        told = {"type": "error", "code": problem.code, "detail": problem.detail}
        await self._websocket.send_json(told)


def _expected() -> ProblemError:
    detail = (
        'say where to begin, within ten seconds: connect with ?after=0, or send {"type": "resume", "after": 0} first'
    )
    return ProblemError(400, "resume_expected", detail)
