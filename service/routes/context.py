"""What every route may ask for: the services, and the principal on whose behalf it acts."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from records.principal import Principal, Scope
from service.problems import ProblemError
from service.services import Services

_DIGITS = 18


# Dependencies are async for their speed alone: FastAPI runs others in a thread.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _principal(request: Request) -> Principal:
    # The guard has put it there; a route that it lets everybody ask has none.
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        raise ProblemError(401, "unauthenticated", "this needs an API key")
    return principal


async def _last_event_id(value: Annotated[str | None, Header(alias="Last-Event-ID")] = None) -> int:
    return parse_event_id(value, "Last-Event-ID") if value else 0


def parse_event_id(value: str, name: str) -> int:
    """The ``seq`` that a client gives under this name."""
    if not value.isascii() or not value.isdigit() or len(value) > _DIGITS:
        code = f"invalid_{name.lower().replace('-', '_')}"
        raise ProblemError(400, code, f"{name} must be the id of an event, not {value[:40]!r}")
    return int(value)


ServicesDep = Annotated[Services, Depends(_services)]
PrincipalDep = Annotated[Principal, Depends(_principal)]

# Only described here: the guard has read the header.
_KEY = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    bearerFormat="cairn_<id>_<secret>",
    description="An API key (docs/keys.md), once one exists. Each route names the scope that it needs.",
)


async def _permitted(principal: PrincipalDep, needed: SecurityScopes, _: Annotated[Any, Depends(_KEY)]) -> None:
    missing = [scope for scope in needed.scopes if not principal.may(scope)]  # type: ignore[arg-type] # see needs()
    if missing:
        raise forbidden(*missing)


def forbidden(*scopes: str) -> ProblemError:
    """The problem of a principal that lacks these scopes."""
    return ProblemError(403, "forbidden", f"the key lacks the scope {' and '.join(map(repr, scopes))}")


def needs(scope: Scope) -> Any:
    """Declares the scope that a route needs: ``@router.get(…, dependencies=[needs("search")])``."""
    return Security(_permitted, scopes=[scope])


LastEventId = Annotated[int, Depends(_last_event_id)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=4000, description="`next_cursor` of the page before.")]


def encode_cursor(*position: str) -> str:
    """An opaque cursor for a position in a list."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_cursor(cursor: str, fields: int) -> list[str]:
    """The position that a cursor stands for."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError, binascii.Error):
        position = None
    if not isinstance(position, list) or len(position) != fields or not all(isinstance(p, str) for p in position):
        raise invalid_cursor()
    return position


def invalid_cursor() -> ProblemError:
    """The problem of a cursor that no page gave."""
    return ProblemError(400, "invalid_cursor", "the cursor is not one that this list gave; begin without one")
