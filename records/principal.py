"""Who asks. Every record belongs to a tenant, and every read and write is made on behalf of a principal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

DEFAULT_TENANT = "default"
PUBLIC = "public"
"""The ACL group that every principal of a tenant is in; a document without an ACL is readable by it."""

Scope = Literal[
    "chat",
    "search",
    "documents:read",
    "documents:write",
    "memory:read",
    "memory:write",
    "tools:read",
    "tools:call",
    "approvals",
    "metrics",
    "admin",
]
"""What a principal may ask of the service; docs/keys.md says what each opens. ``admin`` implies all others."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The tenant and the identity in it that a call is made for.

    Attributes:
        tenant: Nothing crosses this boundary.
        id: The key or user within the tenant.
        groups: The ACL groups that may be read, besides ``public``; an administrator reads all.
        roles: Which approvals the principal may decide.
        scopes: What it may ask of the service over HTTP.
        attributes: What else is known of it, by name, e.g. which customer it is; tools may act for that.
    """

    tenant: str = DEFAULT_TENANT
    id: str = "local"
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def readable(self) -> list[str]:
        """The ACL groups whose documents this principal may read, sorted."""
        return sorted(self.groups | {PUBLIC})

    @property
    def reads_all(self) -> bool:
        """Whether it reads every document of its tenant, whatever the ACL: an administrator manages them all."""
        return "admin" in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether it has the scope, by name or as an administrator."""
        return scope in self.scopes or "admin" in self.scopes

    def attribute(self, name: str) -> str | None:
        """Its ``id``, its ``tenant``, or the attribute of that name."""
        return {**self.attributes, "id": self.id, "tenant": self.tenant}.get(name)

    def may_read(self, acl: Iterable[str]) -> bool:
        """Whether it may read a document of its tenant that these groups may read."""
        return self.reads_all or not (self.groups | {PUBLIC}).isdisjoint(acl)


LOCAL = Principal(roles=frozenset({"admin"}), scopes=frozenset({"admin"}))
"""The owner of the data folder: whoever can read it, or while no key exists whoever reaches the loopback interface."""
