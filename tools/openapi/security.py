"""Whether a connector's credentials are those that an operation asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools.http.auth import Auth
from tools.openapi.document import Document
from tools.openapi.operation import Operation


def unmet(document: Document, operation: Operation, auth: Sequence[Auth]) -> str | None:
    """What the credentials lack for the operation, in words; None when they do.

    One of the operation's requirements has to be met whole. Schemes that the document does not define count as met.
    """
    lacking: list[str] = []
    for requirement in operation.security:
        schemes = {name: document.security_schemes.get(name) for name in requirement}
        missing = [
            _named(name, scheme)
            for name, scheme in schemes.items()
            if scheme is not None and not any(each.meets(scheme) for each in auth)
        ]
        if not missing:
            return None
        lacking.append(" and ".join(missing))
    return " or ".join(dict.fromkeys(lacking)) or None


def is_credential(place: str, name: str, document: Document, auth: Sequence[Auth]) -> bool:
    """Whether a parameter is what the connector's credentials fill in."""
    given = {"type": "apiKey", "in": place, "name": name}
    if any(each.meets(given) for each in auth):
        return True
    return any(
        (scheme.get("type"), scheme.get("in"), scheme.get("name")) == ("apiKey", place, name)
        for scheme in document.security_schemes.values()
    )


def _named(name: str, scheme: Mapping[str, Any]) -> str:
    match scheme.get("type"):
        case "apiKey":
            how = f'ApiKey(…, name="{scheme.get("name")}", place="{scheme.get("in")}")'
        case "http" if str(scheme.get("scheme", "")).lower() == "basic":
            how = "Basic(…)"
        case "http" if str(scheme.get("scheme", "")).lower() == "bearer":
            how = "Bearer(…)"
        case "oauth2" | "openIdConnect":
            how = "OAuth2(…) or Bearer(…)"
        case kind:
            how = f"{kind}, which HttpApi does not have"
    return f"{name} (auth={how})" if "which" not in how else f"{name} ({how})"
