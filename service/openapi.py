"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from agent.log.schema import event_schemas
from service.problems import MEDIA_TYPE, Problem
from service.schemas.documents import DocumentText
from service.subject import MOST

_REFS = "#/components/schemas/{model}"
_MEANINGS: dict[int | str, str] = {
    400: "A cursor or an event id is malformed.",
    403: "The principal may not do this.",
    404: "What the request names does not exist, or not for this principal.",
    409: "It cannot be done in the state that things are in.",
    410: "It was forgotten: nothing of it is left.",
    413: "The request or the document is too large.",
    415: "The format is not one that is read.",
    422: "The request is not valid, or asks for what is not offered.",
    502: "The model's provider refused, or gave an answer that cannot be read.",
    503: "A part that is needed does not answer now, or the service is stopping.",
    504: "The model's provider did not answer in time.",
    "default": "Any other problem. Every route may answer 401 `unauthenticated`, 403 `forbidden` or "
    "`forbidden_origin`, 413 `too_large`, 500 `internal` and 503 `keys_unavailable`.",
}

EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The run's events as server-sent events: each carries one `RunEvent` (docs/sse.md).",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (
                    'event: text.delta\nid: 3\ndata: {"run_id":"0193…","seq":3,"delta":"You","type":"text.delta"}\n\n'
                ),
            }
        },
    }
}

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "Sent again within a day with the same request, it gets the same run or the same answer, and "
    "nothing is done twice. With another request: 422 `idempotency_key_reused`.",
}
_SUBJECT_TOKEN = {
    "name": "Cairn-Subject-Token",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST, "pattern": "^[!-~]+$"},
    "description": "A token of whoever the question is for. Connectors that act for them send it on or exchange it "
    "(docs/connect-your-api.md); it is kept with the run, encrypted, until the run ends.",
}
_STARTING = frozenset({"chat", "chat_stream", "start_run", "retry_run"})


def problems(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, and that of any other error."""
    schema = {"$ref": _REFS.format(model=Problem.__name__)}
    return {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in (*statuses, "default")
    }


def describe(app: FastAPI) -> None:
    """Let the application give its document with the schemas of problems and events in it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = document["components"]["schemas"]
            for model in (Problem, DocumentText):
                schemas[model.__name__] = model.model_json_schema(ref_template=_REFS)
            schemas.update(event_schemas(_REFS))
            document["components"]["schemas"] = dict(sorted(schemas.items()))
            for operation in (path["post"] for path in document["paths"].values() if "post" in path):
                operation.setdefault("parameters", []).append(_KEY)
                if operation["operationId"] in _STARTING:
                    operation["parameters"].append(_SUBJECT_TOKEN)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it
