"""A store of points answers nobody who does not name a tenant."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from qdrant_client import models

from records.principal import Principal
from retrieval.active import Collection
from retrieval.changes import Changes
from retrieval.outbox import points_of
from retrieval.scope import scope
from retrieval.vectors.port import IndexSpec, Point, VectorStore
from retrieval.vectors.tenanted import TenantedStore, TenantMissing, of_tenant, require_tenant


def is_tenant(value: str) -> models.FieldCondition:
    return models.FieldCondition(key="tenant", match=models.MatchValue(value=value))


class Asked:
    """A store that writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*_: Any, **__: Any) -> Any:
            self.calls.append(name)

        return call


LOOSE: dict[str, models.Filter | None] = {
    "none": None,
    "empty": models.Filter(),
    "another field": models.Filter(must=[models.FieldCondition(key="acl", match=models.MatchValue(value="acme"))]),
    "one of several tenants": models.Filter(
        must=[models.FieldCondition(key="tenant", match=models.MatchAny(any=["acme", "other"]))]
    ),
    "any tenant but one": models.Filter(must_not=[is_tenant("acme")]),
    "a tenant or something else": models.Filter(should=[is_tenant("acme"), models.HasIdCondition(has_id=[1])]),
    "a tenant within": models.Filter(must=[models.Filter(should=[is_tenant("acme")])]),
}


@pytest.mark.parametrize("name", LOOSE)
def test_a_filter_that_keeps_to_no_tenant_is_none(name: str) -> None:
    with pytest.raises(TenantMissing):
        require_tenant(LOOSE[name])


@pytest.mark.parametrize(
    "where",
    [
        of_tenant("acme"),
        models.Filter(must=is_tenant("acme")),
        points_of("acme", [{"document_id": "d", "version": "v"}]),
        scope(Principal(tenant="acme"), None),
        scope(Principal(tenant="acme", scopes=frozenset({"admin"})), {"lang": "en"}),
        scope(Principal(tenant="acme"), models.Filter(should=[is_tenant("other")])),
    ],
)
def test_what_cairn_itself_filters_by_names_the_tenant(where: models.Filter) -> None:
    require_tenant(where)
    assert where.must is not None


@pytest.mark.parametrize("method", ["delete", "search", "find", "scroll", "count"])
async def test_the_store_within_is_not_asked_without_a_tenant(method: str) -> None:
    asked = Asked()
    store: Any = TenantedStore(asked)  # type: ignore[arg-type] # it takes any call
    given: dict[str, Any] = {"queries": [], "question": None, "limit": 9}
    wanted = {name: given[name] for name in inspect.signature(getattr(store, method)).parameters if name in given}
    for where in LOOSE.values():
        with pytest.raises(TenantMissing):
            await getattr(store, method)("index", where=where, **wanted)
    assert asked.calls == []
    await getattr(store, method)("index", where=of_tenant("acme"), **wanted)
    assert asked.calls == [method]


def test_every_method_of_the_port_that_takes_a_filter_is_tried() -> None:
    taking = {
        name
        for name, method in inspect.getmembers(VectorStore, inspect.isfunction)
        if "where" in inspect.signature(method).parameters
    }
    assert taking == {"delete", "search", "find", "scroll", "count"}


async def test_no_point_without_a_tenant_is_taken() -> None:
    asked = Asked()
    store: Any = TenantedStore(asked)  # type: ignore[arg-type] # it takes any call
    await store.create("index", IndexSpec(dimension=2, language="english"))
    good = Point(id="1", vector=[1, 0], text="a", payload={"tenant": "acme"})
    for payload in ({}, {"tenant": ""}, {"tenant": None}):
        with pytest.raises(TenantMissing):
            await store.upsert("index", [good, Point(id="2", vector=[1, 0], text="b", payload=payload)])
    assert asked.calls == ["create"]
    await store.upsert("index", [good])
    assert asked.calls == ["create", "upsert"]


async def test_what_a_reindexing_takes_back_is_its_tenants() -> None:
    found: list[Any] = []

    class Deletions(Asked):
        async def delete(self, index: str, where: models.Filter) -> None:
            found.append((index, where))

    place = Collection(tenant="acme", name="c", embedder="e", dimension=4, language="english", index="index-2")
    store: Any = Deletions()
    await Changes(None, store).forget(place, "d", "1")  # type: ignore[arg-type] # the record is not asked
    assert found == [("index-2", points_of("acme", [{"document_id": "d", "version": "1"}]))]
