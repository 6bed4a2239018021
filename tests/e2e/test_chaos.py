"""Services are killed while back ends fail, requests come twice and ten people decide at once: everything is done once.

``make chaos`` does the same for longer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from evals.chaos.__main__ import chaos
from evals.chaos.lane import Toll
from evals.chaos.report import broken, table
from evals.retail.faults import KINDS, REFUSED
from evals.retail.generated import generated
from evals.retail.replay import judged
from evals.retail.tasks import applied
from tests.support.postgres import empty_postgres
from tests.support.redis import URL, reachable_redis

pytestmark = pytest.mark.slow

KILLS = 25


def require_promises(tolls: Sequence[Toll], kills: int) -> None:
    assert broken(tolls) == [], table(tolls)
    assert sum(toll.kills for toll in tolls) >= kills
    assert all(len(toll.told) >= len(generated()[1]) for toll in tolls)
    assert {fault for toll in tolls for fault in toll.faults} == {*KINDS, REFUSED}


@pytest.mark.timeout(600)
async def test_nothing_is_doubled_lost_or_left_untold_however_often_the_service_dies(tmp_path: Path) -> None:
    require_promises(await chaos("-", KILLS, 7, tmp_path), KILLS)


@pytest.mark.timeout(600)
async def test_services_that_share_their_stores_take_over_from_one_that_dies(tmp_path: Path) -> None:
    async with empty_postgres() as postgres, reachable_redis():
        require_promises(await chaos("-", 3, 7, tmp_path, (postgres, URL)), 3)


def test_what_came_twice_or_not_at_all_or_differs_is_seen() -> None:
    data, tasks = generated()
    expected = applied(data, tasks[0])
    acted: list[Mapping[str, str]] = [{"call": call, "came_to": "acted"} for call in expected.effects]
    refused_again = {"call": acted[0]["call"], "came_to": "refused"}
    repeated = {"call": acted[0]["call"], "came_to": "repeated"}
    assert judged(expected, expected.state, [*acted, repeated]).doubled == 0
    assert judged(expected, expected.state, [*acted, acted[0]]).doubled == 1
    assert judged(expected, expected.state, [*acted, refused_again]).doubled == 1
    assert judged(expected, expected.state, [refused_again, *acted]).doubled == 0
    assert judged(expected, expected.state, acted[1:]).lost == 1
    assert judged(expected, {}, acted).differs
