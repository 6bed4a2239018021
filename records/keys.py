"""API keys: a secret each, shown once and kept as a hash, and the principal that it stands for.

A key reads ``cairn_<id>_<secret>``. The secret is 192 bits of the system's randomness, so one round of SHA-256 keeps
it safe: a slow hash only helps where people choose. Rows are never deleted: once there was a key, one is asked for.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, insert, select, update

from records.database import Database
from records.ids import new_id, now
from records.principal import Principal, Scope
from records.schema import api_keys
from records.tenancy import Crossing, across_tenants

_SECRET_BYTES = 24
_FORM = re.compile(r"cairn_([0-9a-f]{32})_([0-9a-f]{48})", re.ASCII)


class KeyNotFound(Exception):
    """There is no such key."""


class KeyUnusable(Exception):
    """The key was revoked or has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is kept: without its secret."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    roles: frozenset[str]
    groups: frozenset[str]
    attributes: Mapping[str, str]
    secret_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def principal(self) -> Principal:
        """Who asks with this key. A rotated key stays who it was."""
        return Principal(
            tenant=self.tenant,
            id=self.id,
            groups=self.groups,
            roles=self.roles,
            scopes=self.scopes,
            attributes=self.attributes,
        )

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        """Whether the key is good now, and why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now() else "active"

    def opened_by(self, secret: str) -> bool:
        """Whether the secret is this key's; takes the same time however much of it is right."""
        return hmac.compare_digest(self.secret_hash, _hash(secret))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its secret: the only time that it can be shown."""

    key: ApiKey
    text: str = field(repr=False)


def parse_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of a well-formed key."""
    found = _FORM.fullmatch(text)
    return (found[1], found[2]) if found else None


class KeyStore:
    """The record of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        *,
        tenant: str,
        name: str,
        scopes: Iterable[Scope],
        roles: Iterable[str] = (),
        groups: Iterable[str] = (),
        attributes: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key."""
        secret = secrets.token_hex(_SECRET_BYTES)
        key = ApiKey(
            id=new_id().replace("-", ""),
            tenant=tenant,
            name=name,
            scopes=frozenset(scopes),
            roles=frozenset(roles),
            groups=frozenset(groups),
            attributes=dict(attributes or {}),
            secret_hash=_hash(secret),
            created_at=now(),
            expires_at=expires_at,
            revoked_at=None,
        )
        row = {name: getattr(key, name) for name in ApiKey.__dataclass_fields__}
        row |= {name: sorted(row[name]) for name in ("scopes", "roles", "groups")}
        async with self._database.write() as connection:
            await connection.execute(insert(api_keys).values(**row))
        return NewKey(key, _text(key.id, secret))

    async def rotate(self, key_id: str) -> NewKey:
        """Give a key another secret; the one before is refused from now on.

        Raises:
            KeyNotFound: There is no such key.
            KeyUnusable: It was revoked or has expired.
        """
        key = await self.get(key_id)
        if key.state != "active":
            raise KeyUnusable(f"the key {key_id} is {key.state}; create another one")
        secret = secrets.token_hex(_SECRET_BYTES)
        statement = (
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.tenant == key.tenant, api_keys.c.revoked_at.is_(None))
            .values(secret_hash=_hash(secret))
            .returning(*api_keys.c)
        )
        async with self._database.write() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise KeyUnusable(f"the key {key_id} is revoked; create another one")
        return NewKey(_key(row), _text(key_id, secret))

    async def revoke(self, key_id: str) -> ApiKey:
        """Refuse a key for ever; again changes nothing.

        Raises:
            KeyNotFound: There is no such key.
        """
        key = await self.get(key_id)
        mine = (api_keys.c.id == key_id, api_keys.c.tenant == key.tenant)
        async with self._database.write() as connection:
            await connection.execute(
                update(api_keys).where(*mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=now())
            )
        return await self.get(key_id)

    async def get(self, key_id: str) -> ApiKey:
        """A key.

        Raises:
            KeyNotFound: There is no such key.
        """
        found = await self.find([key_id])
        if key_id not in found:
            raise KeyNotFound(f"there is no key {key_id!r}; cairn keys list shows them")
        return found[key_id]

    async def find(self, ids: Collection[str]) -> Mapping[str, ApiKey]:
        """Those of the keys that exist, by id."""
        async with self._database.read() as connection:
            named = across_tenants(select(api_keys), Crossing.IDENTITY).where(api_keys.c.id.in_(ids))
            rows = await connection.execute(named)
            return {row.id: _key(row) for row in rows}

    async def any(self) -> bool:
        """Whether a key was ever made; one that is refused counts, so that revoking the last opens nothing."""
        async with self._database.read() as connection:
            first = across_tenants(select(api_keys.c.id), Crossing.IDENTITY).limit(1)
            return await connection.scalar(first) is not None

    async def list(self, tenant: str | None = None) -> Sequence[ApiKey]:
        """All keys, or a tenant's, oldest first; those that are refused too."""
        statement = select(api_keys).order_by(api_keys.c.id)
        if tenant is None:
            statement = across_tenants(statement, Crossing.OPERATOR)
        else:
            statement = statement.where(api_keys.c.tenant == tenant)
        async with self._database.read() as connection:
            return [_key(row) for row in await connection.execute(statement)]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(key_id: str, secret: str) -> str:
    return f"cairn_{key_id}_{secret}"


def _key(row: Row[Any]) -> ApiKey:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy documents it
    return ApiKey(**{**fields, **{name: frozenset(fields[name]) for name in ("scopes", "roles", "groups")}})
