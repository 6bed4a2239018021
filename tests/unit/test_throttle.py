"""What a connector sends: within its rates, waiting where that helps, and not while the back end asks for a pause."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from cairn import HttpApi, HttpLimits, RateLimit, tool
from records.principal import Principal
from tests.support.back_end import BackEnd, back_end, json_answer
from tests.support.context import CONTEXT
from tools.http.errors import ApiFailed, ApiNotReached, ApiRateLimited, ApiUnclear
from tools.http.throttle import LONGEST_HOLD
from tools.limits.local import LocalLimits
from tools.limits.port import LimitsUnavailable
from tools.limits.rates import Rate
from tools.toolset import Toolset, coerce

QUICK = HttpLimits(total=60.0, backoff=0.001, failures=100)
Apis = Callable[..., HttpApi]


@pytest.fixture
async def end() -> AsyncIterator[BackEnd]:
    async with back_end() as given:
        given.on("*", json_answer({"ok": True}))
        yield given


@pytest.fixture
async def apis(end: BackEnd) -> AsyncIterator[Apis]:
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> HttpApi:
            api = HttpApi(end.url, **{"limits": QUICK, **options})
            stack.push_async_callback(api.aclose)
            return api

        yield make


async def test_a_request_waits_for_its_place_where_that_is_soon_enough(end: BackEnd, apis: Apis) -> None:
    api = apis(rate=Rate(20, 1, burst=1))
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(api.request("GET", "/x") for _ in range(4)))
    assert len(end.asked) == 4
    assert loop.time() - started >= 0.149


async def test_a_request_without_a_place_in_time_is_not_sent_and_says_when_to_come_back(
    end: BackEnd, apis: Apis
) -> None:
    api = apis(rate="2/hour")
    for _ in range(2):
        await api.request("POST", "/x", context=CONTEXT)
    for method in ("GET", "POST"):
        with pytest.raises(ApiRateLimited, match=r"its limit of 2/hour is used up; try again in 1800 s") as refused:
            await api.request(method, "/x", context=CONTEXT)
        assert refused.value.retry_after == pytest.approx(1800, abs=30)
    assert len(end.asked) == 2


async def test_a_call_has_the_failure_rate_limited(end: BackEnd, apis: Apis) -> None:
    api = apis(rate="1/hour")

    @tool(effect="write")
    async def act() -> Any:
        """Act."""
        return await api.request("POST", "/x")

    results = [await coerce(act).call({}, CONTEXT) for _ in range(2)]
    assert [result.failure for result in results] == [None, "rate_limited"]
    assert len(end.asked) == 1


async def test_no_call_waits_beyond_its_own_time_out(apis: Apis) -> None:
    """Otherwise the time-out would leave it open whether something was done."""
    api = apis(rate=Rate(1, 1))

    @tool(effect="write", timeout=0.5)
    async def act() -> Any:
        """Act."""
        return await api.request("POST", "/x")

    results = [await coerce(act).call({}, CONTEXT) for _ in range(2)]
    assert [result.failure for result in results] == [None, "rate_limited"]


async def test_every_attempt_takes_a_place(end: BackEnd, apis: Apis) -> None:
    end.on("GET /x", json_answer(None, 503), json_answer({"ok": True}))
    api = apis(rate="2/hour")
    await api.request("GET", "/x")
    with pytest.raises(ApiRateLimited):
        await api.request("GET", "/x")


async def test_an_attempt_that_has_no_place_after_one_that_may_have_acted_proves_nothing(
    end: BackEnd, apis: Apis
) -> None:
    end.on("*", json_answer(None, 503))
    with pytest.raises(ApiUnclear, match="1/hour"):
        await apis(rate="1/hour").request("PUT", "/x")


# A back end that asks for a pause


async def test_a_pause_that_the_back_end_asks_for_holds_back_everybody(end: BackEnd, apis: Apis) -> None:
    end.on("POST /x", json_answer(None, 429, Retry_After="60"))
    api = apis()
    with pytest.raises(ApiUnclear):
        await api.request("POST", "/x")
    for path in ("/x", "/y"):
        with pytest.raises(ApiRateLimited, match="asked for a pause; try again in 60 s"):
            await api.request("GET", path)
    assert len(end.asked) == 1


async def test_a_read_that_was_asked_to_wait_too_long_is_rate_limited(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"detail": "too fast"}, 429, Retry_After="60"))
    with pytest.raises(ApiRateLimited, match="answered 429: too fast; try again in 60 s") as refused:
        await apis().request("GET", "/x")
    assert refused.value.retry_after == 60


async def test_without_a_word_on_when_to_come_back_nobody_is_held_back(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer(None, 429))
    api = apis()
    with pytest.raises(ApiFailed):
        await api.request("GET", "/x")
    end.on("*", json_answer({"ok": True}))
    assert await api.request("GET", "/x") == {"ok": True}


async def test_a_short_pause_is_waited_for_by_those_who_have_a_place_already(apis: Apis) -> None:
    limiter = _Pausing(LocalLimits())
    api = apis(rate=Rate(20, 1, burst=1))
    api.share_limits(limiter)
    await api.request("GET", "/x")
    loop = asyncio.get_running_loop()
    started = loop.time()
    await api.request("GET", "/x")  # has to wait; meanwhile the back end asks for a pause
    assert loop.time() - started >= limiter.pause


@pytest.mark.parametrize("wish", ["99999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_no_pause_is_longer_than_a_quarter_of_an_hour(end: BackEnd, apis: Apis, wish: str) -> None:
    end.on("*", json_answer(None, 429, Retry_After=wish))
    api = apis()
    for _ in range(2):
        with pytest.raises(ApiRateLimited) as refused:
            await api.request("GET", "/x")
    assert refused.value.retry_after <= LONGEST_HOLD


# Who shares a limit with whom


async def test_connectors_of_one_base_url_share_a_limit_once_they_are_handed_the_same_limiter(
    apis: Apis,
) -> None:
    one, two, other = apis(rate="1/hour"), apis(rate="1/hour"), apis(rate=RateLimit.of("1/hour", name="other"))
    limiter = LocalLimits()
    for api in (one, two, other):
        api.share_limits(limiter)
    await one.request("GET", "/x")
    await other.request("GET", "/x")
    with pytest.raises(ApiRateLimited):
        await two.request("GET", "/x")


async def test_tenants_have_limits_of_their_own_where_that_is_asked_for(apis: Apis) -> None:
    api = apis(rate=RateLimit.of("1/hour", per_tenant=True))
    acme, bolt = (replace(CONTEXT, principal=Principal(tenant=tenant)) for tenant in ("acme", "bolt"))
    await api.request("GET", "/x", context=acme)
    await api.request("GET", "/x", context=bolt)
    with pytest.raises(ApiRateLimited):
        await api.request("GET", "/x", context=acme)
    with pytest.raises(ApiFailed, match="context="):
        await api.request("GET", "/x")


async def test_when_nobody_keeps_count_nothing_is_sent(end: BackEnd, apis: Apis) -> None:
    api = apis(rate="1/hour")
    api.share_limits(_Gone())
    with pytest.raises(ApiNotReached, match="cannot be found out"):
        await api.request("POST", "/x")
    with pytest.raises(ApiFailed, match="cannot be found out"):
        await api.request("GET", "/x")
    assert end.asked == []


async def test_an_answer_counts_although_its_wish_cannot_be_kept(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"detail": "slow down"}, 429, Retry_After="60"))
    api = apis(rate="9/hour")
    api.share_limits(_Forgetful())
    with pytest.raises(ApiRateLimited, match="slow down"):
        await api.request("GET", "/x")


async def test_a_connector_without_rates_asks_nobody_else(apis: Apis) -> None:
    api = apis()
    api.share_limits(_Gone())
    assert await api.request("GET", "/x") == {"ok": True}


async def test_a_set_of_tools_hands_the_limiter_to_the_connectors_that_it_keeps_open(end: BackEnd, apis: Apis) -> None:
    api = apis(rate="1/hour")

    @tool
    async def look() -> Any:
        """Look."""
        return await api.request("GET", "/x")

    made = replace(coerce(look), resources=(api,))
    Toolset([made]).share_limits(_Gone())
    assert (await made.call({}, CONTEXT)).failure == "failed"
    assert end.asked == []


class _Gone:
    async def acquire(self, *_: Any) -> float:
        raise LimitsUnavailable("gone")

    async def hold(self, *_: Any) -> None:
        raise LimitsUnavailable("gone")

    async def held(self, *_: Any) -> float:
        raise LimitsUnavailable("gone")


class _Forgetful(LocalLimits):
    async def hold(self, *_: Any) -> None:
        raise LimitsUnavailable("gone")


class _Pausing:
    """Lets the back end ask for a pause as soon as somebody waits."""

    pause = 0.3

    def __init__(self, inner: LocalLimits) -> None:
        self._inner = inner
        self._paused = False

    async def acquire(self, bucket: str, rates: Sequence[Rate], patience: float) -> float:
        wait = await self._inner.acquire(bucket, rates, patience)
        if wait and not self._paused:
            self._paused = True
            await self._inner.hold(bucket, self.pause)
        return wait

    async def hold(self, bucket: str, seconds: float) -> None:
        await self._inner.hold(bucket, seconds)

    async def held(self, bucket: str) -> float:
        return await self._inner.held(bucket)
