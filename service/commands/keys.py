"""``cairn keys``: who may ask the service, and for what. A running service knows of a change within a second."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from service.commands.common import CommandError, DataDir, Json, load_settings

if TYPE_CHECKING:
    from records.keys import ApiKey, KeyStore, NewKey
    from records.principal import Scope
    from service.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke API keys.")

T = TypeVar("T")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `cairn keys list` shows it.")]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_LONGEST_NAME = 128
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_OWN = ("id", "tenant")  # what a principal is known by anyway


@app.command()
def create(
    *,
    scopes: Annotated[str, typer.Option(help="What it opens, with commas between: chat,search (docs/keys.md).")],
    tenant: Annotated[str, typer.Option(help="Whose documents and sessions it opens.")] = "default",
    role: Annotated[
        list[str] | None, typer.Option(help="A role, for deciding approvals; may be repeated.", show_default="none")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="A group whose documents it reads; may be repeated.", show_default="none")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="What tools act for, as customer=201; may be repeated.", show_default="none"),
    ] = None,
    name: Annotated[str, typer.Option(help="What you will know it by.")] = "key",
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, 12h, 30m, or 2030-12-31 (UTC).", show_default="never")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create a key and show it, once. From the first key on every request needs one."""
    chosen = _scopes(scopes)
    roles, groups = _names("role", role or ()), _names("group", group or ())
    attributes = _attributes(attribute or ())
    _names("tenant", (tenant,))
    _names("name", (name,))
    ends = _moment(expires) if expires is not None else None

    async def make(store: "KeyStore") -> "tuple[NewKey, bool]":
        first = not await store.any()
        made = await store.create(
            tenant=tenant,
            name=name,
            scopes=chosen,
            roles=roles,
            groups=groups,
            attributes=attributes,
            expires_at=ends,
        )
        return made, first

    made, first = _run(data_dir, make)
    _show(made, as_json=as_json)
    if first:
        typer.echo("This is the first key: from now on every request needs one, on this machine too.", err=True)


@app.command("list")
def list_keys(
    *,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.", show_default="all")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the keys, those that are expired or revoked too. Their secrets are not known any more."""
    keys = _run(data_dir, lambda store: store.list(tenant))
    if as_json:
        typer.echo(json.dumps({"items": [_body(key) for key in keys]}, ensure_ascii=False))
        return
    if not keys:
        typer.echo("There are no keys: everybody on this machine may ask the service.")
    for key in keys:
        until = f" until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at and key.state == "active" else ""
        typer.echo(f"{key.id}  {key.state}{until}  {key.name}")
        parts = {"tenant": [key.tenant], "scopes": key.scopes, "roles": key.roles, "groups": key.groups}
        parts["attributes"] = [f"{attribute}={value}" for attribute, value in key.attributes.items()]
        typer.echo("    " + "; ".join(f"{part}: {', '.join(sorted(of))}" for part, of in parts.items() if of))


@app.command()
def rotate(key_id: KeyId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Give a key another secret and show it, once. The one before is refused within a second."""
    _show(_run(data_dir, lambda store: store.rotate(key_id)), as_json=as_json)


@app.command()
def revoke(key_id: KeyId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Refuse a key for ever, within a second."""
    key = _run(data_dir, lambda store: store.revoke(key_id))
    typer.echo(json.dumps(_body(key), ensure_ascii=False) if as_json else f"The key {key.id} ({key.name}) is revoked.")


def _run(data_dir: Any, action: "Callable[[KeyStore], Awaitable[T]]") -> T:
    settings = load_settings(data_dir=data_dir)

    async def run() -> T:
        from records.keys import KeyNotFound, KeyUnusable

        async with key_store(settings) as store:
            try:
                return await action(store)
            except (KeyNotFound, KeyUnusable) as error:
                raise CommandError(str(error)) from error

    return asyncio.run(run())


@asynccontextmanager
async def key_store(settings: "Settings") -> "AsyncIterator[KeyStore]":
    """The record of keys. It needs no hold of the data folder: the database lets a service and commands in at once."""
    from records.database import Database
    from records.keys import KeyStore

    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = await Database.open(settings.records_url)
    try:
        yield KeyStore(database)
    finally:
        await database.aclose()


def _show(made: "NewKey", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": made.text, **_body(made.key)}, ensure_ascii=False))
        return
    typer.echo(made.text)
    typer.echo("It is shown this once. Send it with each request: Authorization: Bearer <key>", err=True)


def _body(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "roles": sorted(key.roles),
        "groups": sorted(key.groups),
        "attributes": dict(key.attributes),
        "state": key.state,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _scopes(text: str) -> "set[Scope]":
    from records.principal import SCOPES

    asked = {part.strip() for part in text.split(",")}
    unknown = sorted(asked - set(SCOPES))
    if unknown:
        raise CommandError(f"there is no scope {unknown[0]!r}; the scopes are {', '.join(SCOPES)}")
    return {scope for scope in SCOPES if scope in asked}


def _names(what: str, given: Iterable[str]) -> tuple[str, ...]:
    for name in given:
        if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise CommandError(f"a {what} has 1 to {_LONGEST_NAME} printable characters, unlike {name[:40]!r}")
    return tuple(given)


def _attributes(given: Iterable[str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not _ATTRIBUTE.fullmatch(name) or name in attributes or name in _OWN:
            raise CommandError(
                f"--attribute takes customer=201, each name once and neither id nor tenant, unlike {text[:40]!r}"
            )
        (attributes[name],) = _names("value of an attribute", (value,))
    return attributes


def _moment(text: str) -> datetime:
    from records.ids import now

    found = _DURATION.fullmatch(text)
    try:
        moment = now() + timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--expires takes 90d, 12h, 30m or a date like 2030-12-31, not {text!r}") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now():
        raise CommandError(f"--expires {text} is over already")
    return moment
