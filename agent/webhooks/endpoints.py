"""Where an operator wants to be told of runs, of what, and under which secret."""

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from agent.webhooks.signing import secret_bytes
from records.egress import is_private
from records.principal import DEFAULT_TENANT

WebhookEvent = Literal[
    "run.completed",
    "run.failed",
    "run.cancelled",
    "run.waiting_approval",
    "approval.reminder",
    "run.handed_over",
]
EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)

MAX_URL = 2000
ANY = "*"
_PORTS = {"http": 80, "https": 443}


class Endpoint(BaseModel):
    """One endpoint of the operator's.

    Attributes:
        secret: What deliveries are signed with; the new one and the old one while it is being changed.
        tenant: Whose runs it is told of; ``*`` for every tenant's.
        private: Its host may have a private address, and be spoken to without TLS.
        for_runs: It is told of no run by itself: it allows a run's own request to name a URL on its host.
        timeout: Seconds until an answer must have come.
    """

    # A secret in the wrong form must not be shown in the error either.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(max_length=MAX_URL)
    secret: tuple[SecretStr, ...] = Field(min_length=1, max_length=8)
    events: tuple[WebhookEvent, ...] = Field(default=EVENTS, min_length=1)
    tenant: str = Field(default=DEFAULT_TENANT, min_length=1)
    private: bool = False
    for_runs: bool = False
    timeout: float = Field(default=15.0, gt=0, le=30)

    @field_validator("secret", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return [given] if isinstance(given, str | SecretStr) else given

    @field_validator("secret")
    @classmethod
    def _readable(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            secret_bytes(secret.get_secret_value())
        return secrets

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        parts = read_url(self.url)
        if not self.private and parts.scheme != "https":
            raise ValueError("a webhook's URL begins with https://, unless `private` is true")
        if not self.private and is_private(parts.hostname or ""):
            raise ValueError(f"{parts.hostname} is a private address; say `private = true` if it is meant")
        return self

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What deliveries are signed with."""
        return tuple(secret_bytes(secret.get_secret_value()) for secret in self.secret)

    def hears_of(self, tenant: str) -> bool:
        """Whether it may be told of this tenant's runs."""
        return self.tenant in {tenant, ANY}


class Endpoints:
    """All endpoints of the operator's."""

    def __init__(self, endpoints: Sequence[Endpoint] = ()) -> None:
        # A tenant's own endpoint comes before one of all tenants, and a whole URL before a host.
        self._all = sorted(endpoints, key=lambda each: (each.for_runs, each.tenant == ANY))

    def __bool__(self) -> bool:
        return bool(self._all)

    def wanting(self, tenant: str, event: WebhookEvent, named: str | None = None) -> tuple[str, ...]:
        """The URLs that are told of this event of a tenant's run.

        Args:
            named: The URL in the run's own request.
        """
        if not self._all:
            return ()
        own = self.find(tenant, named) if named is not None else None
        urls = [each.url for each in self._all if not each.for_runs and each.hears_of(tenant) and event in each.events]
        if named is not None and own is not None and event in own.events:
            urls.append(named)
        return tuple(dict.fromkeys(urls))

    def want(self, event: WebhookEvent) -> bool:
        """Whether anybody may be told of this event."""
        return any(event in each.events for each in self._all)

    def find(self, tenant: str, url: str) -> Endpoint | None:
        """The endpoint that allows to tell this URL of a tenant's runs, if any does."""
        try:
            origin = _origin(read_url(url))
        except ValueError:
            return None
        for each in self._all:
            named = each.for_runs and _origin(urlsplit(each.url)) == origin
            if each.hears_of(tenant) and (each.url == url or named):
                return each
        return None


def read_url(url: str) -> SplitResult:
    """The parts of a webhook's URL.

    Raises:
        ValueError: It is none that requests may be sent to.
    """
    parts = urlsplit(url)
    _ = parts.port
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("a webhook's URL begins with https:// and a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a webhook's URL has no user and no fragment")
    # Not everybody reads a backslash in a URL alike.
    if len(url) > MAX_URL or not url.isascii() or any(ord(sign) <= 32 or sign in "\\\x7f" for sign in url):
        raise ValueError(f"a webhook's URL has at most {MAX_URL} visible ASCII characters, and no backslash")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]
