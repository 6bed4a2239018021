"""Errors as RFC 9457 problem details: a stable code, what happened, and the way out."""

import math
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from agent.failures import FAILURES, INTERNAL, classify, run_failed
from service.metrics import Metrics

_log = structlog.get_logger("cairn.http")

MEDIA_TYPE = "application/problem+json"
_LATER = frozenset({409, 429, 503})
_RETRY_SECONDS = 2
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(examples=["urn:cairn:problem:session_not_found"])
    title: str = Field(examples=["Session not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no session 'x'; leave session_id out to start one"])
    code: str = Field(examples=["session_not_found"])
    run_id: str | None = None
    session_id: str | None = None
    approval: dict[str, Any] | None = Field(default=None, description="As it stands, where it was decided before.")
    memory: dict[str, Any] | None = Field(default=None, description="As it stands, where a stale write conflicts.")
    deeds: list[dict[str, Any]] | None = Field(default=None, description="What a run has done that is to be retried.")
    errors: list[dict[str, Any]] | None = Field(default=None, description="The fields that are wrong, where any are.")


class ProblemError(Exception):
    """Raised by a route to answer with a problem."""

    def __init__(self, status: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra
        self.retry_after: float | None = None


def problem(status: int, code: str, detail: str, retry_after: float | None = None, **extra: Any) -> JSONResponse:
    """The response for a problem; after ``retry_after`` seconds the same request may succeed."""
    body = Problem(
        type=f"urn:cairn:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        **extra,
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}  # RFC 9110, section 15.5.2
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    return JSONResponse(body.model_dump(exclude_none=True), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, metrics: Metrics) -> None:
    """Answer every exception with a problem."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        described = describe(error)
        metrics.problem(described.code)
        return problem(described.status, described.code, described.detail, described.retry_after, **described.extra)

    for kind in (ProblemError, RequestValidationError, HTTPException, *FAILURES, OSError, Exception):
        app.add_exception_handler(kind, answer)


def describe(error: Exception) -> ProblemError:
    """What is said of an exception; one that was not foreseen is logged."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return invalid_request(error.errors())
        case HTTPException():
            code = _CODES.get(error.status_code, "http_error")
            return ProblemError(error.status_code, code, str(error.detail))
    failure = classify(error)
    if failure == INTERNAL:
        _log.error("request failed", exc_info=error)
    described = ProblemError(failure.status, failure.code, run_failed(error).detail)
    if failure.retryable and failure.status in _LATER:
        described.retry_after = getattr(error, "retry_after", None) or _RETRY_SECONDS
    return described


def invalid_request(wrong: Sequence[Any]) -> ProblemError:
    """The problem for what pydantic found wrong."""
    errors = [_told(item) for item in wrong]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return ProblemError(422, "invalid_request", detail, errors=errors)


def _told(item: Any) -> dict[str, str]:
    """What is wrong, in which field. Of a body that is no JSON pydantic tells a byte's number, or speaks of Python."""
    if item["type"] == "json_invalid":
        return {"field": "body", "message": f"it is not JSON: {item['ctx']['error']}"}
    if item["type"] == "model_attributes_type" and item["loc"] == ("body",):
        return {"field": "body", "message": "it should be a JSON object, sent with content-type: application/json"}
    return {"field": _field(item["loc"]), "message": item["msg"]}


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "body") or "body"
