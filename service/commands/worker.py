"""``cairn worker``: what goes on in the background, without HTTP."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import Collection, DataDir, load_settings, require_stores

if TYPE_CHECKING:
    from service.settings import Settings


def worker(
    *,
    data_dir: DataDir = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="provider:name, or extractive, which is built in.", show_default="the first provider configured"
        ),
    ] = None,
    tools: Annotated[
        list[str] | None, typer.Option("--tools", help="A .py file or a module with tools; may be repeated.")
    ] = None,
    collection: Collection = None,
) -> None:
    """Carry out background runs, and go on with those of services that died or stopped.

    It works on the stores that services share, and closes approvals that nobody decided in time, too. Give it the
    tools and the settings that the services have.
    """
    settings = load_settings(
        data_dir=data_dir, model=model, tools=tuple(tools) if tools else None, collection=collection
    )
    require_stores(settings, shared=True)
    import uvloop

    from service.logs import configure

    configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: "Settings") -> None:
    from service.commands.stopping import stopping
    from service.metrics import Metrics
    from service.services import open_services
    from service.settings import ProviderSettings

    async with open_services(settings, ProviderSettings(), Metrics()) as services:
        stopped = asyncio.Event()
        with stopping(services, lambda _: stopped.set()):
            typer.echo(
                "\nCairn's worker is ready.\n\n"
                f"  model  {services.model.info.name}\n"
                f"  tools  {', '.join(tool.name for tool in services.toolset)}\n\n"
                "Ctrl-C stops it.\n"
            )
            await stopped.wait()
