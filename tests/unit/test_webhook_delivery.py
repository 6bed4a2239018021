"""Deliveries over real HTTP: taken, refused, lost, tried again, given up; and never where they must not go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from agent.webhooks.deliverer import LEASE, Deliverer
from agent.webhooks.deliveries import Backlog, Deliveries, Delivery
from agent.webhooks.endpoints import Endpoint, Endpoints
from agent.webhooks.notices import PATIENCE, Notices
from agent.webhooks.sender import Sender
from agent.webhooks.signing import new_secret
from records.database import Database
from records.ids import now
from records.schema import webhook_deliveries
from tests.support.back_end import BackEnd, Handler, back_end, json_answer

OLD, SECRET = new_secret(), new_secret()
END: dict[str, Any] = {"type": "run.completed", "finish_reason": "stop", "answer": "", "duration_ms": 1.0}


class Run:
    """A run of a tenant."""

    def __init__(self, tenant: str = "default", webhook: str | None = None) -> None:
        self.run_id, self.session_id, self.tenant, self.webhook = "r", "s", tenant, webhook


class Count:
    """Counts what is counted."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.backlog = Backlog()

    def webhook(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def webhooks(self, backlog: Backlog) -> None:
        self.backlog = backlog


class Post:
    """A deliverer over a database, with a clock that stands where it is put."""

    def __init__(self, database: Database, endpoints: Endpoints) -> None:
        self.database = database
        self.deliveries = Deliveries(database)
        self.notices = Notices(endpoints)
        self.sender = Sender()
        self.counted = Count()
        self.moment = now()
        self.deliverer = self.another(endpoints)

    def another(self, endpoints: Endpoints) -> Deliverer:
        """A further deliverer, as another process has one."""
        return Deliverer(
            self.deliveries,
            endpoints,
            self.sender,
            self.counted,
            self.notices.written,
            clock=lambda: self.moment,
            jitter=lambda low, high: (low + high) / 2,
        )

    async def tell(self, run: Run | None = None) -> list[str]:
        """Write what a run's end leads to; gives the ids of the deliveries."""
        rows = self.notices.of_end(run or Run(), "completed", END)
        await self.database.write_at_once([webhook_deliveries.insert().values(**row) for row in rows])
        self.moment = max(self.moment, now())
        return [row["id"] for row in rows]

    async def one(self) -> Delivery:
        (delivery,) = await self.deliveries.list()
        return delivery

    async def wait_until_due(self) -> None:
        self.moment = (await self.one()).due_at


@asynccontextmanager
async def post(folder: Path, *endpoints: Endpoint) -> AsyncIterator[Post]:
    database = await Database.open(f"sqlite:///{folder}/cairn.db")
    opened = Post(database, Endpoints(endpoints))
    try:
        yield opened
    finally:
        await opened.sender.aclose()
        await database.aclose()


def endpoint(url: str, **given: Any) -> Endpoint:
    return Endpoint(url=url, **{"secret": SECRET, "private": True, **given})


@asynccontextmanager
async def told(folder: Path, *answers: Handler, **given: Any) -> AsyncIterator[tuple[Post, BackEnd]]:
    """An endpoint that answers so, and who tells it."""
    async with back_end() as receiver:
        receiver.on("POST /hook", *answers)
        async with post(folder, endpoint(f"{receiver.url}/hook", **given)) as opened:
            yield opened, receiver


OK, BUSY, BROKEN = json_answer({}), json_answer({}, 429), json_answer({"trace": "x"}, 500)


async def test_what_is_delivered_is_verified_by_the_schemes_own_implementation(tmp_path: Path) -> None:
    async with told(tmp_path, OK, secret=[SECRET, OLD]) as (opened, receiver):
        (delivery_id,) = await opened.tell()
        assert await opened.deliverer.deliver() == 1
        (asked,) = receiver.asked
        for secret in (SECRET, OLD):
            message = Webhook(secret).verify(asked.body, dict(asked.headers))
        assert message["type"] == "run.completed"
        assert datetime.fromisoformat(message["timestamp"]).tzinfo is not None
        assert asked.headers["webhook-id"] == delivery_id
        assert (asked.headers["Content-Type"], asked.method) == ("application/json", "POST")
        assert (await opened.one()).status == "delivered"
        assert opened.counted.outcomes == ["delivered"]
        assert await opened.deliverer.deliver() == 0


async def test_what_fails_is_sent_again_under_the_same_id_later_and_later_for_a_day(tmp_path: Path) -> None:
    async with told(tmp_path, BROKEN) as (opened, receiver):
        await opened.tell()
        waits = []
        while (await opened.one()).status == "pending":
            before = opened.moment
            await opened.wait_until_due()
            waits.append((opened.moment - before).total_seconds())
            assert await opened.deliverer.deliver() == 1
        delivery = await opened.one()
        assert (delivery.status, delivery.error) == ("dead", "HTTP 500")
        assert waits[1:6] == [5, 20, 80, 320, 1280]
        assert max(waits) == 4 * 3600
        assert opened.moment == delivery.until
        assert delivery.until - delivery.created_at == PATIENCE
        assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1
        assert len({asked.body for asked in receiver.asked}) == 1
        stamps = [int(asked.headers["webhook-timestamp"]) for asked in receiver.asked]
        assert stamps == sorted(set(stamps)), "each attempt is signed at its own time"
        assert opened.counted.outcomes == ["failed"] * (len(waits) - 1) + ["dead"]


async def test_an_endpoint_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    async with told(tmp_path, BROKEN, OK) as (opened, receiver):
        await opened.tell()
        await opened.deliverer.deliver()
        assert await opened.deliverer.deliver() == 0
        await opened.wait_until_due()
        await opened.deliverer.deliver()
        assert (await opened.one()).status == "delivered"
        assert len(receiver.asked) == 2


@pytest.mark.parametrize("form", ["seconds", "date", "nonsense"])
async def test_an_endpoint_may_say_when_to_come_again(tmp_path: Path, form: str) -> None:
    later = {
        "seconds": "3600",
        "date": format_datetime(now() + timedelta(seconds=3600), usegmt=True),
        "nonsense": "-1e999",
    }
    busy = json_answer({}, 503, Retry_After=later[form])
    async with told(tmp_path, busy) as (opened, _):
        await opened.tell()
        await opened.deliverer.deliver()
        wait = ((await opened.one()).due_at - opened.moment).total_seconds()
        assert wait == 5 if form == "nonsense" else 3590 < wait <= 3601


async def test_no_endpoint_can_ask_for_more_than_a_day(tmp_path: Path) -> None:
    async with told(tmp_path, json_answer({}, 503, Retry_After="99999999999")) as (opened, _):
        await opened.tell()
        await opened.deliverer.deliver()
        delivery = await opened.one()
        assert (delivery.status, delivery.due_at) == ("pending", delivery.until)


async def test_an_endpoint_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    async with told(tmp_path, json_answer({}, 410), OK) as (opened, receiver):
        await opened.tell()
        await opened.deliverer.deliver()
        assert ((await opened.one()).status, (await opened.one()).error) == ("dead", "HTTP 410")
        await opened.tell()
        await opened.deliverer.deliver()
        assert len(receiver.asked) == 1
        last, first = await opened.deliveries.list()
        assert (last.status, "410" in (last.error or "")) == ("dead", True)
        await opened.deliveries.retry(first.id)
        opened.moment = now()
        await opened.deliverer.deliver()
        assert [each.status for each in await opened.deliveries.list()] == ["dead", "delivered"]


async def test_a_url_that_a_run_has_named_may_be_gone_without_being_remembered(tmp_path: Path) -> None:
    async with told(tmp_path, json_answer({}, 410), for_runs=True) as (opened, receiver):
        await opened.tell(Run(webhook=f"{receiver.url}/hook"))
        await opened.deliverer.deliver()
        delivery = await opened.one()
        assert (delivery.status, delivery.error) == ("dead", "HTTP 410")
        assert not await opened.deliveries.is_off(delivery.target)


async def test_redirects_are_not_followed_wherever_they_lead(tmp_path: Path) -> None:
    async with back_end() as inside:
        inside.on("*", OK)
        moved = json_answer({}, 307, Location=f"{inside.url}/admin")
        async with told(tmp_path, moved) as (opened, receiver):
            await opened.tell()
            await opened.deliverer.deliver()
            delivery = await opened.one()
            assert (delivery.status, delivery.error) == ("pending", "HTTP 307, and redirects are not followed")
            assert (len(receiver.asked), inside.asked) == (1, [])


async def test_an_endpoint_that_does_not_answer_costs_its_time_out_and_no_more(tmp_path: Path) -> None:
    async with back_end() as receiver:
        receiver.on("POST /hook", receiver.hang)
        async with post(tmp_path, endpoint(f"{receiver.url}/hook", timeout=0.1)) as opened:
            await opened.tell()
            await opened.deliverer.deliver()
            assert (await opened.one()).error == "no answer within 0.1 s"


async def test_an_answer_is_not_read(tmp_path: Path) -> None:
    """One without an end keeps nobody, and its text is nowhere kept."""
    ended = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"SECRET " * 10_000)
        ended.set()
        return response

    async with told(tmp_path, endless) as (opened, _):
        await opened.tell()
        await opened.deliverer.deliver()
        assert (await opened.one()).error == "HTTP 500"
        await ended.wait()


