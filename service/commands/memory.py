"""``cairn memory``: what is remembered, how it came about, taking it back. All through the running service."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.commands.common import CommandError, DataDir, Json, printable
from service.commands.remote import Remote, ask

app = typer.Typer(no_args_is_help=True, help="See, correct, roll back and forget what is remembered.")

MemoryId = Annotated[str, typer.Argument(metavar="ID", help="The record's id, as `cairn memory list` shows it.")]
Time = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="A time, UTC.")]
_PAGE = 200
_IMPORTED_AT_ONCE = 500


@app.command("list")
def list_memory(
    *,
    kind: Annotated[str | None, typer.Option(help="fact, preference, rule, profile or episode.")] = None,
    status: Annotated[str | None, typer.Option(help="active, proposed, superseded, retracted or rejected.")] = None,
    user: Annotated[str | None, typer.Option(help="What is about this user.")] = None,
    at: Time = None,
    snapshot: Annotated[str | None, typer.Option(help="What stood when it was taken.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="How many.")] = 50,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List what is remembered, the newest first."""
    about = {"subject_type": "user", "subject": user} if user else {}
    wanted = {"kind": kind, "status": status, "at": _utc(at), "snapshot": snapshot, "limit": limit, **about}
    params = {name: value for name, value in wanted.items() if value is not None}
    found = ask(data_dir, lambda service: service.memory("GET", params=params))["items"]
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    if not found:
        typer.echo("There is nothing.")
    for item in found:
        _show(item)


