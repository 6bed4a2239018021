"""The ``Idempotency-Key`` of a request: what it stands for, and routes that answer each key once."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header

from agent.idempotency import KeptAnswer, RequestKey
from service.problems import ProblemError
from service.services import Services
from service.subject import HEADER as SUBJECT

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_REPLAYED = {"Idempotent-Replayed": "true"}


async def request_key(request: Request) -> RequestKey | None:
    """The key that the request was sent with, if it was.

    Raises:
        ProblemError: It is none.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _FORM.fullmatch(given[0]):
        detail = f"{HEADER} must be one value of 1 to 255 visible ASCII characters"
        raise ProblemError(400, "invalid_idempotency_key", detail)
    principal = request.state.principal
    return RequestKey(
        tenant=principal.tenant,
        principal=principal.id,
        route=request.scope["route"].path,
        key=given[0],
        digest=await asyncio.to_thread(_digest, request, await request.body()),
    )


RequestKeyDep = Annotated[RequestKey | None, Depends(request_key)]
"""For routes that start a run, which are idempotent by themselves."""


class IdempotentRoute(APIRoute):
    """A route whose POST is carried out once for each key. Nothing changes for requests without one.

    What succeeds is kept and answered again. What does not has changed nothing, and may be tried again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, guarded by the key."""
        carry_out = super().get_route_handler()
        if self.methods != {"POST"}:
            return carry_out

        async def once(request: Request) -> Response:
            key = await request_key(request)
            return await carry_out(request) if key is None else await _once(request, key, carry_out)

        return once


async def _once(
    request: Request, key: RequestKey, carry_out: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    services: Services = request.app.state.services
    found = await services.reservations.reserve(key)
    if isinstance(found, KeptAnswer):
        return Response(found.body, found.status, _REPLAYED, found.media_type)
    async with found.held():
        response = await carry_out(request)
        if response.status_code < 300:
            media_type, body = response.headers.get("content-type"), bytes(response.body).decode()
            await found.keep(KeptAnswer(status=response.status_code, media_type=media_type, body=body))
    return response


def _digest(request: Request, body: bytes) -> str:
    """A hash of what is asked. How JSON is written does not matter, nor what a form's parts are separated by."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
    if boundary:
        body = body.replace(boundary, b"")
    else:
        try:
            body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
        except ValueError:
            boundary = None
    # The same question of another user of the caller's is another request.
    subjects = [hashlib.sha256(token.encode()).hexdigest() for token in request.headers.getlist(SUBJECT)]
    asked = hashlib.sha256(orjson.dumps([request.url.path, request.url.query, *subjects]))
    asked.update(body)
    return asked.hexdigest()