async def test_an_endpoint_that_is_down_is_a_failure_like_another(tmp_path: Path) -> None:
    async with back_end() as receiver:
        url = f"{receiver.url}/hook"
    async with post(tmp_path, endpoint(url)) as opened:
        await opened.tell()
        await opened.deliverer.deliver()
        delivery = await opened.one()
        assert delivery.status == "pending"
        assert delivery.error is not None
        assert "127.0.0.1" not in delivery.error


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1.", "0x7f000001", "2130706433"])
async def test_a_name_that_stands_for_a_private_address_is_never_connected_to(tmp_path: Path, host: str) -> None:
    """As the operator wrote a public name, whatever its DNS says later; what is resolved is what is connected to."""
    async with back_end() as receiver:
        receiver.on("*", OK)
        port = receiver.url.rpartition(":")[2]
        async with post(tmp_path, Endpoint(url=f"https://{host}:{port}/", secret=SECRET)) as opened:
            await opened.tell()
            await opened.deliverer.deliver()
            delivery = await opened.one()
            assert delivery.status == "pending"
            assert host != "localhost" or delivery.error == "refused: localhost is a private address"
            assert receiver.connections == 0
            assert receiver.asked == []


async def test_a_url_of_a_runs_own_is_refused_where_only_its_host_is_private(tmp_path: Path) -> None:
    """An endpoint that is not allowed private addresses does not get them because another one is."""
    async with back_end() as receiver:
        receiver.on("*", OK)
        port = receiver.url.rpartition(":")[2]
        public = Endpoint(url=f"https://localhost:{port}/", secret=SECRET)
        async with post(tmp_path, endpoint(f"{receiver.url}/hook"), public) as opened:
            await opened.tell()
            await opened.deliverer.deliver()
            by_url = {each.url: each.status for each in await opened.deliveries.list()}
            assert by_url == {f"{receiver.url}/hook": "delivered", f"https://localhost:{port}/": "pending"}
            assert [asked.target for asked in receiver.asked] == ["/hook"]


