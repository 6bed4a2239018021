"""``cairn approvals``: what runs wait for, and deciding it. Everything goes through the running service."""

import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.common import CommandError, DataDir, Json, printable
from service.commands.remote import ask

app = typer.Typer(no_args_is_help=True, help="List, approve, edit and reject what runs wait for.")

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="The approval's id, as `cairn approvals list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]


class Status(StrEnum):
    """Which approvals to list."""

    pending = "pending"
    approved = "approved"
    edited = "edited"
    rejected = "rejected"
    expired = "expired"
    cancelled = "cancelled"
    every = "all"


@app.command("list")
def list_approvals(
    *,
    status: Annotated[Status, typer.Option(help="Those that stand so.")] = Status.pending,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List what runs wait for, the newest first."""
    wanted = None if status is Status.every else status.value
    found = ask(data_dir, lambda service: service.approvals(wanted))
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    if not found:
        typer.echo("Nothing waits to be decided." if status is Status.pending else "There are none.")
    for item in found:
        _head(item)
        typer.echo(f"    {printable(json.dumps(item['arguments'], ensure_ascii=False))}")
        typer.echo(f"    {printable(item['reason'])}; asked by {printable(item['asked_by'])}{_until(item)}\n")


@app.command()
def show(approval_id: ApprovalId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show an approval: the call, why it needs a person, and the sources that led to it."""
    item = ask(data_dir, lambda service: service.approval(approval_id))
    if as_json:
        typer.echo(json.dumps(item, ensure_ascii=False))
        return
    _head(item)
    may = " or ".join(item["approvers"]) or "anybody of the tenant"
    rows = {
        "reason": item["reason"],
        "asked by": item["asked_by"] + _until(item),
        "decided by": item["decided_by"] or may,
        "run": item["run_id"],
    }
    for name, value in rows.items():
        typer.echo(f"    {name + ':':<12}{printable(value)}")
    _block("arguments", item["arguments"])
    if item["decision"] and item["decision"]["arguments"] is not None:
        _block("edited to", item["decision"]["arguments"])
    if item["decision"] and item["decision"]["reason"]:
        typer.echo(f"    {'because:':<12}{printable(item['decision']['reason'])}")
    if item["record"] is not None:
        _block("record", item["record"])
    for source in item["sources"]:
        typer.echo(f"    [{source['label']}] {printable(source['title'])}  {printable(source['uri'])}")
    if item["withheld"]:
        typer.echo(f"    {item['withheld']} more that are gone, or not for you")
    if not item["genuine"]:
        typer.secho("    This row was changed in the database: nothing is done for it.", fg="red")


@app.command()
def approve(approval_id: ApprovalId, *, reason: Reason = "", data_dir: DataDir = None, as_json: Json = False) -> None:
    """Let the call be made."""
    _decide(approval_id, {"decision": "approve", "reason": reason}, data_dir, as_json=as_json)


@app.command()
def edit(
    approval_id: ApprovalId,
    *,
    arguments: Annotated[str, typer.Option(help="All arguments of the call as JSON, or @FILE that holds them.")],
    reason: Reason = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Let the call be made with other arguments."""
    body = {"decision": "edit", "arguments": _read(arguments), "reason": reason}
    _decide(approval_id, body, data_dir, as_json=as_json)


@app.command()
def reject(
    approval_id: ApprovalId,
    *,
    reason: Annotated[str, typer.Option(help="Why; the model reads it.")] = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Let the call not be made."""
    _decide(approval_id, {"decision": "reject", "reason": reason}, data_dir, as_json=as_json)


def _decide(approval_id: str, body: dict[str, Any], data_dir: Path | None, *, as_json: bool) -> None:
    item = ask(data_dir, lambda service: service.decide(approval_id, body))
    typer.echo(json.dumps(item, ensure_ascii=False) if as_json else f"{item['tool']} was {item['status']}.")


def _read(given: str) -> Any:
    try:
        arguments = json.loads(Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given)
    except ValueError as error:
        raise CommandError(f"the arguments are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise CommandError('the arguments are a JSON object: {"order": "1042"}')
    return arguments


def _head(item: dict[str, Any]) -> None:
    doubt = ", which may have been done already" if item["kind"] == "outcome_unknown" else ""
    typer.secho(item["id"], bold=True, nl=False)
    typer.echo(f"  {item['status']}  {item['tool']} ({item['effect']}{doubt})")


def _until(item: dict[str, Any]) -> str:
    if item["status"] != "pending" or item["expires_at"] is None:
        return ""
    return f", until {datetime.fromisoformat(item['expires_at']):%Y-%m-%d %H:%M} UTC"


def _block(name: str, value: Any) -> None:
    lines = json.dumps(value, ensure_ascii=False, indent=2).splitlines()
    typer.echo(f"    {name}:")
    for line in lines:
        typer.echo(f"      {printable(line)}")
