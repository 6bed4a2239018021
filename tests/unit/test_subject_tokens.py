"""Connectors that act for whoever asks: with their token, or one exchanged for it, and never with anything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from pydantic import SecretStr

from cairn import ForwardToken, HttpApi, HttpLimits, TokenExchange, ToolContext
from tests.support.back_end import BackEnd, Handler, back_end, json_answer
from tests.support.context import CONTEXT
from tools.decorator import tool
from tools.http.errors import ApiNotReached, TokenNeeded
from tools.http.subject import REMEMBERED
from tools.toolset import coerce

QUICK = HttpLimits(total=60.0, backoff=0.001, failures=100)
ADA, BEN = "token-of-ada", "token-of-ben"
SECRET = "exchanger-secret"


def asked_by(token: str | None) -> ToolContext:
    return replace(CONTEXT, subject_token=SecretStr(token) if token else None)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def end() -> AsyncIterator[BackEnd]:
    async with back_end() as given:
        given.on("*", json_answer({"ok": True}))
        yield given


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


def api(end: BackEnd, stack: AsyncExitStack, auth: Any) -> HttpApi:
    made = HttpApi(end.url, auth=auth, limits=QUICK)
    stack.push_async_callback(made.aclose)
    return made


def exchange(end: BackEnd, **options: Any) -> TokenExchange:
    return TokenExchange(f"{end.url}/token", "cairn", SECRET, **{"audience": "shop", "scopes": ["orders"], **options})


def exchanging(**more: Any) -> Handler:
    """A token endpoint that gives every subject's token a number, counting up."""
    given = 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal given
        given += 1
        form = parse_qs((await request.read()).decode())
        token = f"for-{form['subject_token'][0]}-{given}"
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 60, **more})

    return answer


def bearers(end: BackEnd, method: str = "GET") -> list[str]:
    return [each.headers.get("Authorization", "") for each in end.asked if each.method == method]


def exchanges(end: BackEnd) -> int:
    return sum(each.target == "/token" for each in end.asked)


# Forwarding


async def test_a_token_is_forwarded_for_whoever_asks(end: BackEnd, stack: AsyncExitStack) -> None:
    shop = api(end, stack, ForwardToken())
    for token in (ADA, BEN):
        await shop.request("GET", "/orders", context=asked_by(token))
    assert bearers(end) == [f"Bearer {ADA}", f"Bearer {BEN}"]


async def test_a_header_of_another_name_carries_the_token_as_it_is(end: BackEnd, stack: AsyncExitStack) -> None:
    await api(end, stack, ForwardToken(header="X-User")).request("GET", "/orders", context=asked_by(ADA))
    assert (end.asked[0].headers["X-User"], "Authorization" in end.asked[0].headers) == (ADA, False)


@pytest.mark.parametrize("kind", ["forward", "exchange"])
async def test_without_a_token_nothing_is_sent_and_nothing_else_stands_in(
    end: BackEnd, stack: AsyncExitStack, kind: str
) -> None:
    shop = api(end, stack, ForwardToken() if kind == "forward" else exchange(end))
    with pytest.raises(TokenNeeded, match="brought none"):
        await shop.request("POST", "/orders", context=asked_by(None))
    with pytest.raises(ApiNotReached, match="context="):
        await shop.request("POST", "/orders")
    assert end.asked == []


async def test_a_forwarded_token_that_is_refused_is_a_failure_of_its_own(end: BackEnd, stack: AsyncExitStack) -> None:
    end.on("*", json_answer({"detail": f"{ADA} has expired"}, 401))
    shop = api(end, stack, ForwardToken())

    @tool(effect="write")
    async def place_order(context: ToolContext) -> Any:
        """Place an order."""
        return await shop.request("POST", "/orders", context=context)

    result = await coerce(place_order).call({}, asked_by(ADA))
    assert (result.failure, "sign in again" in result.content, ADA in result.content) == ("token_needed", True, False)
    assert len(end.asked) == 1


async def test_a_redirect_takes_no_token_elsewhere(end: BackEnd, stack: AsyncExitStack) -> None:
    async with back_end() as other:
        other.on("*", json_answer({"ok": True}))
        end.on("*", json_answer(None, 302, Location=f"{other.url}/orders"))
        shop = HttpApi(end.url, auth=ForwardToken(), limits=QUICK, allowed_hosts=["127.0.0.1"])
        stack.push_async_callback(shop.aclose)
        await shop.request("GET", "/orders", context=asked_by(ADA))
    assert "Authorization" not in other.asked[0].headers


# Exchanging


async def test_a_token_is_exchanged_as_the_standard_says(end: BackEnd, stack: AsyncExitStack) -> None:
    end.on("POST /token", exchanging())
    await api(end, stack, exchange(end)).request("GET", "/orders", context=asked_by(ADA))
    assert parse_qs(end.asked[0].body) == {
        "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "subject_token": [ADA],
        "subject_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
        "audience": ["shop"],
        "scope": ["orders"],
    }
    assert end.asked[0].headers["Authorization"].startswith("Basic ")
    assert bearers(end) == [f"Bearer for-{ADA}-1"]


async def test_an_exchanged_token_is_used_for_its_subject_until_it_expires(end: BackEnd, stack: AsyncExitStack) -> None:
    end.on("POST /token", exchanging())
    clock = Clock()
    shop = api(end, stack, exchange(end, clock=clock))
    for token, passed in ((ADA, 0), (ADA, 40), (BEN, 0), (ADA, 9)):
        clock.now += passed
        await shop.request("GET", "/orders", context=asked_by(token))
    assert bearers(end) == [f"Bearer for-{ADA}-1", f"Bearer for-{ADA}-1", f"Bearer for-{BEN}-2", f"Bearer for-{ADA}-3"]