async def test_what_was_configured_once_is_not_told_once_it_is_not(tmp_path: Path) -> None:
    async with told(tmp_path, OK) as (opened, receiver):
        await opened.tell()
        moved_on = opened.another(Endpoints([endpoint("http://127.0.0.1:1/"), endpoint(receiver.url, tenant="other")]))
        await moved_on.deliver()
        assert receiver.asked == []
        assert "configured" in ((await opened.one()).error or "")


async def test_what_one_process_died_with_another_delivers_under_the_same_id(tmp_path: Path) -> None:
    async with back_end() as receiver:
        arrived = asyncio.Event()

        async def first(request: web.BaseRequest) -> web.StreamResponse:
            arrived.set()
            return await receiver.hang(request)

        receiver.on("POST /hook", first, OK)
        given = endpoint(f"{receiver.url}/hook")
        async with post(tmp_path, given) as opened:
            await opened.tell()
            dying = asyncio.create_task(opened.deliverer.deliver())
            await arrived.wait()
            dying.cancel()
            with suppress(asyncio.CancelledError):
                await dying
        async with post(tmp_path, given) as opened:
            assert await opened.deliverer.deliver() == 0
            opened.moment += LEASE
            assert await opened.deliverer.deliver() == 1
            assert (await opened.one()).status == "delivered"
        assert receiver.asked[0].headers["webhook-id"] == receiver.asked[1].headers["webhook-id"]


