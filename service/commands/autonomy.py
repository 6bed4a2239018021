"""``cairn autonomy``: stop tools, let them go on, and see what people said to them.

It works on the database itself, so it stops a service that hangs, too; a running one notices within a second.
"""

import getpass
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import CommandError, DataDir, Json, on_database

if TYPE_CHECKING:
    from agent.approvals.autonomy import ToolReport
    from agent.approvals.switches import Switch
    from records.database import Database

app = typer.Typer(no_args_is_help=True, help="Stop tools at once, let them go on, and see how they do.")

ToolName = Annotated[str, typer.Option("--tool", help="A tool's name; * for all, reads too.")]
Tenant = Annotated[str, typer.Option("--tenant", help="A tenant; * for all.")]


@app.command()
def stop(
    *,
    reason: Annotated[str, typer.Option(help="Why; the model and the log say it.")],
    tool: ToolName = "*",
    tenant: Tenant = "*",
    data_dir: DataDir = None,
) -> None:
    """Let tools not be called any more, from the next call on. Calls that are being made come to their end."""

    async def set_switch(database: "Database") -> None:
        from agent.approvals.switches import Switches

        await Switches(database).stop(tenant=tenant, tool=tool, reason=reason, set_by=_user())

    on_database(data_dir, set_switch)
    typer.echo(f"Stopped: {_scope(tool, tenant)}. Let it go on with `cairn autonomy resume{_options(tool, tenant)}`.")


@app.command()
def resume(*, tool: ToolName = "*", tenant: Tenant = "*", data_dir: DataDir = None) -> None:
    """Take a stop back: the one that was set with the same options."""

    async def lift(database: "Database") -> "tuple[bool, list[Switch]]":
        from agent.approvals.switches import Switches

        switches = Switches(database)
        return await switches.resume(tenant=tenant, tool=tool), list(await switches.all())

    lifted, left = on_database(data_dir, lift)
    still = "; ".join(_told(switch) for switch in left)
    if not lifted:
        raise CommandError(f"{_scope(tool, tenant)} is not stopped; stopped: {still or 'nothing'}")
    typer.echo(f"Goes on: {_scope(tool, tenant)}." + (f" Still stopped: {still}." if still else ""))


@app.command()
def report(
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant.", show_default="all")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show for each tool what people said to its proposals, and what is stopped."""

    async def read(database: "Database") -> "tuple[list[ToolReport], list[Switch]]":
        from agent.approvals.autonomy import report as read_report
        from agent.approvals.switches import Switches

        return list(await read_report(database, tenant)), list(await Switches(database).all())

    tools, stopped = on_database(data_dir, read)
    if as_json:
        switches = [asdict(switch) | {"created_at": switch.created_at.isoformat()} for switch in stopped]
        typer.echo(json.dumps({"tools": [asdict(line) for line in tools], "stopped": switches}, ensure_ascii=False))
        return
    if not tools:
        typer.echo("No tool has proposed anything yet.")
    else:
        _table([asdict(line) for line in tools])
    for switch in stopped:
        typer.echo(f"stopped: {_told(switch)}")


def _table(rows: list[dict[str, object]]) -> None:
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *numbers in lines:
        columns = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
        typer.echo("  ".join((first.ljust(widths[0]), *columns)))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _scope(tool: str, tenant: str) -> str:
    return f"{'every tool' if tool == '*' else tool} of {'every tenant' if tenant == '*' else tenant}"


def _told(switch: "Switch") -> str:
    return f"{_scope(switch.tool, switch.tenant)} by {switch.set_by} ({switch.reason})"


def _options(tool: str, tenant: str) -> str:
    return (f" --tool {tool}" if tool != "*" else "") + (f" --tenant {tenant}" if tenant != "*" else "")
