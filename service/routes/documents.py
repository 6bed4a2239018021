"""Documents: taken in, listed, opened, deleted."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from agent.failures import DISK_FULL
from ingest.items import UNKNOWN_TYPE, Item
from ingest.options import IngestOptions
from ingest.summary import Failure
from records.principal import PUBLIC, Principal
from retrieval.documents import Document, document_id
from service.idempotency import IdempotentRoute
from service.openapi import problems
from service.problems import ProblemError, invalid_request
from service.routes.context import Cursor, Limit, PrincipalDep, ServicesDep, needs
from service.schemas.documents import (
    DocumentBody,
    DocumentDetail,
    DocumentFields,
    DocumentList,
    DocumentText,
    IngestResult,
    Outcome,
)
from service.services import Services

router = APIRouter(prefix="/v1/documents", route_class=IdempotentRoute, tags=["documents"])

Model = TypeVar("Model", bound=BaseModel)

_STATUS_OF_FAILURE = {"unsupported": 415, "too_large": 413}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/DocumentText"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **DocumentFields.model_json_schema()["properties"],
                        "metadata": {"type": "string", "description": "A JSON object."},
                    },
                },
                "example": {"file": "(the bytes of returns.pdf)", "collection": "shop", "metadata": '{"lang": "en"}'},
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class _Submission:
    item: Item
    fields: DocumentFields


@router.post(
    "",
    dependencies=[needs("documents:write")],
    status_code=201,
    openapi_extra=_BODY,
    responses={
        200: {"model": IngestResult, "description": "It was there already."},
        **problems(403, 413, 415, 422, 503),
    },
)
async def add_document(
    request: Request,
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    *,
    dry_run: Annotated[bool, Query(description="Say what would be done; do nothing.")] = False,
) -> IngestResult:
    """Take in one document, a file or text. The same URI replaces it; the same content changes nothing."""
    submission = await _submission(request)
    fields = submission.fields
    if fields.trust == "trusted" and not principal.may("admin"):
        raise ProblemError(403, "forbidden", "the key lacks the scope 'admin', which calling a document trusted needs")
    options = IngestOptions(
        principal=principal,
        collection=fields.collection or services.settings.collection,
        acl=tuple(fields.acl or (PUBLIC,)),
        metadata=fields.metadata,
        trust=fields.trust,
        language=services.settings.retrieval.language,
        dry_run=dry_run,
    )
    # What a collection trusts without a word is the administrator's to say, too.
    item = replace(submission.item, remote=fields.remote or not principal.may("admin"))
    outcome = await _ingest(services, item, options)
    response.status_code = 201 if outcome == "added" else 200
    return IngestResult(outcome=outcome, document=await _stored(services, principal, options, item))


async def _ingest(services: Services, item: Item, options: IngestOptions) -> Outcome:
    async def items() -> AsyncIterator[Item]:
        yield item

    summary = await services.knowledge.ingestor.ingest(items(), options)
    if summary.failed:
        failure = summary.failed[0]
        services.metrics.document("failed")
        raise _refused(failure)
    outcome: Outcome = "added" if summary.added else "changed" if summary.changed else "unchanged"
    services.metrics.document(outcome)
    return outcome


async def _stored(services: Services, principal: Principal, options: IngestOptions, item: Item) -> DocumentBody | None:
    if options.dry_run:
        return None
    # Whoever handed it over may be shown it, though the groups that may read it need not be his.
    handed_over = replace(principal, groups=principal.groups | frozenset(options.acl))
    identifier = document_id(principal.tenant, options.collection, item.uri)
    return _body(await services.catalog.document(handed_over, identifier))


def _refused(failure: Failure) -> ProblemError:
    if failure.code == DISK_FULL.code:
        return ProblemError(DISK_FULL.status, DISK_FULL.code, failure.reason)
    status = _STATUS_OF_FAILURE.get(failure.code, 422)
    return ProblemError(status, f"document_{failure.code}", failure.reason)


@router.get("", dependencies=[needs("documents:read")], responses=problems(400))
async def list_documents(
    services: ServicesDep,
    principal: PrincipalDep,
    collection: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DocumentList:
    """The documents that the principal may read."""
    page = await services.catalog.documents(principal, collection=collection, limit=limit, cursor=cursor)
    return DocumentList(items=[_body(document) for document in page.documents], next_cursor=page.cursor)


@router.get("/{document_id}", dependencies=[needs("documents:read")], responses=problems(404))
async def get_document(
    document_id: str,
    services: ServicesDep,
    principal: PrincipalDep,
    version: Annotated[str | None, Query(description="A version that a source names; the live one if absent.")] = None,
) -> DocumentDetail:
    """A document with the parsed text of one of its versions."""
    document = await services.catalog.document(principal, document_id)
    text = await services.catalog.text(principal, document_id, version)
    body = _body(document)
    return DocumentDetail(**{**body.model_dump(), "version": version or document.version, "text": text})


@router.delete("/{document_id}", dependencies=[needs("documents:write")], status_code=204, responses=problems(404))
async def delete_document(document_id: str, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Delete a document with its chunks. Answers that are being written keep the passages they have read."""
    await services.catalog.document(principal, document_id)
    await services.knowledge.ingestor.remove(principal, [document_id])
    services.metrics.document("removed")
    return Response(status_code=204)


async def _submission(request: Request) -> _Submission:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_text(_valid(DocumentText, await _json(request)))
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=20) as form:
            return await _from_form(form)
    raise ProblemError(
        415, "unsupported_media_type", "send application/json, or multipart/form-data with a field `file`"
    )


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ProblemError(422, "invalid_request", f"the body is not JSON: {error}") from error


def _from_text(body: DocumentText) -> _Submission:
    name = body.name or body.title or ""
    item = Item(uri=body.uri or f"text:{quote(name)}", name=name, text=body.text, title=body.title)
    return _Submission(item, body)


async def _from_form(form: FormData) -> _Submission:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise ProblemError(422, "invalid_request", "the field `file` must be a file with a name")
    raw: dict[str, Any] = {key: value for key, value in form.items() if key != "file"}
    if "acl" in raw:
        raw["acl"] = form.getlist("acl")
    if "metadata" in raw:
        try:
            raw["metadata"] = json.loads(str(raw["metadata"]))
        except (ValueError, RecursionError) as error:
            raise ProblemError(422, "invalid_request", "metadata: not a JSON object") from error
    fields = _valid(DocumentFields, raw)
    item = Item(
        uri=fields.uri or f"upload:{quote(file.filename)}",
        name=fields.name or file.filename,
        data=await file.read(),
        title=fields.title,
        media_type=None if file.content_type == UNKNOWN_TYPE else file.content_type,
    )
    return _Submission(item, fields)


def _valid(model: type[Model], data: Any) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid_request(error.errors()) from error


def _body(document: Document) -> DocumentBody:
    fields = asdict(document)
    del fields["tenant"]
    return DocumentBody(**fields)