async def test_of_two_processes_one_delivers(tmp_path: Path) -> None:
    async with told(tmp_path, OK) as (opened, receiver):
        ids = [delivery_id for _ in range(20) for delivery_id in await opened.tell()]
        other = opened.another(opened.notices._endpoints)
        while any(await asyncio.gather(opened.deliverer.deliver(), other.deliver())):
            pass
        assert sorted(asked.headers["webhook-id"] for asked in receiver.asked) == sorted(ids)


async def test_tenants_are_told_of_their_own_runs_under_their_own_secrets(tmp_path: Path) -> None:
    async with back_end() as receiver:
        receiver.on("*", OK)
        secrets = {"acme": new_secret(), "other": new_secret()}
        given = [
            endpoint(f"{receiver.url}/{tenant}", tenant=tenant, secret=secret) for tenant, secret in secrets.items()
        ]
        async with post(tmp_path, *given) as opened:
            for tenant in secrets:
                await opened.tell(Run(tenant))
            await opened.tell(Run("third"))
            await opened.deliverer.deliver()
        assert sorted(receiver.targets) == ["POST /acme", "POST /other"]
        for asked in receiver.asked:
            tenant = asked.target[1:]
            assert Webhook(secrets[tenant]).verify(asked.body, dict(asked.headers))["data"]["tenant"] == tenant


async def test_the_work_begins_at_once_and_an_endpoint_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with back_end() as receiver:
        receiver.on("POST /slow", receiver.hang)
        taken = asyncio.Event()

        async def take(_: web.BaseRequest) -> web.StreamResponse:
            taken.set()
            return web.Response()

        receiver.on("POST /quick", take)
        slow, quick = (endpoint(f"{receiver.url}/{name}", tenant=name) for name in ("slow", "quick"))
        async with post(tmp_path, slow, quick) as opened:
            opened.deliverer._clock = now
            working = asyncio.create_task(opened.deliverer.work())
            try:
                for _ in range(40):
                    await opened.tell(Run("slow"))
                await opened.tell(Run("quick"))
                opened.notices.written.set()
                async with asyncio.timeout(60):
                    await taken.wait()
                assert opened.deliverer._under_way.total() <= 8
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)


async def test_the_backlog_is_counted(tmp_path: Path) -> None:
    async with told(tmp_path, BROKEN) as (opened, receiver):
        await opened.tell()
        working = asyncio.create_task(opened.deliverer.work())
        while not opened.counted.backlog.depth or not receiver.asked:
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert (opened.counted.backlog.depth, opened.counted.backlog.dead) == (1, 0)
