"""``cairn runs``: what runs there are, what one came to, stopping or retrying it. All through the running service."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from service.commands.common import DataDir, Json, printable
from service.commands.remote import ask

app = typer.Typer(
    no_args_is_help=True, help="List runs, show one, stop one, start one anew; see how full the lanes are."
)

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id, as `cairn runs list` shows it.")]


class Status(StrEnum):
    """Which runs to list."""

    every = "all"
    queued = "queued"
    running = "running"
    waiting_approval = "waiting_approval"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


@app.command("list")
def list_runs(
    *,
    status: Annotated[Status, typer.Option(help="Those that stand so.")] = Status.every,
    dead: Annotated[bool, typer.Option("--dead", help="Those that were given up: whoever took them up died.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List your last runs, the newest first."""
    wanted = None if status is Status.every else status.value
    found = ask(data_dir, lambda service: service.runs(wanted, limit, dead=dead))
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    if not found:
        typer.echo("There are none.")
    for item in found:
        _head(item)
        typer.echo(f"    {printable(item['message'])}")
        if dead and item["error"] is not None:
            typer.secho(f"    {item['error']['code']}: {printable(item['error']['detail'])}", fg="red")


@app.command()
def show(run_id: RunId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show a run: what it has said and done so far, and what it waits for."""
    item = ask(data_dir, lambda service: service.run(run_id))
    if as_json:
        typer.echo(json.dumps(item, ensure_ascii=False))
        return
    _head(item)
    for call in item["tool_calls"]:
        came_to = {None: "no result yet", True: "ok"}.get(call["ok"], call["failure"])
        typer.echo(f"    {printable(call['name'])}: {came_to}")
    for approval in item["approvals"]:
        if approval["decision"] is None:
            typer.echo(f"    waits for the approval {approval['approval_id']} of {printable(approval['name'])}")
    if item["error"] is not None:
        typer.secho(f"    {item['error']['code']}: {printable(item['error']['detail'])}", fg="red")
    for line in item["answer"].splitlines():
        typer.echo(f"    {printable(line)}")


@app.command()
def lanes(*, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show how full the lanes are: what waits, what goes on, and for how long the oldest has waited."""
    found = ask(data_dir, lambda service: service.lanes())
    if as_json:
        typer.echo(json.dumps({"items": found}))
        return
    typer.secho(f"{'lane':12} {'waiting':>8} {'running':>8}  oldest", bold=True)
    for item in found:
        oldest = f"{item['oldest_seconds']:.1f} s" if item["waiting"] else "-"
        typer.echo(f"{item['lane']:12} {item['waiting']:8} {item['running']:8}  {oldest}")


@app.command()
def cancel(
    run_id: RunId,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "cancelled by an operator",
    data_dir: DataDir = None,
) -> None:
    """Stop a run."""
    ask(data_dir, lambda service: service.cancel(run_id, reason))
    typer.echo("It was told to stop.")


@app.command()
def retry(
    run_id: RunId,
    *,
    force: Annotated[bool, typer.Option("--force", help="What the run has done may be done again.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Start a run anew that failed or was cancelled; what it has done is said, and not done again unasked."""
    retried = ask(data_dir, lambda service: service.retry(run_id, force=force))
    if as_json:
        typer.echo(json.dumps(retried, ensure_ascii=False))
        return
    for deed in retried["deeds"]:
        arguments = printable(json.dumps(deed["arguments"], ensure_ascii=False))
        typer.echo(f"It had called {printable(deed['tool'])} {arguments}: {deed['outcome']}.")
    typer.echo(f"Started again as {retried['run_id']}.")


def _head(item: dict[str, Any]) -> None:
    typer.secho(item["run_id"], bold=True, nl=False)
    typer.echo(f"  {item['status']}  {item['model']}  {item['created_at'][:19]}Z")
