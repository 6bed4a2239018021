"""From what an HTTP provider says to ``models.errors``: one table, and messages with the way out."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from models.errors import (
    Authentication,
    InvalidRequest,
    MalformedResponse,
    ModelError,
    ModelNotFound,
    OutputRejected,
    Permanent,
    RateLimited,
    Transient,
)

_MAX_SHOWN = 300
_KEY = re.compile(r"\b(sk|pk|key|gsk|xai)-[A-Za-z0-9_*\-]{6,}")
_REJECTED = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
_UNKNOWN = ("model_not_found",)
_CLOSED = ("insufficient_quota", "billing_not_active", "account_deactivated", "billing_hard_limit_reached")


def error_for_status(status: int, body: bytes, headers: Mapping[str, str], url: str) -> ModelError:
    """The error that a refused request stands for. ``url`` is shown; it must hold no credentials."""
    message, codes = describe(body)
    said = f"{url} answered {status}: {message}" if message else f"{url} answered {status}"
    if status in (400, 403, 422) and _any(codes, _REJECTED):
        return OutputRejected(said)
    if status == 429:
        return _too_many(said, codes, headers)
    if status in (401, 403):
        return Authentication(f"{said}. Check the provider's API key and what it may do.")
    if _any(codes, _UNKNOWN) or (status == 404 and "model" in message.lower()):
        return _unknown_model(said)
    if status in (408, 409, 425) or status >= 500:
        return Transient(f"{said}. The provider has a problem of its own; try again later.")
    if status == 404:
        return Permanent(f"{said}. Check the base URL (it often ends in /v1) and the model's name.")
    if status < 400:
        return Permanent(
            f"{url} redirects to {headers.get('Location', 'elsewhere')}. Set the base URL to the final one."
        )
    if status in (402, 405, 410, 451):
        return Permanent(said)
    return InvalidRequest(said)


def error_for_event(error: object, url: str) -> ModelError:
    """The error that a provider reported inside a stream that began well."""
    message, codes = _from_json({"error": error})
    said = f"{url} broke off the answer: {message or 'no reason given'}"
    if _any(codes, _REJECTED):
        return OutputRejected(said)
    status = next((int(code) for code in codes if code.isdigit() and 400 <= int(code) < 600), None)
    if status is not None:
        return error_for_status(status, orjson.dumps({"error": error}), {}, url)
    if _any(codes, _UNKNOWN):
        return _unknown_model(said)
    if _any(codes, _CLOSED):
        return Permanent(said)
    for part, kind in _EVENT_KINDS:
        if any(part in code for code in codes):
            return kind(said)
    return Transient(said)


_EVENT_KINDS: tuple[tuple[str, type[ModelError]], ...] = (
    ("rate_limit", RateLimited),
    ("authentication", Authentication),
    ("permission", Authentication),
    ("not_found", Permanent),
    ("invalid", InvalidRequest),
    ("context_length", InvalidRequest),
)


def malformed(url: str, why: str, data: bytes = b"") -> MalformedResponse:
    """A reply that breaks the protocol, with its beginning."""
    shown = f": {_bounded(data.decode(errors='replace'))}" if data else ""
    return MalformedResponse(f"{url} sent {why}{shown}")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait by ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date) or ``retry-after-ms``."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def describe(body: bytes) -> tuple[str, list[str]]:
    """The provider's message, bounded and without keys, and its error codes in lower case."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _bounded(" ".join(body.decode(errors="replace").split())), []
    return _from_json(parsed)


def _from_json(parsed: Any) -> tuple[str, list[str]]:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return _bounded(str(error)), []
    inner = error.get("innererror")
    found = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    message = error.get("message") or error.get("detail") or error
    return _bounded(str(message)), [str(code).lower() for code in found if code is not None]


def _unknown_model(said: str) -> ModelNotFound:
    return ModelNotFound(f"{said}. The server does not know this model; check the name given as --model.")


def _too_many(said: str, codes: list[str], headers: Mapping[str, str]) -> ModelError:
    if _any(codes, _CLOSED):
        return Permanent(f"{said}. The account has no quota left; repeating the call cannot help.")
    return RateLimited(said, retry_after(headers))


def _any(codes: list[str], wanted: tuple[str, ...]) -> bool:
    return any(code in wanted for code in codes)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _bounded(text: str) -> str:
    # A key is hidden before the text is cut: half a key is a secret too.
    text = _KEY.sub("…", text)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