async def test_those_who_wait_for_one_subjects_token_share_one_exchange(end: BackEnd, stack: AsyncExitStack) -> None:
    end.on("POST /token", exchanging())
    shop = api(end, stack, exchange(end))
    await asyncio.gather(*(shop.request("GET", "/orders", context=asked_by(ADA)) for _ in range(20)))
    assert (exchanges(end), set(bearers(end))) == (1, {f"Bearer for-{ADA}-1"})


async def test_who_asked_first_may_give_up_without_the_others(end: BackEnd, stack: AsyncExitStack) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    answered = exchanging()

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return await answered(request)

    end.on("POST /token", slowly)
    shop = api(end, stack, exchange(end))
    first = asyncio.create_task(shop.request("GET", "/orders", context=asked_by(ADA)))
    await arrived.wait()
    second = asyncio.create_task(shop.request("GET", "/orders", context=asked_by(ADA)))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go_on.set()
    assert await second == {"ok": True}
    assert exchanges(end) == 1


async def test_a_token_that_the_back_end_refuses_is_fetched_once_more_and_no_oftener(
    end: BackEnd, stack: AsyncExitStack
) -> None:
    end.on("POST /token", exchanging())
    end.on("GET /orders", json_answer(None, 401), json_answer({"ok": True}))
    shop = api(end, stack, exchange(end))
    assert await shop.request("GET", "/orders", context=asked_by(ADA)) == {"ok": True}
    assert bearers(end) == [f"Bearer for-{ADA}-1", f"Bearer for-{ADA}-2"]
    end.on("GET /orders", json_answer(None, 401))
    with pytest.raises(TokenNeeded):
        await shop.request("GET", "/orders", context=asked_by(ADA))
    assert (exchanges(end), len(bearers(end))) == (3, 4)


@pytest.mark.parametrize("error", ["invalid_request", "invalid_grant", "invalid_token"])
async def test_an_expired_subject_token_is_told_and_not_sent_again_and_again(
    end: BackEnd, stack: AsyncExitStack, error: str
) -> None:
    end.on("POST /token", json_answer({"error": error, "error_description": f"{ADA} is too old"}, 400))
    clock = Clock()
    shop = api(end, stack, exchange(end, clock=clock))
    for _ in range(5):
        with pytest.raises(TokenNeeded, match="sign in again") as raised:
            await shop.request("GET", "/orders", context=asked_by(ADA))
        assert ADA not in str(raised.value)
    assert (exchanges(end), bearers(end)) == (1, [])
    clock.now += 31
    with pytest.raises(TokenNeeded):
        await shop.request("GET", "/orders", context=asked_by(ADA))
    assert exchanges(end) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json_answer({"error": "invalid_client"}, 401), "answered 401 invalid_client"),
        (json_answer({"error": f"no {ADA} here"}, 400), r"answered 400$"),
        (json_answer({"error": "invalid_target"}, 400), "invalid_target"),
        (json_answer(None, 500), "answered 500"),
        (json_answer({"token_type": "Bearer"}), "gave no token"),
        (json_answer({"access_token": "a\nb"}), "gave no token"),
        (json_answer({"access_token": "abc", "token_type": "N_A"}), "no bearer token"),
        (json_answer([]), "gave no token"),
    ],
)
async def test_what_is_wrong_with_the_exchange_itself_is_no_fault_of_whoever_asks(
    end: BackEnd, stack: AsyncExitStack, answer: Handler, reason: str
) -> None:
    end.on("POST /token", answer)
    shop = api(end, stack, exchange(end))
    for _ in range(2):
        with pytest.raises(ApiNotReached, match=reason) as raised:
            await shop.request("POST", "/orders", context=asked_by(ADA))
        assert ADA not in str(raised.value)
        assert SECRET not in str(raised.value)
    assert [each.target for each in end.asked] == ["/token", "/token"]


async def test_an_answer_shows_neither_token(end: BackEnd, stack: AsyncExitStack) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"seen": request.headers["Authorization"], "of": ADA})

    end.on("POST /token", exchanging())
    end.on("GET /orders", echo)
    shown = await api(end, stack, exchange(end)).request("GET", "/orders", context=asked_by(ADA))
    assert shown == {"seen": "Bearer [secret]", "of": "[secret]"}


async def test_only_so_many_tokens_are_kept(end: BackEnd) -> None:
    async def post(*_: Any) -> Any:
        return {"access_token": "t", "token_type": "Bearer", "expires_in": 9999}

    auth = exchange(end)
    for number in range(REMEMBERED + 20):
        await auth.grant(post, SecretStr(f"subject-{number}"))
    assert len(auth._known) == REMEMBERED


async def test_a_token_that_has_expired_is_not_kept(end: BackEnd) -> None:
    async def post(*_: Any) -> Any:
        return {"access_token": "t", "token_type": "Bearer", "expires_in": 60}

    clock = Clock()
    auth = exchange(end, clock=clock)
    for number in range(20):
        await auth.grant(post, SecretStr(f"subject-{number}"))
        clock.now += 47
    assert len(auth._known) <= 2


async def test_a_tool_in_a_process_of_its_own_is_not_handed_the_token() -> None:
    shown = await coerce(tool(isolation="process")(tell_token)).call({}, asked_by(ADA))
    assert shown.value == [None, CONTEXT.run_id]


def tell_token(context: ToolContext) -> list[Any]:
    """Tell what is known."""
    return [context.subject_token, context.run_id]


def test_a_context_does_not_show_its_token() -> None:
    assert ADA not in repr(asked_by(ADA))
    assert ADA not in str(asked_by(ADA).subject_token)
