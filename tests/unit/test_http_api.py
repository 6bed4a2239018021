"""HTTP connectors: what is sent, what an answer proves, and what never gets out."""

import asyncio
import gzip
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from cairn import ToolContext, ToolError
from records.principal import Principal
from tests.support.back_end import BackEnd, back_end, broken_answer, json_answer, raw_answer
from tests.support.broken_server import closed_port, deaf_server
from tools.http import ApiKey, Auth, Basic, Bearer, HttpApi, HttpLimits, OAuth2
from tools.http.errors import ApiFailed, ApiNotReached, ApiRefused, ApiUnclear
from tools.http.limits import CircuitBreaker

CONTEXT = ToolContext(
    principal=Principal(tenant="acme"), run_id="run", session_id="session", idempotency_key="run:1:0", collection="docs"
)
QUICK = HttpLimits(total=60.0, backoff=0.001, failures=100)
KEY = "sk-very-secret-4711"


class Order(BaseModel):
    id: int
    state: str = "new"


class Apis:
    """Makes clients of one back end, and closes them."""

    def __init__(self, end: BackEnd, stack: AsyncExitStack) -> None:
        self.end = end
        self._stack = stack

    def __call__(self, url: str = "", **options: Any) -> HttpApi:
        api = HttpApi(url or self.end.url, **{"limits": QUICK, **options})
        self._stack.push_async_callback(api.aclose)
        return api


@pytest.fixture
async def end() -> AsyncIterator[BackEnd]:
    async with back_end() as given:
        yield given


@pytest.fixture
async def apis(end: BackEnd) -> AsyncIterator[Apis]:
    async with AsyncExitStack() as stack:
        yield Apis(end, stack)


async def test_an_answer_becomes_the_type_that_was_asked_for(end: BackEnd, apis: Apis) -> None:
    end.on("GET /v1/orders/7", json_answer({"id": 7, "state": "sent", "more": 1}))
    order = await apis(end.url + "/v1/").get(
        "/orders/{id}", Order, fields={"id": 7}, query={"full": True, "tag": ["a", "b"], "not": None}
    )
    assert order == Order(id=7, state="sent")
    assert end.targets == ["GET /v1/orders/7?full=true&tag=a&tag=b"]


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (json_answer([1, {"a": None}]), [1, {"a": None}]),
        (raw_answer("", "application/json", 204), None),
        (raw_answer("a,b\n1,2\n", "text/csv"), "a,b\n1,2\n"),
        (raw_answer(b'{"a":1}', "application/vnd.shop+json"), {"a": 1}),
        (
            raw_answer(b"%PDF", "application/pdf"),
            {"media_type": "application/pdf", "bytes": 4, "note": "not text, so it is not shown"},
        ),
    ],
)
async def test_without_a_type_an_answer_is_what_it_is(end: BackEnd, apis: Apis, answer: Any, value: Any) -> None:
    end.on("GET /x", answer)
    assert await apis().request("GET", "/x") == value


async def test_bodies_are_json_or_forms(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"id": 1}))
    api = apis()
    await api.post("/orders", Order, json=Order(id=1))
    await api.put("/orders/1", Order, form={"state": "a b", "tags": ["x", "y"]})
    assert [(each.headers["Content-Type"], each.body) for each in end.asked] == [
        ("application/json", '{"id":1,"state":"new"}'),
        ("application/x-www-form-urlencoded", "state=a+b&tags=x&tags=y"),
    ]


async def test_what_changes_something_carries_the_key_of_its_call(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"id": 1}))
    api = apis()
    await api.post("/orders", Order, context=CONTEXT)
    await api.get("/orders", Order, context=CONTEXT)
    assert [each.headers.get("Idempotency-Key") for each in end.asked] == ["run:1:0", None]


