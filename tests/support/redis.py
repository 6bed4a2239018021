"""The Redis server that tests may use, where there is one."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError


def _own_database(url: str) -> str:
    """Another database for each process of pytest-xdist: tests empty theirs."""
    server, _, database = url.rpartition("/")
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return f"{server}/{int(database) + process}"


URL = _own_database(os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9"))


@asynccontextmanager
async def reachable_redis() -> AsyncIterator["Redis"]:
    """An empty database of the Redis server that tests may use; skips when there is none."""
    redis = Redis.from_url(URL)
    try:
        try:
            await redis.flushdb()
        except (RedisError, OSError) as error:
            pytest.skip(f"no Redis at {URL} (TEST_REDIS_URL names another): {error}")
        yield redis
        await redis.flushdb()
    finally:
        await redis.aclose()
