"""The HTTP application: routes, problems, guard and page put together."""

from fastapi import FastAPI

from records.keys import KeyStore
from service import openapi, problems
from service.guard import LOOPBACK, Guard
from service.identity import Identity
from service.metrics import Metrics
from service.page_route import page_routes
from service.routes import (
    approvals,
    cache,
    chat,
    documents,
    feedback,
    health,
    memory,
    retry,
    runs,
    search,
    sessions,
    tools,
    ws,
)
from service.services import Services
from service.version import cairn_version

_DESCRIPTION = "Answers with sources, tools with a journal, streams that resume. Errors are RFC 9457 problem details."


def create_app(services: Services, metrics: Metrics, *, local_token: str | None = None) -> FastAPI:
    """The application over services that whoever calls this has opened, and will close.

    Args:
        local_token: What the owner of the data folder may send in the place of a key.
    """
    app = FastAPI(
        title="Cairn",
        version=cairn_version(),
        description=_DESCRIPTION,
        redoc_url=None,
        docs_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    problems.install(app, metrics)
    for module in (
        chat,
        runs,
        retry,
        feedback,
        ws,
        approvals,
        sessions,
        memory,
        cache,
        documents,
        search,
        tools,
        health,
    ):
        app.include_router(module.router)
    app.include_router(page_routes())
    if services.settings.mcp_server:
        from service.mcp.endpoint import McpEndpoint

        endpoint = McpEndpoint(services, sessions=services.settings.alone)
        app.router.routes.append(endpoint.route)
        services.closing.push_async_callback(endpoint.aclose)
    openapi.describe(app)
    settings = services.settings
    identity = Identity(
        KeyStore(services.knowledge.database), loopback=settings.host in LOOPBACK, local_token=local_token
    )
    app.state.identity = identity
    app.add_middleware(Guard, identity=identity, metrics=metrics, max_body_bytes=settings.http.max_body_bytes)
    return app
