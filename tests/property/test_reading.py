"""Who reads what: a document is found and opened by its groups and by the administrators of its tenant, nobody else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.models import FieldCondition, MatchAny, MatchValue

from records.principal import PUBLIC, SCOPES, Principal
from retrieval.scope import scope

TENANTS = st.sampled_from(["acme", "other"])
GROUPS = st.frozensets(st.sampled_from(["staff", "board", "kitchen"]))
ACLS = st.sets(st.sampled_from([PUBLIC, "staff", "board", "kitchen"]), min_size=1)
SOME_SCOPES = st.frozensets(st.sampled_from(SCOPES))


@st.composite
def principals(draw: st.DrawFn, scopes: st.SearchStrategy[Any] = SOME_SCOPES) -> Principal:
    roles = draw(st.frozensets(st.sampled_from(["admin", "manager"])))
    return Principal(tenant=draw(TENANTS), groups=draw(GROUPS), roles=roles, scopes=draw(scopes))


def finds(principal: Principal, tenant: str, acl: set[str]) -> bool:
    """Whether the filter of a search matches the points of such a document."""
    payload = {"tenant": {tenant}, "acl": acl}
    must = scope(principal, None).must
    assert isinstance(must, list)
    return all(_matches(condition, payload) for condition in must)


def _matches(condition: Any, payload: dict[str, set[str]]) -> bool:
    assert isinstance(condition, FieldCondition)
    match = condition.match
    assert isinstance(match, MatchValue | MatchAny)
    wanted = {match.value} if isinstance(match, MatchValue) else set(match.any)
    return not wanted.isdisjoint(payload[condition.key])


@given(principals(SOME_SCOPES.filter(lambda scopes: "admin" not in scopes)), ACLS)
def test_without_the_scope_admin_only_the_own_groups_documents_are_read(principal: Principal, acl: set[str]) -> None:
    shared = PUBLIC in acl or bool(principal.groups & acl)
    assert principal.may_read(acl) is shared
    assert finds(principal, principal.tenant, acl) is shared


@given(principals(st.just(frozenset({"admin"}))), ACLS)
def test_an_administrator_reads_every_document_of_its_tenant(principal: Principal, acl: set[str]) -> None:
    assert principal.may_read(acl)
    assert finds(principal, principal.tenant, acl)


@given(principals(), TENANTS, ACLS)
def test_nobody_finds_a_document_of_another_tenant(principal: Principal, tenant: str, acl: set[str]) -> None:
    assert finds(principal, tenant, acl) is (tenant == principal.tenant and principal.may_read(acl))
