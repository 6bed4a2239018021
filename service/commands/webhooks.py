"""``cairn webhooks``: see what was told and what could not be, try again, and try an endpoint out.

It works on the database itself, and sends a test itself: so it needs no running service, and works beside one.
"""

import json
import time
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from service.commands.common import CommandError, DataDir, Json, load_settings, on_database, printable

if TYPE_CHECKING:
    from agent.webhooks.deliveries import Delivery, DeliveryStatus
    from agent.webhooks.endpoints import Endpoint
    from records.database import Database

app = typer.Typer(no_args_is_help=True, help="See what endpoints were told, and try again.")


class Status(StrEnum):
    """Which deliveries to list."""

    every = "all"
    pending = "pending"
    delivered = "delivered"
    dead = "dead"


@app.command("list")
def list_deliveries(
    *,
    status: Annotated[Status, typer.Option(help="Those that stand so.")] = Status.every,
    dead: Annotated[bool, typer.Option("--dead", help="Those that were given up: --status dead.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant.", show_default="all")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the last deliveries, the newest first."""
    wanted = Status.dead if dead else status

    async def read(database: "Database") -> "list[Delivery]":
        from agent.webhooks.deliveries import Deliveries

        chosen = None if wanted is Status.every else cast("DeliveryStatus", wanted.value)
        return list(await Deliveries(database).list(status=chosen, tenant=tenant, limit=limit))

    found = on_database(data_dir, read)
    if as_json:
        typer.echo(json.dumps({"items": [_shown(delivery) for delivery in found]}, ensure_ascii=False))
        return
    if not found:
        typer.echo("There are none.")
    for delivery in found:
        typer.secho(delivery.id, bold=True, nl=False)
        typer.echo(f"  {delivery.status}  {delivery.event}  {delivery.tenant}  {printable(delivery.url)}")
        tried = f"tried {delivery.attempts} times" if delivery.attempts != 1 else "tried once"
        again = f", again at {delivery.due_at:%Y-%m-%d %H:%M} UTC" if delivery.status == "pending" else ""
        why = f": {printable(delivery.error)}" if delivery.error else ""
        typer.echo(f"    run {delivery.run_id}, {tried}{why}{again}")


@app.command()
def retry(
    delivery_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The delivery's id, as `cairn webhooks list` shows it.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Try for another day to deliver what was given up; an endpoint that was gone is tried, too."""
    if every == (delivery_id is not None):
        raise CommandError("give the id of a delivery, or --all")

    async def put_back(database: "Database") -> int:
        from agent.webhooks.deliveries import Deliveries, DeliveryNotFound

        try:
            return await Deliveries(database).retry(delivery_id)
        except DeliveryNotFound as error:
            raise CommandError(str(error)) from error

    count = on_database(data_dir, put_back)
    typer.echo(f"{count} will be tried again." if count else "None was given up.")


@app.command()
def test(
    url: Annotated[str | None, typer.Argument(metavar="URL", help="One of [[webhooks]], or on a host of one.")] = None,
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only endpoints of this tenant.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Send a `webhook.ping` to the configured endpoints; one that was off because it said it was gone is on again."""
    from agent.webhooks.endpoints import Endpoints

    settings = load_settings(data_dir=data_dir)
    if url is None:
        chosen = [(each, each.url) for each in settings.webhooks if not each.for_runs and tenant in {None, each.tenant}]
    else:
        tenants = [tenant] if tenant is not None else [each.tenant for each in settings.webhooks]
        found = [Endpoints(settings.webhooks).find(each, url) for each in dict.fromkeys(tenants)]
        chosen = [(each, url) for each in dict.fromkeys(found) if each is not None]
    if not chosen:
        raise CommandError("no such endpoint is configured in [[webhooks]]")

    async def send(database: "Database") -> int:
        return sum([await _ping(database, endpoint, to) for endpoint, to in chosen])

    if on_database(data_dir, send):
        raise typer.Exit(1)


@app.command()
def secret() -> None:
    """Make a secret for an endpoint: it goes into the settings, and to whoever verifies."""
    from agent.webhooks.signing import new_secret

    typer.echo(new_secret())


async def _ping(database: "Database", endpoint: "Endpoint", url: str) -> bool:
    """Send a ping and say what came of it; gives whether it failed."""
    from agent.webhooks.deliveries import Deliveries
    from agent.webhooks.notices import message
    from agent.webhooks.sender import Sender
    from records.ids import new_id, now

    body = message("webhook.ping", now(), {"tenant": endpoint.tenant})
    sender = Sender()
    try:
        answer = await sender.send(endpoint, url, new_id(), int(time.time()), body.encode())
    finally:
        await sender.aclose()
    if answer.error is not None:
        typer.secho(f"{printable(url)} ({endpoint.tenant}): {answer.error}", fg="red")
        return True
    on = " It was off, and is on again." if await Deliveries(database).turn_on(url) else ""
    typer.echo(f"{printable(url)} ({endpoint.tenant}): ok.{on}")
    return False


def _shown(delivery: "Delivery") -> dict[str, object]:
    shown = asdict(delivery) | {"body": json.loads(delivery.body)}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}