# What an answer proves


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 451])
async def test_a_back_end_that_says_no_has_done_nothing(end: BackEnd, apis: Apis, status: int) -> None:
    end.on("*", json_answer({"detail": "no such thing"}, status))
    for method in ("GET", "POST", "PUT"):
        with pytest.raises(ApiRefused, match="no such thing") as refused:
            await apis().request(method, "/x")
        assert refused.value.status == status
        assert isinstance(refused.value, ToolError)


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
async def test_an_ambiguous_status_proves_nothing(end: BackEnd, apis: Apis, status: int) -> None:
    end.on("*", json_answer({"message": "busy"}, status))
    with pytest.raises(ApiUnclear, match=f"POST /x: the back end answered {status}: busy"):
        await apis().request("POST", "/x", context=CONTEXT)
    with pytest.raises(ApiFailed, match=str(status)):
        await apis().request("GET", "/x")
    assert len([each for each in end.asked if each.method == "POST"]) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (broken_answer, "broke"),
        (raw_answer("<html>Sign in</html>", "text/html"), "web page"),
        (raw_answer("{", "application/json"), "not valid JSON"),
        (json_answer({"state": "sent"}), "not as expected: id: Field required"),
    ],
)
async def test_an_answer_that_is_lost_or_unreadable_leaves_a_write_unknown(
    end: BackEnd, apis: Apis, answer: Any, reason: str
) -> None:
    end.on("*", answer)
    with pytest.raises(ApiUnclear, match=reason):
        await apis().post("/x", Order)
    with pytest.raises(ApiFailed, match=reason):
        await apis(limits=replace(QUICK, attempts=1)).get("/x", Order)


async def test_a_back_end_that_hangs_leaves_a_write_unknown(end: BackEnd, apis: Apis) -> None:
    end.on("*", end.hang)
    with pytest.raises(ApiUnclear, match="took too long"):
        await apis(limits=replace(QUICK, read=0.1)).request("POST", "/x")
    with pytest.raises(ApiUnclear, match=r"no answer within 0\.1 s"):
        await apis(limits=replace(QUICK, total=0.1)).request("POST", "/x")


async def test_a_connection_that_was_never_made_has_sent_nothing(apis: Apis) -> None:
    with pytest.raises(ApiNotReached, match="no connection"):
        await apis(closed_port()).request("POST", "/x")
    async with deaf_server() as deaf:
        with pytest.raises(ApiNotReached, match="no connection"):
            await apis(deaf, limits=replace(QUICK, connect=0.1)).request("POST", "/x")
        with pytest.raises(ApiNotReached, match="no answer within"):
            await apis(deaf, limits=replace(QUICK, total=0.1)).request("POST", "/x")


async def test_a_request_that_waits_for_a_free_place_in_vain_has_not_been_sent(end: BackEnd, apis: Apis) -> None:
    end.on("GET /slow", end.hang)
    api = apis(limits=replace(QUICK, read=60, concurrency=1))
    slow = asyncio.create_task(api.request("GET", "/slow"))
    while not end.asked:
        await asyncio.sleep(0)
    api.limits = replace(api.limits, total=0.1)
    with pytest.raises(ApiNotReached):
        await api.request("POST", "/x")
    slow.cancel()
    await asyncio.wait([slow])
    assert end.targets == ["GET /slow"]


async def test_an_answer_that_is_too_large_is_an_error_however_it_is_packed(end: BackEnd, apis: Apis) -> None:
    end.on("GET /plain", raw_answer("x" * 5000, "text/plain"))
    end.on("GET /bomb", raw_answer(gzip.compress(b"x" * 50_000_000), "text/plain", Content_Encoding="gzip"))
    api = apis(limits=replace(QUICK, response_bytes=4999))
    for path in ("/plain", "/bomb"):
        with pytest.raises(ApiFailed, match="more than 4999 bytes"):
            await api.request("GET", path)
    assert len(end.asked) == 2


# Trying again


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("first", [json_answer(None, 503), json_answer(None, 429, Retry_After="0"), broken_answer])
async def test_what_may_be_repeated_is(end: BackEnd, apis: Apis, method: str, first: Any) -> None:
    end.on(f"{method} /x", first, json_answer({"id": 3}))
    assert await apis().request(method, "/x", Order) == Order(id=3)
    assert len(end.asked) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_post_is_repeated_only_under_a_key_that_the_back_end_honours(
    end: BackEnd, apis: Apis, method: str
) -> None:
    end.on("*", json_answer(None, 503))
    for honours, context, attempts in ((True, CONTEXT, 3), (False, CONTEXT, 1), (True, None, 1)):
        end.asked.clear()
        with pytest.raises(ApiUnclear):
            await apis(honours_idempotency_key=honours).request(method, "/x", context=context)
        assert len(end.asked) == attempts
        assert len({each.headers.get("Idempotency-Key") for each in end.asked}) == 1


