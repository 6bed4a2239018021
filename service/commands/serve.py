"""``cairn serve``: the service and the page."""

import asyncio
import errno
import json
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.common import Collection, CommandError, DataDir, load_settings, require_stores

if TYPE_CHECKING:
    from service.owner import DataFolder
    from service.services import Services
    from service.settings import Settings

_GRACE_SECONDS = 5


def serve(
    *,
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
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
    ingest: Annotated[
        list[str] | None, typer.Option("--ingest", help="Bring these paths up to date first; may be repeated.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Trust the documents of --ingest like your own words.")
    ] = False,
) -> None:
    """Serve the page and the API on this machine.

    What is not given here is read from CAIRN_… variables, then from cairn.toml in the working directory.
    """
    settings = load_settings(
        data_dir=data_dir,
        host=host,
        port=port,
        model=model,
        tools=tuple(tools) if tools else None,
        collection=collection,
    )
    require_stores(settings)
    import uvloop

    from service.guard import LOOPBACK
    from service.logs import configure
    from service.owner import hold

    with ExitStack() as stack:
        # The folder first: it names the service that runs already, which a port in use does not.
        folder = stack.enter_context(hold(settings.data_dir))
        if settings.host not in LOOPBACK:
            asyncio.run(_require_a_key(settings))
        listener = stack.enter_context(_bind(settings.host, settings.port))
        configure(settings.log_level)
        url = f"http://{_reachable(settings.host)}:{listener.getsockname()[1]}"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, url, folder, _Documents(tuple(ingest or ()), trust=trust)))


async def _require_a_key(settings: "Settings") -> None:
    """Beyond this machine only those are served who have a key."""
    from service.commands.keys import key_store

    async with key_store(settings) as keys:
        if not await keys.any():
            folder = shlex.quote(str(settings.data_dir))
            raise CommandError(
                f"will not listen on {settings.host} while there is no API key; create one first: "
                f"cairn keys create --data-dir {folder} --scopes admin"
            )


@dataclass(frozen=True, slots=True)
class _Documents:
    """What is ingested before the service is ready: what is new or changed goes in, what is gone goes out."""

    paths: tuple[str, ...]
    trust: bool

    async def bring_up_to_date(self, services: "Services") -> None:
        from ingest.options import IngestOptions
        from ingest.sources import PathRoots, read_paths
        from records.principal import Principal
        from service.commands.progress import progress, report

        settings = services.settings
        options = IngestOptions(
            principal=Principal(),
            collection=settings.collection,
            trust="trusted" if self.trust else None,
            prune=PathRoots(self.paths),
            language=settings.retrieval.language,
        )
        with progress() as on_progress:
            summary = await services.knowledge.ingestor.ingest(read_paths(self.paths), options, on_progress)
        report(summary)


async def _serve(
    settings: "Settings",
    listener: socket.socket,
    url: str,
    folder: "DataFolder",
    documents: _Documents,
) -> None:
    import uvicorn

    from service.api import create_app
    from service.commands.stopping import stopping
    from service.metrics import Metrics
    from service.routes.ws import UVICORN
    from service.services import open_services
    from service.settings import ProviderSettings

    metrics = Metrics()
    async with open_services(settings, ProviderSettings(), metrics) as services:
        config = uvicorn.Config(
            create_app(services, metrics, local_token=folder.token),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            server_header=False,
            **UVICORN,
        )
        server = uvicorn.Server(config)
        if documents.paths:
            await documents.bring_up_to_date(services)
        with stopping(services, lambda number: server.handle_exit(number, None)):
            folder.announce(url)
            typer.echo(await _welcome(services, url))
            # What only the first search needs is loaded once nobody waits for it.
            warming = asyncio.create_task(services.retriever.warm_up())
            await server._serve([listener])  # noqa: SLF001 - serve() would raise the signal again and skip the clean-up
            await warming


async def _welcome(services: "Services", url: str) -> str:
    from records.keys import KeyStore
    from records.principal import DEFAULT_TENANT

    collection = services.settings.collection
    count = await services.catalog.count(DEFAULT_TENANT, collection)
    example = next((example for tool in services.toolset for example in tool.spec.examples), "What can you tell me?")
    body = shlex.quote(json.dumps({"message": example}, ensure_ascii=False))
    key = ' -H "Authorization: Bearer $CAIRN_API_KEY"' if await KeyStore(services.knowledge.database).any() else ""
    return (
        f"\nCairn is ready: {url}\n\n"
        f"  documents  {count} in the collection {collection!r}\n"
        f"  model      {services.model.info.name}\n"
        f"  tools      {', '.join(tool.name for tool in services.toolset)}\n\n"
        f"Ask from a terminal:\n\n"
        f"  curl -N {url}/v1/chat/stream -H 'content-type: application/json'{key} -d {body}\n\n"
        f"Ctrl-C stops it.\n"
    )


@contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(f"port {port} is in use; choose another with --port (or PORT=… make run)") from error
            raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        listener.listen(2048)
        yield listener
    finally:
        listener.close()


def _reachable(host: str) -> str:
    """The host as a URL names it; a service on every address is on the loopback one, too."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is replaced
    return f"[{host}]" if ":" in host else host
