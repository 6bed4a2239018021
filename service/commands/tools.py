"""``cairn tools``: what is wrong with a developer's tools, before a model finds out."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import Json

if TYPE_CHECKING:
    from tools.checking import Finding
    from tools.toolset import Toolset

app = typer.Typer(no_args_is_help=True, help="Check tools.")


@app.callback()
def _tools() -> None:
    """A group with one command for now; typer would swallow its name otherwise."""


@app.command()
def check(
    reference: Annotated[str, typer.Argument(help="A file or module, as for cairn serve --tools.")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Load tools and check what they promise; exit code 1 when something is wrong."""
    from service.logs import configure
    from tools.checking import check_tools
    from tools.loading import load_tools

    toolset = load_tools(reference)
    if toolset.sources:
        configure("info")
        asyncio.run(_complete(toolset))
    findings = check_tools(list(toolset))
    if as_json:
        names = [tool.name for tool in toolset]
        typer.echo(json.dumps({"tools": names, "findings": [asdict(each) for each in findings]}, ensure_ascii=False))
    else:
        _show(toolset, findings)
    if any(strict or finding.level == "error" for finding in findings):
        raise typer.Exit(1)


async def _complete(toolset: "Toolset") -> None:
    """Let servers say what tools they have."""
    try:
        await toolset.open()
    finally:
        await toolset.aclose()


def _show(toolset: "Toolset", findings: "list[Finding]") -> None:
    width = max((len(tool.name) for tool in toolset), default=0)
    for tool in toolset:
        own = [finding for finding in findings if finding.tool == tool.name]
        promises = ", ".join(
            (tool.effect, tool.default_autonomy, *(["idempotent"] if tool.idempotent and tool.effect != "read" else []))
        )
        typer.echo(f"{tool.name:{width}}  {promises}{'' if own else '  ok'}")
        for finding in own:
            colour = "red" if finding.level == "error" else "yellow"
            typer.echo(f"  {typer.style(finding.level, fg=colour)}: {finding.message}")
    errors = sum(finding.level == "error" for finding in findings)
    typer.echo(f"{len(toolset)} tools, {errors} errors, {len(findings) - errors} warnings")
