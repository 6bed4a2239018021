"""What providers say over HTTP is read by one table, and never repeats a key."""

from datetime import UTC, datetime

import pytest

from models.errors import RateLimited
from models.http_errors import error_for_status, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "9", "retry-after-ms": "250"}, 0.25),
    ],
)
def test_the_time_to_wait_is_read_from_seconds_dates_and_milliseconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds


def test_a_limit_carries_the_time_to_wait() -> None:
    error = error_for_status(429, b"{}", {"Retry-After": "2"}, "http://host/v1")
    assert isinstance(error, RateLimited)
    assert error.retry_after == 2


@pytest.mark.parametrize("key", ["sk-abcdef0123456789", "sk-proj-abc_DEF-0123456789", "sk-ab****6789"])
def test_a_key_that_a_provider_repeats_is_hidden(key: str) -> None:
    message = str(error_for_status(401, f'{{"error": {{"message": "bad key {key}."}}}}'.encode(), {}, "http://host/v1"))
    assert "bad key" in message
    assert key not in message


def test_a_long_message_is_cut_after_keys_are_hidden() -> None:
    body = ("x" * 290 + " sk-abcdef0123456789abcdef").encode()
    assert "sk-" not in str(error_for_status(500, body, {}, "http://host/v1"))
