"""The page at ``/`` and its files, under a strict content security policy."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from service.problems import ProblemError

_FOLDER = Path(__file__).parent / "page"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_routes() -> APIRouter:
    """Routes for the page and each of its files; nothing else of the disk can be named."""
    router = APIRouter(include_in_schema=False)
    files = {file.name: file for file in sorted(_FOLDER.iterdir()) if file.suffix in _TYPES}

    async def page(request: Request) -> Response:
        file = files.get(request.path_params.get("name", "index.html"))
        if file is None:
            raise ProblemError(404, "not_found", "there is no such file")
        return FileResponse(file, headers=_HEADERS, media_type=_TYPES[file.suffix])

    router.add_api_route("/", page, methods=["GET", "HEAD"])
    router.add_api_route("/page/{name}", page, methods=["GET", "HEAD"])
    return router
