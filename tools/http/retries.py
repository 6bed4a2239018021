"""Which failures pass by themselves, and when to try again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tools.http.answer import Answer
from tools.http.connection import Lost

_DAY = 86_400.0
_PASSING = frozenset({429, 502, 503, 504})


def is_passing(last: Answer | Lost) -> bool:
    """Whether the same request may be answered a moment later."""
    return last.passing if isinstance(last, Lost) else last.status in _PASSING


def delay_before(attempt: int, last: Answer | Lost, backoff: float) -> float:
    """Seconds to wait: what the back end asks for (RFC 9110, 10.2.3), else twice as long each time."""
    asked = retry_after(last)
    return backoff * 2 ** (attempt - 1) if asked is None else asked


def retry_after(last: Answer | Lost) -> float | None:
    """Seconds that the back end asks to be left alone for, if it does (RFC 9110, 10.2.3); a day at most."""
    asked = None if isinstance(last, Lost) else _seconds(last.headers.get("Retry-After", ""))
    return None if asked is None else min(asked, _DAY)


def _seconds(retry_after: str) -> float | None:
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
