"""Keys and who they stand for: over a real database, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from records.database import Database
from records.ids import now
from records.keys import ApiKey, KeyNotFound, KeyStore, KeyUnusable, NewKey, parse_key
from records.principal import LOCAL, SCOPES, Principal
from service.identity import Identity
from service.problems import ProblemError
from tests.support.everyones import everyones

TOKEN = "owner-of-the-folder"


@dataclass
class House:
    """A database with keys, and an identity whose clock stands still until it is moved."""

    database: Database
    seconds: float = 0.0
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = KeyStore(self.database)
        event.listen(self.database._engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)

    def identity(self, *, loopback: bool = True) -> Identity:
        return Identity(self.keys, loopback=loopback, local_token=TOKEN, clock=lambda: self.seconds)

    async def create(self, **given: Any) -> NewKey:
        return await self.keys.create(**{"tenant": "acme", "name": "web", "scopes": ["chat"], **given})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'cairn.db'}")
    yield House(database)
    await database.aclose()


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


async def refused(identity: Identity, authorization: bytes | None) -> bool:
    try:
        await identity.authenticate(authorization)
    except ProblemError as problem:
        assert (problem.status, problem.code) == (401, "unauthenticated")
        return True
    return False


async def test_a_key_stands_for_a_principal_of_its_tenant(house: House) -> None:
    made = await house.create(scopes=["chat", "search"], roles=["refunds"], groups=["staff"])
    principal = await house.identity().authenticate(bearer(made.text))
    assert principal == Principal(
        tenant="acme",
        id=made.key.id,
        scopes=frozenset({"chat", "search"}),
        roles=frozenset({"refunds"}),
        groups=frozenset({"staff"}),
    )


async def test_the_database_never_sees_a_secret(house: House, tmp_path: Path) -> None:
    made = await house.create()
    parsed = parse_key(made.text)
    assert parsed
    assert parsed[0] == made.key.id
    async with house.database.read() as connection:
        row = (await connection.execute(everyones(text("SELECT * FROM api_keys")))).one()
    assert parsed[1] not in str(row)
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(made.key.id.encode() in content for content in files)
    assert not any(parsed[1].encode() in content for content in files)


async def test_nothing_that_is_printed_shows_a_secret(house: House) -> None:
    made = await house.create()
    shown = f"{made!r} {made.key!r} {made} {made.key}"
    assert made.text not in shown
    assert made.key.secret_hash not in shown


async def test_two_keys_have_nothing_in_common(house: House) -> None:
    first, second = await house.create(), await house.create()
    assert first.key.id != second.key.id
    mixed = f"cairn_{first.key.id}_{second.text.rpartition('_')[2]}"
    assert await refused(house.identity(), bearer(mixed))


async def test_without_keys_only_a_service_of_this_machine_is_open(house: House) -> None:
    assert await house.identity(loopback=True).authenticate(None) == LOCAL
    assert await refused(house.identity(loopback=False), None)


async def test_a_header_that_is_ignored_without_keys_is_refused_with_them(house: House) -> None:
    identity = house.identity()
    assert await identity.authenticate(b"Bearer sk-anything") == LOCAL
    await house.create()
    house.seconds += 1
    assert await refused(identity, b"Bearer sk-anything")


@pytest.mark.parametrize("end", ["revoke", "expire"])
async def test_the_last_key_that_ends_does_not_open_the_service(house: House, end: str) -> None:
    made = await house.create(expires_at=now() - timedelta(seconds=1) if end == "expire" else None)
    if end == "revoke":
        await house.keys.revoke(made.key.id)
    identity = house.identity()
    assert await refused(identity, None)
    assert await refused(identity, bearer(made.text))


async def test_the_owner_of_the_folder_needs_no_key(house: House) -> None:
    identity = house.identity(loopback=False)
    await house.create()
    assert await identity.authenticate(bearer(TOKEN)) == LOCAL
    assert await refused(identity, bearer(TOKEN + "x"))
    assert LOCAL.may("admin")
    assert all(LOCAL.may(scope) for scope in SCOPES)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic Y2Fpcm46Y2Fpcm4=",
        b"{key}",
        b"Token {key}",
        b"Bearer x{key}",
        b"Bearer {key}0",
        b"Bearer {key} {key}",
        b"Bearer cairn_",
        b"Bearer cairn_%_%",
        b"Bearer \xff\xfe\xe9",
        b"Bearer " + b"a" * 100_000,
        b"Bearer cairn_00000000000000000000000000000000_" + b"0" * 48,
    ],
)
async def test_whatever_is_no_key_is_refused(house: House, header: bytes | None) -> None:
    made = await house.create()
    identity = house.identity()
    given = header.replace(b"{key}", made.text.encode()) if header is not None else None
    assert await refused(identity, given)
    assert await identity.authenticate(b"bearer  " + made.text.encode())


async def test_a_revoked_key_is_good_for_less_than_a_second_more(house: House) -> None:
    made = await house.create()
    identity = house.identity()
    await identity.authenticate(bearer(made.text))
    await house.keys.revoke(made.key.id)
    house.seconds += 1
    assert await refused(identity, bearer(made.text))


async def test_a_rotated_key_is_the_same_principal_with_another_secret(house: House) -> None:
    made = await house.create()
    identity = house.identity()
    before = await identity.authenticate(bearer(made.text))
    rotated = await house.keys.rotate(made.key.id)
    house.seconds += 1
    assert await refused(identity, bearer(made.text))
    assert await identity.authenticate(bearer(rotated.text)) == before


async def test_a_key_that_was_guessed_before_it_was_made_is_known_within_a_second(house: House) -> None:
    await house.create()
    identity = house.identity()
    made = await house.create()
    async with house.database.write() as connection:
        hidden = everyones(text("UPDATE api_keys SET id = 'x' || id WHERE id = :id"))
        await connection.execute(hidden, {"id": made.key.id})
    assert await refused(identity, bearer(made.text))
    async with house.database.write() as connection:
        await connection.execute(everyones(text("UPDATE api_keys SET id = substr(id, 2) WHERE id LIKE 'x%'")))
    house.seconds += 1
    assert await identity.authenticate(bearer(made.text))


async def test_a_key_expires_to_the_moment_though_it_is_remembered(house: House) -> None:
    made = await house.create(expires_at=now() + timedelta(milliseconds=300))
    identity = house.identity()
    await identity.authenticate(bearer(made.text))
    async with asyncio.timeout(60):
        while not await refused(identity, bearer(made.text)):
            await asyncio.sleep(0)
    assert now() >= (made.key.expires_at or now())


async def test_a_key_in_use_costs_no_sql(house: House) -> None:
    made = await house.create()
    identity = house.identity()
    await identity.authenticate(bearer(made.text))
    house.statements.clear()
    for _ in range(1000):
        await identity.authenticate(bearer(made.text))
    assert house.statements == []


async def test_without_keys_a_request_costs_no_sql(house: House) -> None:
    identity = house.identity()
    await identity.authenticate(None)
    house.statements.clear()
    for _ in range(1000):
        await identity.authenticate(None)
    assert house.statements == []


async def test_guessing_costs_a_few_statements_however_much_is_guessed(house: House) -> None:
    """Wrong secrets and malformed keys cost none, a thousand ids at once three, and the key in use none."""
    made = await house.create()
    identity = house.identity()
    await identity.authenticate(bearer(made.text))
    house.statements.clear()
    secrets = [bearer(f"cairn_{made.key.id}_{number:048x}") for number in range(1000)]
    assert all([await refused(identity, guess) for guess in secrets])
    assert house.statements == []

    ids = [bearer(f"cairn_{number:032x}_{number:048x}") for number in range(1000)]
    assert all(await asyncio.gather(*(refused(identity, guess) for guess in ids)))
    assert len(house.statements) <= 4
    house.statements.clear()
    assert all(await asyncio.gather(*(refused(identity, guess) for guess in ids)))
    assert await identity.authenticate(bearer(made.text))
    assert house.statements == []


async def test_what_is_remembered_of_guesses_is_bounded(house: House) -> None:
    made = await house.create()
    identity = house.identity()
    for batch in range(30):
        guesses = [bearer(f"cairn_{batch:016x}{number:016x}_{0:048x}") for number in range(500)]
        assert all(await asyncio.gather(*(refused(identity, guess) for guess in guesses)))
    assert len(identity._recent._seen) <= 10_500
    assert await identity.authenticate(bearer(made.text))


async def test_a_record_that_does_not_answer_lets_nobody_in_but_the_owner(house: House) -> None:
    made = await house.create()
    identity = house.identity()
    async with house.database.write() as connection:
        await connection.execute(everyones(text("ALTER TABLE api_keys RENAME TO gone")))
    for header in (None, bearer(made.text)):
        with pytest.raises(ProblemError) as caught:
            await identity.authenticate(header)
        assert (caught.value.status, caught.value.code) == (503, "keys_unavailable")
        assert made.text not in str(caught.value)
    assert await identity.authenticate(bearer(TOKEN)) == LOCAL


async def test_a_key_that_is_not_there_or_has_ended_cannot_be_rotated(house: House) -> None:
    with pytest.raises(KeyNotFound, match="cairn keys list"):
        await house.keys.rotate("nobody")
    with pytest.raises(KeyNotFound):
        await house.keys.revoke("nobody")
    revoked = await house.create()
    await house.keys.revoke(revoked.key.id)
    expired = await house.create(expires_at=now() - timedelta(seconds=1))
    for made, state in ((revoked, "revoked"), (expired, "expired")):
        with pytest.raises(KeyUnusable, match=state):
            await house.keys.rotate(made.key.id)


async def test_revoking_again_keeps_the_first_moment(house: House) -> None:
    made = await house.create()
    first = await house.keys.revoke(made.key.id)
    assert first.state == "revoked"
    assert await house.keys.revoke(made.key.id) == first


async def test_keys_are_listed_by_tenant(house: House) -> None:
    mine, theirs = await house.create(), await house.create(tenant="other")

    def ids(keys: Any) -> list[str]:
        return [key.id for key in keys if isinstance(key, ApiKey)]

    assert ids(await house.keys.list("acme")) == [mine.key.id]
    assert ids(await house.keys.list()) == [mine.key.id, theirs.key.id]