async def test_a_refusal_after_an_attempt_that_may_have_acted_proves_nothing(end: BackEnd, apis: Apis) -> None:
    end.on("PUT /x", broken_answer, json_answer({"detail": "version has changed"}, 412))
    with pytest.raises(ApiUnclear, match="version has changed"):
        await apis().request("PUT", "/x")
    end.on("DELETE /x", broken_answer, json_answer(None, 404))
    assert await apis().request("DELETE", "/x") is None
    end.on("DELETE /x", json_answer(None, 404))
    with pytest.raises(ApiRefused):
        await apis().request("DELETE", "/x")


async def test_a_call_that_is_made_again_is_not_denied_by_a_refusal(end: BackEnd, apis: Apis) -> None:
    again = replace(CONTEXT, perhaps_done=True)
    end.on("*", json_answer({"detail": "not in this state"}, 422))
    with pytest.raises(ApiUnclear, match="not in this state"):
        await apis().request("POST", "/x", context=again)
    end.on("*", json_answer(None, 404))
    assert await apis().request("DELETE", "/x", context=again) is None
    with pytest.raises(ApiRefused):
        await apis().request("GET", "/x", context=again)


async def test_a_back_end_that_asks_for_more_patience_than_there_is_gets_no_second_request(
    end: BackEnd, apis: Apis
) -> None:
    end.on("*", json_answer(None, 503, Retry_After="60"))
    with pytest.raises(ApiFailed, match="503"):
        await apis().request("GET", "/x")
    assert len(end.asked) == 1


async def test_a_host_that_keeps_failing_is_left_alone(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer(None, 503))
    api = apis(limits=replace(QUICK, failures=2, attempts=1))
    for _ in range(2):
        with pytest.raises(ApiUnclear):
            await api.request("POST", "/x")
    with pytest.raises(ApiNotReached, match="several times in a row"):
        await api.request("POST", "/x")
    assert len(end.asked) == 2


async def test_a_circuit_that_opens_between_two_attempts_does_not_deny_the_first(end: BackEnd, apis: Apis) -> None:
    end.on("*", broken_answer)
    with pytest.raises(ApiUnclear, match="several times"):
        await apis(limits=replace(QUICK, failures=1)).request("PUT", "/x")


def test_after_its_rest_one_request_tries_whether_the_host_is_back() -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=2, rest=10, clock=lambda: now[0])
    breaker.failed()
    assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()
    now[0] = 10
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.succeeded()
    assert [breaker.admits(), breaker.admits()] == [True, True]


# Credentials


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Bearer(SecretStr(KEY)), "Authorization", f"Bearer {KEY}"),
        (Basic("ada", "pass:word"), "Authorization", "Basic YWRhOnBhc3M6d29yZA=="),
        (ApiKey(KEY), "X-API-Key", KEY),
        (ApiKey(KEY, name="session", place="cookie"), "Cookie", f"session={KEY}"),
    ],
)
async def test_credentials_are_sent_with_each_request(
    end: BackEnd, apis: Apis, auth: Auth, header: str, value: str
) -> None:
    end.on("*", json_answer({"id": 1}))
    await apis(auth=auth).get("/x", Order)
    assert end.asked[0].headers[header] == value


async def test_a_key_may_be_part_of_the_query(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"id": 1}))
    await apis(auth=ApiKey("a b", name="key", place="query")).get("/x", Order, query={"q": 1})
    assert end.targets == ["GET /x?q=1&key=a+b"]


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({"detail": f"the key {KEY} is not valid"}, 401),
        json_answer({"detail": f"the key {KEY} is not valid"}, 500),
        broken_answer,
        raw_answer("{", "application/json"),
        raw_answer("", "text/plain", 302, Location=f"http://elsewhere.example/?key={KEY}"),
    ],
)
@pytest.mark.parametrize("place", ["header", "query"])
async def test_no_error_shows_a_credential(end: BackEnd, apis: Apis, answer: Any, place: Any) -> None:
    end.on("*", answer)
    api = apis(auth=ApiKey(KEY, name="key", place=place), limits=replace(QUICK, attempts=1))
    with pytest.raises(Exception, match="POST /x") as failed:
        await api.request("POST", "/x", Order)
    assert KEY not in "".join(traceback.format_exception(failed.value))
    assert KEY not in repr(api)


async def test_an_answer_that_repeats_the_credential_is_cleaned_of_it(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"you sent": f"Bearer {KEY}"}))
    assert await apis(auth=Bearer(KEY)).request("GET", "/x") == {"you sent": "Bearer [secret]"}


