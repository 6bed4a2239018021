"""The ``cairn`` command. Each sub-command's parts are imported when it runs, so that ``--help`` is instant."""

import sys
from typing import Annotated, Any

import typer

from service.commands import (
    approvals,
    autonomy,
    cache,
    ingest,
    keys,
    memory,
    model,
    reindex,
    runs,
    search,
    serve,
    sessions,
    tools,
    vectors,
    webhooks,
    worker,
)
from service.commands.common import known_errors
from service.version import cairn_version

app = typer.Typer(
    name="cairn",
    help="An agent service that always shows the way it came.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        typer.echo(f"cairn {cairn_version()}")
        raise typer.Exit


@app.callback()
def _cairn(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("ingest")(ingest.ingest)
app.command("search")(search.search)
app.command("reindex")(reindex.reindex)
app.add_typer(keys.app, name="keys")
app.add_typer(vectors.app, name="vectors")
app.add_typer(model.app, name="model")
app.add_typer(tools.app, name="tools")
app.add_typer(runs.app, name="runs")
app.add_typer(approvals.app, name="approvals")
app.add_typer(autonomy.app, name="autonomy")
app.add_typer(memory.app, name="memory")
app.add_typer(sessions.app, name="sessions")
app.add_typer(cache.app, name="cache")
app.add_typer(webhooks.app, name="webhooks")


def main() -> Any:
    """Run the command; a failure that was foreseen is one line that says what to do, and exit code 1."""
    try:
        return app()
    except KeyboardInterrupt:
        sys.exit(130)
    except known_errors() as error:
        typer.secho(f"cairn: {_told(error)}", fg="red", err=True)
        sys.exit(1)


def _told(error: Exception) -> str:
    from records.disk import DISK_FULL, disk_full

    return DISK_FULL if disk_full(error) else str(error)
