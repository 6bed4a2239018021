"""One contract for whoever keeps count of requests: a process for itself, and Redis for all."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.support.broken_server import closed_port, deaf_server
from tests.support.redis import reachable_redis
from tools.limits.local import LocalLimits
from tools.limits.port import LimitReached, LimitsUnavailable, RateLimiter
from tools.limits.rates import Rate, RateLimit, rate_limit
from tools.limits.shared import RedisLimits

HOURLY = Rate(4, 3600)  # so long a time that none of it passes in a test
INTERVAL = 900.0


@pytest.fixture(params=["local", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    async with AsyncExitStack() as stack:
        if request.param == "local":
            yield LocalLimits()
        else:
            yield RedisLimits(await stack.enter_async_context(reachable_redis()))


async def taken(limiter: RateLimiter, bucket: str, *rates: Rate, patience: float = 0.0) -> float | None:
    """The seconds until the place that was reserved, to the second; None when there was none in time."""
    try:
        return round(await limiter.acquire(bucket, rates, patience))
    except LimitReached:
        return None


async def test_as_many_as_the_burst_go_at_once_and_no_more(limiter: RateLimiter) -> None:
    assert [await taken(limiter, "shop", HOURLY) for _ in range(6)] == [0, 0, 0, 0, None, None]


async def test_who_is_refused_is_told_when_to_come_back_and_has_used_up_nothing(limiter: RateLimiter) -> None:
    for _ in range(4):
        await limiter.acquire("shop", [HOURLY], 0)
    for _ in range(3):
        with pytest.raises(LimitReached) as refused:
            await limiter.acquire("shop", [HOURLY], INTERVAL - 60)
        assert refused.value.retry_after == pytest.approx(INTERVAL, abs=30)


async def test_those_who_wait_have_places_one_behind_the_other(limiter: RateLimiter) -> None:
    even = Rate(4, 3600, burst=1)
    waits = [await taken(limiter, "shop", even, patience=3000) for _ in range(5)]
    assert waits[:4] == pytest.approx([0, INTERVAL, 2 * INTERVAL, 3 * INTERVAL], abs=30)
    assert waits[4] is None


async def test_at_once_and_in_many_hands_no_place_is_given_twice(limiter: RateLimiter) -> None:
    places = await asyncio.gather(*(taken(limiter, "shop", HOURLY) for _ in range(40)))
    assert sorted(place for place in places if place is not None) == [0, 0, 0, 0]


async def test_several_rates_hold_together_and_a_refusal_by_one_uses_up_none(limiter: RateLimiter) -> None:
    wide, narrow = Rate(6, 86_400), Rate(2, 3600)
    assert [await taken(limiter, "shop", wide, narrow) for _ in range(4)] == [0, 0, None, None]
    assert [await taken(limiter, "shop", wide) for _ in range(5)] == [0, 0, 0, 0, None]


async def test_buckets_have_nothing_to_do_with_each_other(limiter: RateLimiter) -> None:
    for bucket in ("shop a", "shop b", "shop"):
        assert [await taken(limiter, bucket, HOURLY) for _ in range(5)] == [0, 0, 0, 0, None]


async def test_a_hold_leaves_no_place_and_the_longest_stands(limiter: RateLimiter) -> None:
    assert await limiter.held("shop") == 0
    await limiter.hold("shop", 600)
    await limiter.hold("shop", 60)
    assert await limiter.held("shop") == pytest.approx(600, abs=30)
    assert await limiter.held("other") == 0
    with pytest.raises(LimitReached) as refused:
        await limiter.acquire("shop", [], 60)
    assert refused.value.retry_after == pytest.approx(600, abs=30)


async def test_after_a_hold_there_is_no_rush(limiter: RateLimiter) -> None:
    await limiter.hold("shop", 600)
    waits = [await taken(limiter, "shop", HOURLY, patience=10_000) for _ in range(6)]
    assert waits == pytest.approx([600, 600, 600, 600, 600 + INTERVAL, 600 + 2 * INTERVAL], abs=30)


async def test_a_place_comes_free_as_time_passes(limiter: RateLimiter) -> None:
    quick = Rate(20, 1, burst=1)
    waits = [await limiter.acquire("shop", [quick], 5) for _ in range(3)]
    assert waits == pytest.approx([0, 0.05, 0.1], abs=0.049)
    while await taken(limiter, "shop", quick) is None:
        await asyncio.sleep(0)


# What only Redis promises


async def test_all_processes_share_what_redis_counts() -> None:
    async with reachable_redis() as redis, Redis.from_url(redis_url(redis)) as other:
        here, there = RedisLimits(redis), RedisLimits(other)
        places = await asyncio.gather(*(taken(each, "shop", HOURLY) for each in (here, there) * 10))
        assert sorted(place for place in places if place is not None) == [0, 0, 0, 0]
        await there.hold("shop", 600)
        assert await here.held("shop") == pytest.approx(600, abs=30)


async def test_redis_forgets_a_bucket_that_is_full_again_and_sees_no_names() -> None:
    async with reachable_redis() as redis:
        await RedisLimits(redis).acquire("https://shop.example acme", [HOURLY], 0)
        (key,) = await redis.keys("*")
        assert 0 < await redis.ttl(key) <= INTERVAL + 2
        assert b"shop" not in key
        assert b"acme" not in key


async def test_without_redis_nobody_says_that_there_is_a_place() -> None:
    async with deaf_server() as deaf:
        for address in (closed_port(), deaf):
            async with Redis.from_url(address.replace("http", "redis"), retry=None) as redis:
                limiter = RedisLimits(redis, seconds=0.1)
                with pytest.raises(LimitsUnavailable):
                    await limiter.acquire("shop", [HOURLY], 60)
                with pytest.raises(LimitsUnavailable):
                    await limiter.hold("shop", 60)


def redis_url(redis: Redis) -> str:
    given = redis.connection_pool.connection_kwargs
    return f"redis://{given['host']}:{given['port']}/{given['db']}"


# What only memory promises


async def test_memory_forgets_buckets_that_are_full_again() -> None:
    now = 0.0
    limiter = LocalLimits(lambda: now)
    for number in range(5000):
        now += 1.0
        await limiter.acquire(f"tenant {number}", [Rate(1, 10)], 0)
    assert len(limiter._buckets) <= 1001


@pytest.mark.parametrize("requests", range(1, 60))
async def test_the_whole_burst_goes_at_once_whatever_the_fractions(requests: int) -> None:
    limiter = LocalLimits(lambda: 1234.5678)
    rate = Rate(requests, 1.0)
    assert [await limiter.acquire("shop", [rate], 0) for _ in range(requests)] == [0.0] * requests
    with pytest.raises(LimitReached):
        await limiter.acquire("shop", [rate], 0)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 2), st.sampled_from([0.0, 1.0, 10.0])), max_size=60),
)
async def test_in_no_stretch_of_time_are_there_more_than_the_burst_and_what_fills_in(
    requests: int, burst: int, asked: list[tuple[float, float]]
) -> None:
    now = 0.0
    rate = Rate(requests, 1.0, burst)
    limiter = LocalLimits(lambda: now)
    places: list[float] = []
    for passed, patience in asked:
        now += passed
        try:
            places.append(now + await limiter.acquire("shop", [rate], patience))
        except LimitReached as refused:
            assert refused.retry_after > patience
    assert places == sorted(places)
    for first in range(len(places)):
        for last in range(first, len(places)):
            assert last - first + 1 <= burst + (places[last] - places[first]) / rate.interval + 1e-6


# How rates are written


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/second", Rate(10, 1)),
        (" 600 / minute ", Rate(600, 60)),
        ("1000/hour", Rate(1000, 3600)),
        ("5/day", Rate(5, 86_400)),
    ],
)
def test_a_rate_is_read_as_it_is_written(text: str, rate: Rate) -> None:
    assert rate_limit(text) == RateLimit(rates=(rate,))
    assert str(rate_limit([text, "1/day"])) == f"{text.replace(' ', '')}, 1/day"


@pytest.mark.parametrize("text", ["", "10", "0/second", "-1/second", "10/fortnight", "1e9/second", "10/second/second"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        rate_limit(text)


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (1, -1), (1, 1, 0), (1, float("nan"))])
def test_a_rate_of_nothing_is_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rate(*wrong)


def test_a_limit_without_rates_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one rate"):
        RateLimit.of()


async def test_redis_and_memory_say_the_same_whatever_is_asked_of_them() -> None:
    chosen = random.Random(20261121)
    rates = [Rate(4, 3600), Rate(3, 7200, burst=1), Rate(50, 86_400, burst=7)]
    async with reachable_redis() as redis:
        both = (RedisLimits(redis), LocalLimits())
        for _ in range(300):
            bucket, asked = chosen.choice("ab"), chosen.sample(rates, chosen.randint(0, 3))
            if chosen.random() < 0.05:
                seconds = chosen.uniform(0, 4000)
                for each in both:
                    await each.hold(bucket, seconds)
            patience = chosen.choice([0.0, 450.0, 3333.0, 1e6])
            there, here = [await taken(each, bucket, *asked, patience=patience) for each in both]
            assert (there is None) == (here is None)
            assert (there or 0) == pytest.approx(here or 0, abs=60)
