"""``cairn sessions``: what was talked about, written out, deleted for real. All through the running service."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.common import CommandError, DataDir, Json, printable
from service.commands.remote import Remote, ask

app = typer.Typer(no_args_is_help=True, help="List sessions, show one, export one, delete one.")

SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session's id, as `cairn sessions list` shows it.")]
_LONGEST = 400


@app.command("list")
def list_sessions(
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List your sessions, the last used first."""
    found = ask(data_dir, lambda service: service.sessions("GET", params={"limit": limit}))["items"]
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    if not found:
        typer.echo("There are none.")
    for item in found:
        _head(item)


@app.command()
def show(session_id: SessionId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show a session: its messages, numbered, and the summary that a model is shown in place of the older ones."""
    item = ask(data_dir, lambda service: service.sessions("GET", session_id))
    if as_json:
        typer.echo(json.dumps(item, ensure_ascii=False))
        return
    _head(item)
    if item["summary"] is not None:
        summary = item["summary"]
        typer.echo(f"  messages {summary['first_message']} to {summary['last_message']}, by {summary['made_by']}:")
        for line in summary["text"].splitlines():
            typer.echo(f"    {printable(line)}")
    for message in item["messages"]:
        calls = ", ".join(f"calls {call['name']} {call['arguments']}" for call in message["tool_calls"])
        who = " ".join(part for part in (message["role"], message["name"]) if part)
        text = " ".join(f"{message['content']} {calls}".split())
        typer.echo(f"  {message['id']:>5}  {printable(who)}: {printable(text[:_LONGEST])}")


@app.command()
def export(
    session_id: SessionId,
    *,
    to: Annotated[Path | None, typer.Option(help="Where to; the standard output if absent.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write out all that is kept of a session, as JSON."""
    text = ask(data_dir, lambda service: service.exported_session(session_id))
    if to is None:
        typer.echo(text)
        return
    if to.exists():
        raise CommandError(f"{to} exists already")
    to.write_text(text, encoding="utf-8")
    typer.echo(f"Written to {to}.")


@app.command()
def delete(
    session_id: SessionId,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop what goes on in it first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a session for real, with its runs and all that they did and said. Nothing brings it back."""

    async def erase(service: Remote) -> None:
        item = await service.sessions("GET", session_id)
        if not yes:
            typer.confirm(f"Delete for good: {printable(item['title'])}", abort=True)
        await service.sessions("DELETE", session_id, params={"cancel": cancel})

    ask(data_dir, erase)
    typer.echo("It is deleted.")


def _head(item: dict[str, Any]) -> None:
    typer.secho(item["id"], bold=True, nl=False)
    typer.echo(f"  {item['updated_at'][:19]}Z  {printable(item['title'])}")