@app.command()
def show(memory_id: MemoryId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show a record as it stands, with where it came from."""
    item = ask(data_dir, lambda service: service.memory("GET", _path(memory_id)))
    if as_json:
        typer.echo(json.dumps(item, ensure_ascii=False))
        return
    _show(item)
    rows = {
        "value": json.dumps(item["value"], ensure_ascii=False) if item["value"] is not None else None,
        "slot": item["slot"],
        "author": item["author"],
        "run": item["run_id"],
        "until": item["valid_until"] or item["expires_at"],
        "readers": ", ".join(item["acl"]) or None,
        "superseded": item["superseded_by"],
    }
    for name, value in rows.items():
        if value is not None:
            typer.echo(f"    {name + ':':<12}{printable(value)}")
    for source in item["sources"]:
        typer.echo(f"    {'source:':<12}{printable(source['id'])} ({source['trust']})")


@app.command()
def history(memory_id: MemoryId, *, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show every version of a record, the newest first."""

    async def read(service: Remote) -> list[dict[str, Any]]:
        return await _pages(service, f"{_path(memory_id)}/history")

    found = ask(data_dir, read)
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    for item in found:
        when = f"{datetime.fromisoformat(item['created_at']):%Y-%m-%d %H:%M}"
        typer.secho(f"{item['version']:>4}", bold=True, nl=False)
        restored = f" to {item['restores'] or 'nothing'}" if item["restores"] is not None else ""
        change = f"{item['change'].replace('_', ' ')}{restored}"
        typer.echo(f"  {when}  {item['status']}, {change} by {printable(item['changed_by'])}")
        typer.echo(f"      {_line(item['text'])}")


@app.command()
def diff(
    memory_id: MemoryId,
    *,
    old: Annotated[int | None, typer.Option("--from", min=1, help="The one before, if absent.")] = None,
    new: Annotated[int | None, typer.Option("--to", min=1, help="The one that stands, if absent.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show what differs between two versions of a record."""
    given = {"from_version": old, "to_version": new}
    params = {name: value for name, value in given.items() if value is not None}
    found = ask(data_dir, lambda service: service.memory("GET", f"{_path(memory_id)}/diff", params=params))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(f"{found['from_version']} → {found['to_version']}")
    for name, values in found["changes"].items():
        for mark, value in (("-", values["before"]), ("+", values["after"])):
            typer.echo(f"{mark} {name}: {printable(json.dumps(value, ensure_ascii=False))}")


@app.command()
def rollback(
    memory_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One record, with --to.")] = None,
    *,
    to: Annotated[int | None, typer.Option(min=1, help="The version that it goes back to.")] = None,
    source: Annotated[str | None, typer.Option(help="What came from this source.")] = None,
    run: Annotated[str | None, typer.Option(help="What came from this run.")] = None,
    author: Annotated[str | None, typer.Option(help="What this author said or did.")] = None,
    since: Time = None,
    until: Time = None,
    snapshot: Annotated[str | None, typer.Option(help="What was written after this snapshot.")] = None,
    operation: Annotated[str | None, typer.Option(help="What was written at once, as by a rollback.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Take back what was written; this can be taken back as well."""
    given = {
        "source": source,
        "run": run,
        "author": author,
        "since": _utc(since),
        "until": _utc(until),
        "snapshot": snapshot,
        "operation": operation,
    }
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None} | {"dry_run": dry_run}
    path = "/rollback"
    if memory_id is not None:
        if to is None or len(body) > 1:
            raise CommandError("one record goes back to one of its versions: cairn memory rollback ID --to VERSION")
        path, body = f"{_path(memory_id)}/rollback", body | {"to_version": to}
    done = ask(data_dir, lambda service: service.memory("POST", path, json=body))
    if as_json:
        typer.echo(json.dumps(done, ensure_ascii=False))
        return
    for change in done["changes"]:
        back = f"version {change['to_version']}: {_line(change['becomes'])}" if change["to_version"] else "nothing"
        typer.echo(f"{change['id']}  {_line(change['text'])}\n    → {back}")
    records = f"{done['count']} record{'' if done['count'] == 1 else 's'}"
    typer.echo(f"{records} would go back." if dry_run else f"{records} went back.")
    if done["operation"] is not None:
        typer.echo(f"Take it back with `cairn memory rollback --operation {done['operation']}`.")


@app.command()
def snapshot(
    name: Annotated[str | None, typer.Argument(help="What it is to be called; without one, list them.")] = None,
    *,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give what is remembered now a name, to read it or to go back to it later."""
    if name is not None:
        taken = ask(data_dir, lambda service: service.memory("POST", "/snapshots", json={"name": name}))
        found = [taken]
    else:
        found = ask(data_dir, lambda service: service.memory("GET", "/snapshots"))["items"]
    if as_json:
        typer.echo(json.dumps({"items": found}, ensure_ascii=False))
        return
    for item in found:
        when = f"{datetime.fromisoformat(item['created_at']):%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{printable(item['name'])}  {when} by {printable(item['taken_by'])}")


@app.command()
def forget(
    memory_id: Annotated[str | None, typer.Argument(metavar="ID", help="The record's id.")] = None,
    *,
    subject: Annotated[
        str | None, typer.Option(help="In place of an id: all that is about user:NAME, entity:NAME or tenant.")
    ] = None,
    sessions: Annotated[bool, typer.Option("--sessions", help="With a user: his sessions, too.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop what goes on in them first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Forget for real: a record with all its versions, or all about somebody. Nothing brings it back."""
    if (memory_id is None) == (subject is None):
        raise CommandError("give the id of a record, or --subject")
    if subject is not None:
        kind, _, name = subject.partition(":")
        what = f"all that is known about {printable(subject)}" + (", and all sessions" if sessions else "")
        if not yes:
            typer.confirm(f"Forget for good: {what}", abort=True)
        params = {"subject_type": kind, "subject": name, "sessions": sessions, "cancel": cancel}
        gone = ask(data_dir, lambda service: service.memory("DELETE", params=params))
        counts = f"{gone['records']} records" + (f", {gone['sessions']} sessions" if sessions else "")
        typer.echo(f"Forgotten: {counts}.")
        return

    async def erase(service: Remote) -> None:
        item = await service.memory("GET", _path(str(memory_id)))
        if not yes:
            typer.confirm(f"Forget for good: {_line(item['text'])}", abort=True)
        params = {"expected_version": item["version"]}
        await service.memory("DELETE", _path(str(memory_id)), params=params)

    ask(data_dir, erase)
    typer.echo("It is forgotten.")


@app.command("export")
def export_memory(*, data_dir: DataDir = None) -> None:
    """Write all that you may read and that stands to the standard output, a line of JSON each."""
    for line in ask(data_dir, lambda service: service.exported_memory()):
        typer.echo(line)


@app.command("import")
def import_memory(
    file: Annotated[Path, typer.Argument(help="What was exported; - is the standard input.")],
    *,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Remember what was exported elsewhere. Nothing of it is believed more than imported."""
    items = _read(file)

    async def send(service: Remote) -> list[dict[str, Any]]:
        came: list[dict[str, Any]] = []
        for start in range(0, len(items), _IMPORTED_AT_ONCE):
            body = {"items": items[start : start + _IMPORTED_AT_ONCE]}
            came += (await service.memory("POST", "/import", json=body))["items"]
        return came

    came = ask(data_dir, send)
    if as_json:
        typer.echo(json.dumps({"items": came}, ensure_ascii=False))
        return
    for number, item in enumerate(came, 1):
        if item["reason"] is not None:
            typer.echo(f"line {number}: {printable(item['reason'])}", err=True)
    outcomes = [item["outcome"] or "refused" for item in came]
    typer.echo(", ".join(f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes)) or "There is nothing.")


def _read(file: Path) -> list[Any]:
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    items = []
    # Not at other line ends: a text may hold them.
    for number, line in enumerate(text.split("\n"), 1):
        try:
            items += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise CommandError(f"line {number} is not JSON: {error}") from error
    return items


async def _pages(service: Remote, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": _PAGE}
    while True:
        page = await service.memory("GET", path, params=params)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


def _show(item: dict[str, Any]) -> None:
    subject = " ".join(part for part in (item["subject"]["type"], item["subject"]["id"]) if part)
    typer.secho(item["id"], bold=True, nl=False)
    typer.echo(
        f"  {item['status']}  {item['kind']} of {printable(subject)}, {item['trust']}, version {item['version']}"
    )
    typer.echo(f"    {_line(item['text'])}")


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _path(memory_id: str) -> str:
    return f"/{quote(memory_id, safe='')}"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat()
