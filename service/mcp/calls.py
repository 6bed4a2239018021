"""The service as an MCP server: each call of a tool is a run, and goes the way of an agent's calls.

So it is validated, judged by switches and policy, asked of a person where that is needed, journalled, and taken up
again by whatever process comes next. Called again under its key, it is the same run.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import SecretStr

from agent.approvals.approval import ApprovalNotFound
from agent.direct import DirectCall
from agent.idempotency import RequestKey
from agent.journal.record import RunNotFound
from agent.log.outcome import outcome
from agent.runs import RunRequest
from rails.message import check_message
from records.principal import Principal, Scope
from service.mcp.answers import ASK_AGAIN, answer_of
from service.problems import ProblemError, describe
from service.routes.context import forbidden
from service.services import Services
from service.subject import subject_token
from tools.tool import Tool

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.shared.exceptions import MCPError
    from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams
    from mcp.types import Tool as Listed

KEY = "cairn/idempotency-key"
"""Where the ``_meta`` of a call has the key under which it is made once."""

_KEY_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ROUTE = "/mcp"
_LONGEST_WAIT = 60


class Calls:
    """Answers what clients ask of the server.

    Attributes:
        closing: Whether calls end because the server does: then nobody has cancelled them.
    """

    def __init__(self, services: Services) -> None:
        self.closing = False
        self._services = services
        self._cancelling: set[asyncio.Task[Any]] = set()

    async def list_tools(
        self, context: "ServerRequestContext[Any]", _params: "PaginatedRequestParams | None"
    ) -> "ListToolsResult":
        """The tools that a model is offered, and the one by which results are asked for later."""
        from mcp.types import ListToolsResult

        # Clients list tools to check what comes back of a call.
        _allowed(context, "tools:read", "tools:call")
        return ListToolsResult(tools=[*map(_listed, self._services.toolset), _ask_again()])

    async def call_tool(
        self, context: "ServerRequestContext[Any]", params: "CallToolRequestParams"
    ) -> "CallToolResult":
        """Make a call, or tell what one has come to."""
        principal = _allowed(context, "tools:call")
        try:
            if params.name == ASK_AGAIN:
                return await self._ask_again(principal, params.arguments or {})
            return await self._call(context, principal, params)
        except Exception as error:
            raise _told(error) from error

    async def _call(
        self, context: "ServerRequestContext[Any]", principal: Principal, params: "CallToolRequestParams"
    ) -> "CallToolResult":
        tool = self._services.toolset.get(params.name)
        if tool is None:
            raise _invalid(f"there is no tool {params.name[:64]!r}")
        call = DirectCall(name=tool.name, arguments=_json(params.arguments or {}))
        message = f"{tool.name} {call.arguments}"
        verdict = check_message(message, self._services.settings.http.max_message_chars)
        if verdict.decision == "block":
            raise _invalid(verdict.reason)
        request = RunRequest(
            message=verdict.text, collection=self._services.settings.collection, retrieval="off", call=call
        )
        token = await subject_token(context.request) if context.request is not None else None
        key = _key(principal, context.meta, call, token)
        run_id, _ = await self._services.starts.start(principal, request, key, token=token)
        try:
            return await self._come_to(principal, run_id)
        except asyncio.CancelledError:
            # A client that has a key may come back with it.
            if _is_kept(context) or (tool.effect == "read" and key is None):
                self._cancel(principal, run_id)
            raise

    async def _come_to(self, principal: Principal, run_id: str, seconds: float | None = None) -> "CallToolResult":
        """What a run comes to: its end, its rest, or how it stands after so many seconds."""
        services = self._services
        events = await services.events.read(run_id)
        folded = outcome(events)
        if folded["status"] != "waiting_approval" or not await self._is_asked(principal, folded):
            # One that waited goes on once all is decided; what it tells next comes after what it has told.
            after = events[-1].seq if folded["status"] == "waiting_approval" else 0
            try:
                async with asyncio.timeout(_LONGEST_WAIT if after and seconds is None else seconds):
                    async for _ in services.runs.follow(run_id, after):
                        pass
            except TimeoutError:
                pass
            events = await services.events.read(run_id)
            folded = outcome(events)
        cancelled = orjson.loads(events[-1].data) if folded["status"] == "cancelled" else {}
        return answer_of(run_id, folded, cancelled.get("effects", ()))

    async def _is_asked(self, principal: Principal, folded: Mapping[str, Any]) -> bool:
        """Whether a person has still to decide."""
        for asked in folded["approvals"]:
            try:
                approval = await self._services.approvals.get(principal, asked["approval_id"])
            except ApprovalNotFound:
                continue
            if approval.status == "pending":
                return True
        return False

    async def _ask_again(self, principal: Principal, arguments: Mapping[str, Any]) -> "CallToolResult":
        run_id, seconds = arguments.get("run_id"), arguments.get("wait_seconds", 0)
        if not isinstance(run_id, str) or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise _invalid("run_id must be the id of a run, and wait_seconds a number")
        record = await self._services.run_store.get(principal, run_id)
        if record.request.get("call") is None:
            raise RunNotFound(f"there is no call {run_id!r}")
        return await self._come_to(principal, run_id, min(max(seconds, 0.0), _LONGEST_WAIT))

    def _cancel(self, principal: Principal, run_id: str) -> None:
        """Stop a run whose client does not wait for it any more."""
        if self.closing:
            return
        cancelling = asyncio.create_task(
            self._services.runs.cancel(principal, run_id, "the client has given up the call")
        )
        self._cancelling.add(cancelling)
        cancelling.add_done_callback(self._cancelling.discard)


def _is_kept(context: "ServerRequestContext[Any]") -> bool:
    """Whether the client has a session, in which it tells what it cancels.

    In the newest revision of the protocol it closes the connection, and nobody knows whether that was cut.
    """
    request = context.request
    return request is not None and "mcp-session-id" in request.headers


def _allowed(context: "ServerRequestContext[Any]", *scopes: Scope) -> Principal:
    """Who asks, if it has one of the scopes."""
    principal: Principal | None = getattr(context.request.state, "principal", None) if context.request else None
    if principal is None:
        raise _told(ProblemError(401, "unauthenticated", "this needs an API key"))
    if not any(principal.may(scope) for scope in scopes):
        raise _told(forbidden(*scopes[:1]))
    return principal


def _listed(tool: Tool) -> "Listed":
    from mcp.types import Tool as Described
    from mcp.types import ToolAnnotations

    return Described(
        name=tool.name,
        description=tool.spec.description,
        input_schema={**tool.spec.parameters, "type": "object"},
        annotations=ToolAnnotations(
            read_only_hint=tool.effect == "read",
            destructive_hint=tool.effect == "irreversible",
            idempotent_hint=tool.idempotent or tool.effect == "read",
        ),
    )


def _ask_again() -> "Listed":
    from mcp.types import Tool as Described
    from mcp.types import ToolAnnotations

    properties = {
        "run_id": {"type": "string", "description": "As the answer to the call had it."},
        "wait_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": _LONGEST_WAIT,
            "description": "How long to wait where it goes on.",
        },
    }
    return Described(
        name=ASK_AGAIN,
        description="What has become of a call that was not done yet, because a person had to decide or it took long.",
        input_schema={
            "type": "object",
            "properties": properties,
            "required": ["run_id"],
            "additionalProperties": False,
        },
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True),
    )


def _json(arguments: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(arguments).decode()
    except TypeError as error:
        raise _invalid(f"the arguments cannot be read: {error}") from None


def _key(
    principal: Principal, meta: Mapping[str, Any] | None, call: DirectCall, token: SecretStr | None
) -> RequestKey | None:
    given = (meta or {}).get(KEY)
    if given is None:
        return None
    if not isinstance(given, str) or not _KEY_FORM.fullmatch(given):
        raise _invalid(f"{KEY} must be 1 to 255 visible ASCII characters")
    # How the arguments are written does not matter; who it is for does.
    subject = "" if token is None else hashlib.sha256(token.get_secret_value().encode()).hexdigest()
    asked = orjson.dumps([call.name, orjson.loads(call.arguments), subject], option=orjson.OPT_SORT_KEYS)
    return RequestKey(
        tenant=principal.tenant,
        principal=principal.id,
        route=_ROUTE,
        key=given,
        digest=hashlib.sha256(asked).hexdigest(),
    )


def _invalid(detail: str) -> ProblemError:
    return ProblemError(422, "invalid_request", detail)


def _told(error: Exception) -> "MCPError":
    """The error as the protocol has it: what is the client's to mend is an invalid request, with the problem's code."""
    from mcp.shared.exceptions import MCPError
    from mcp.types import INTERNAL_ERROR, INVALID_PARAMS

    described = describe(error)
    code = INVALID_PARAMS if described.status < 500 else INTERNAL_ERROR
    return MCPError(code=code, message=described.detail, data={"code": described.code})