@pytest.mark.parametrize("value", ["", "abc\n"])
def test_a_credential_that_no_header_carries_is_refused_when_it_is_given(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Bearer(value)


class TestOAuth2:
    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def api(self, end: BackEnd, apis: Apis, now: list[float]) -> HttpApi:
        end.on("*", json_answer({"id": 1}))
        tokens = [{"access_token": f"token-{i}", "expires_in": 100} for i in range(5)]
        end.on("POST /token", *map(json_answer, tokens))
        auth = OAuth2(f"{end.url}/token", "me", "s3cret", scopes=("a", "b"), clock=lambda: now[0])
        return apis(auth=auth)

    def tokens(self, end: BackEnd) -> list[str]:
        return [each.headers["Authorization"] for each in end.asked if each.target == "/x"]

    async def test_one_token_serves_until_shortly_before_it_expires(
        self, end: BackEnd, api: HttpApi, now: list[float]
    ) -> None:
        await asyncio.gather(*(api.get("/x", Order) for _ in range(5)))
        now[0] = 79
        await api.get("/x", Order)
        now[0] = 81
        await api.get("/x", Order)
        assert self.tokens(end) == ["Bearer token-0"] * 6 + ["Bearer token-1"]
        asked = end.asked[0]
        assert asked.body == "grant_type=client_credentials&scope=a+b"
        assert asked.headers["Authorization"] == "Basic bWU6czNjcmV0"

    async def test_a_token_that_is_refused_is_renewed_once(self, end: BackEnd, api: HttpApi) -> None:
        end.on("POST /x", json_answer({"detail": "expired"}, 401), json_answer({"id": 9}))
        assert await api.post("/x", Order) == Order(id=9)
        assert self.tokens(end) == ["Bearer token-0", "Bearer token-1"]
        end.on("POST /x", json_answer({"detail": "token-1 expired"}, 401))
        with pytest.raises(ApiRefused, match=r"\(401\)"):
            await api.post("/x", Order)
        assert len(self.tokens(end)) == 4

    @pytest.mark.parametrize("answer", [json_answer({"error": "s3cret is wrong"}, 400), json_answer({}), broken_answer])
    async def test_without_a_token_nothing_is_sent(self, end: BackEnd, api: HttpApi, answer: Any) -> None:
        end.on("POST /token", answer)
        with pytest.raises(ApiNotReached, match="token") as failed:
            await api.post("/x", Order)
        assert "s3cret" not in str(failed.value)
        assert self.tokens(end) == []


# Where requests may go


@pytest.mark.parametrize("value", ["..", ".", "../admin", "a/../../admin", "%2e%2e", "..\\admin", ""])
async def test_no_value_leads_above_the_path(end: BackEnd, apis: Apis, value: str) -> None:
    with pytest.raises(ApiNotReached):
        await apis().request("GET", "/orders/{id}/lines", fields={"id": value})
    assert end.asked == []


@pytest.mark.parametrize(
    ("value", "sent"),
    [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("ä b", "%C3%A4%20b"), (True, "true"), ("//x", "%2F%2Fx")],
)
async def test_a_value_stays_one_part_of_the_path(end: BackEnd, apis: Apis, value: Any, sent: str) -> None:
    end.on("*", json_answer({"id": 1}))
    await apis().get("/orders/{id}", Order, fields={"id": value})
    assert end.targets == [f"GET /orders/{sent}"]


async def test_a_path_cannot_smuggle_in_a_query(end: BackEnd, apis: Apis) -> None:
    for path in ("/orders/1?admin=1", "/orders/1#x", "/orders/../admin", "/a b"):
        with pytest.raises(ApiNotReached):
            await apis().request("GET", path)
    end.on("*", json_answer({"id": 1}))
    await apis().get("//evil.example/x", Order)
    assert end.targets == ["GET /evil.example/x"]


async def test_a_redirect_is_followed_on_the_same_host_only_and_only_by_what_reads(end: BackEnd, apis: Apis) -> None:
    end.on("GET /old", json_answer(None, 302, Location="/new?x=1"))
    end.on("GET /new", json_answer({"id": 2}))
    assert await apis(auth=Bearer(KEY)).get("/old", Order) == Order(id=2)
    assert end.asked[1].headers["Authorization"] == f"Bearer {KEY}"
    end.on("POST /old", json_answer(None, 302, Location="/new"))
    end.on("PUT /old", json_answer(None, 307, Location="/new"))
    with pytest.raises(ApiUnclear, match="302"):
        await apis().request("POST", "/old")
    with pytest.raises(ApiNotReached, match="307"):
        await apis().request("PUT", "/old")
    end.on("GET /loop", json_answer(None, 302, Location="/loop"))
    with pytest.raises(ApiFailed, match="302"):
        await apis().request("GET", "/loop")


async def test_a_redirect_elsewhere_is_followed_where_it_is_allowed_without_credentials_and_never_to_private_addresses(
    end: BackEnd, apis: Apis
) -> None:
    async with back_end() as other:
        other.on("*", json_answer({"id": 5}))
        end.on("*", json_answer(None, 302, Location=f"{other.url}/x"))
        with pytest.raises(ApiFailed, match="302"):
            await apis().request("GET", "/x")
        # The same machine under the address that was configured: another port is another origin, but may be reached.
        api = apis(auth=(Bearer(KEY), ApiKey(KEY, name="key", place="query")), allowed_hosts=["127.0.0.1"])
        assert await api.get("/x", Order) == Order(id=5)
        assert KEY not in str(other.asked)
        end.on("*", json_answer(None, 302, Location=other.url.replace("127.0.0.1", "127.0.0.2")))
        with pytest.raises(ApiFailed, match=r"127\.0\.0\.2 is a private address"):
            await apis(allowed_hosts=["127.0.0.2"]).request("GET", "/x")
        assert len(other.asked) == 1


async def test_a_name_that_stands_for_a_private_address_is_refused_unless_it_was_meant(
    end: BackEnd, apis: Apis
) -> None:
    end.on("*", json_answer({"id": 1}))
    for name in ("127.1", "2130706433"):
        with pytest.raises(ApiNotReached):
            await apis(end.url.replace("127.0.0.1", name)).request("POST", "/x")
    # This is looked up as a name is, and is this machine.
    url = end.url.replace("127.0.0.1", "0x7f000001")
    with pytest.raises(ApiNotReached, match="private address"):
        await apis(url).request("POST", "/x")
    assert end.asked == []
    assert await apis(url, private=True).get("/x", Order) == Order(id=1)


@pytest.mark.parametrize("url", ["ftp://a.example", "a.example", "https://u:p@a.example", "https://a.example/?q=1"])
def test_a_base_url_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        HttpApi(url)


# What the model is told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"title": "Out of stock", "detail": "Only 2 left.", "status": 422}, "Out of stock: Only 2 left."),
        ({"detail": [{"loc": ["body", "qty"], "msg": "too many", "type": "x"}]}, "body.qty: too many"),
        ({"error": {"code": 7, "message": "no such user"}}, "no such user"),
        ({"errors": {"qty": ["must be positive", "must be even"]}}, "qty: must be positive; must be even"),
        ({"title": "Bad", "errors": [{"field": "qty", "message": "too many"}]}, "Bad; qty: too many"),
        ({"error": "invalid_grant", "error_description": "expired"}, "expired"),
        ({"x": 1}, ""),
    ],
)
async def test_an_error_is_told_in_the_back_ends_own_words(end: BackEnd, apis: Apis, body: Any, told: str) -> None:
    end.on("*", json_answer(body, 422))
    with pytest.raises(ApiRefused) as refused:
        await apis().request("POST", "/orders/{id}", fields={"id": 3})
    assert str(refused.value) == "POST /orders/{id}: the back end answered 422" + (f": {told}" if told else "")


async def test_what_is_told_of_an_error_is_bounded_and_no_web_page(end: BackEnd, apis: Apis) -> None:
    end.on("GET /long", json_answer({"detail": "x" * 10_000}, 400))
    end.on("GET /page", raw_answer("<html>" + "x" * 1000, "text/html", 404))
    for path, most in (("/long", 460), ("/page", 60)):
        with pytest.raises(ApiRefused) as refused:
            await apis().request("GET", path)
        assert len(str(refused.value)) < most


async def test_a_cookie_that_one_user_is_given_is_not_sent_for_another(end: BackEnd, apis: Apis) -> None:
    end.on("*", json_answer({"id": 1}, Set_Cookie="session=ada"))
    api = apis()
    await api.get("/x", Order)
    await api.get("/x", Order)
    assert "Cookie" not in end.asked[1].headers
