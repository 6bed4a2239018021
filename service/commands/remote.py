"""A running service, as the command line uses it: the one that holds the data folder, or one that was named."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import typer

from service.commands.common import CommandError, load_settings

if TYPE_CHECKING:
    import httpx

    from service.settings import Settings

T = TypeVar("T")

_WAIT_SECONDS = 10.0
_SILENT_SECONDS = 1.0
_POLL_SECONDS = 0.25


class Remote:
    """A client of a service.

    Args:
        url: Where it is.
        key: An API key, or the token of the data folder's owner.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        import httpx

        self.url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Parsing and embedding a large document takes its time; connecting does not.
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=httpx.Timeout(600, connect=5), trust_env=False
        )

    @classmethod
    async def find(cls, settings: "Settings") -> Self | None:
        """The service that was named, else the one that holds the data folder, or None when nobody does.

        Raises:
            DataFolderInUse: Another process holds it and does not become a service within a few seconds.
        """
        from service.owner import DataFolderInUse, hold

        if settings.service_url is not None:
            return cls(settings.service_url, settings.api_key.get_secret_value() if settings.api_key else None)
        if not settings.alone:
            return None
        waited = 0.0
        while True:
            try:
                with hold(settings.data_dir):
                    return None
            except DataFolderInUse as held:
                if held.service is not None:
                    return cls(held.service.url, held.service.token)
                if waited >= _WAIT_SECONDS:
                    raise
            if waited == _SILENT_SECONDS:
                typer.echo(
                    f"Another process holds the data folder {settings.data_dir}; waiting up to {_WAIT_SECONDS:g} "
                    "seconds for it to end, or to serve.",
                    err=True,
                )
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def search(self, query: str, collection: str, limit: int) -> list[dict[str, Any]]:
        """What the service finds."""
        body = {"query": query, "collection": collection, "limit": limit}
        items: list[dict[str, Any]] = (await self._call("POST", "/v1/search", json=body))["items"]
        return items

    async def add(self, data: bytes, media_type: str, fields: dict[str, Any], *, dry_run: bool) -> Any:
        """Hand a file over.

        Raises:
            RemoteProblem: The service refuses it.
        """
        given = {key: value for key, value in fields.items() if value is not None}
        form = {key: json.dumps(value) if key == "metadata" else value for key, value in given.items()}
        # Its name is among the fields: a form's part cannot carry every name unchanged.
        files = {"file": ("file", data, media_type)}
        return await self._call("POST", "/v1/documents", files=files, data=form, params={"dry_run": dry_run})

    async def add_text(self, text: str, fields: dict[str, Any], *, dry_run: bool) -> Any:
        """Hand over text that needs no parsing.

        Raises:
            RemoteProblem: The service refuses it.
        """
        # In ASCII: JSON can say half a surrogate pair, which UTF-8 cannot.
        body = json.dumps({**fields, "text": text}).encode("ascii")
        json_type = {"content-type": "application/json"}
        return await self._call("POST", "/v1/documents", content=body, headers=json_type, params={"dry_run": dry_run})

    async def documents(self, collection: str) -> AsyncIterator[dict[str, Any]]:
        """All documents of a collection."""
        params: dict[str, Any] = {"collection": collection, "limit": 200}
        while True:
            page = await self._call("GET", "/v1/documents", params=params)
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    async def remove(self, document_id: str) -> None:
        """Delete a document."""
        await self._call("DELETE", f"/v1/documents/{document_id}")

    async def approvals(self, status: str | None) -> list[dict[str, Any]]:
        """All approvals that stand so, or all of them."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 200} | ({"status": status} if status else {})
        while True:
            page = await self._call("GET", "/v1/approvals", params=params)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            params["cursor"] = page["next_cursor"]

    async def approval(self, approval_id: str) -> dict[str, Any]:
        """An approval with what led to it."""
        found: dict[str, Any] = await self._call("GET", f"/v1/approvals/{quote(approval_id, safe='')}")
        return found

    async def decide(self, approval_id: str, decision: dict[str, Any]) -> dict[str, Any]:
        """Decide an approval; gives it as it then stands.

        Raises:
            RemoteProblem: It was decided before, or must not be decided so.
        """
        path = f"/v1/approvals/{quote(approval_id, safe='')}"
        decided: dict[str, Any] = await self._call("POST", path, json=decision)
        return decided

    async def runs(self, status: str | None, limit: int, *, dead: bool = False) -> list[dict[str, Any]]:
        """The last runs, the newest first; those that stand so, or were given up."""
        params: dict[str, Any] = {"limit": limit, "dead": dead} | ({"status": status} if status else {})
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/runs", params=params))["items"]
        return found

    async def run(self, run_id: str) -> dict[str, Any]:
        """A run and what it has come to so far."""
        found: dict[str, Any] = await self._call("GET", f"/v1/runs/{quote(run_id, safe='')}")
        return found

    async def lanes(self) -> list[dict[str, Any]]:
        """How full the lanes are."""
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/lanes"))["items"]
        return found

    async def retry(self, run_id: str, *, force: bool) -> dict[str, Any]:
        """Start a run anew; gives the new one.

        Raises:
            RemoteProblem: It has not failed, or it has acted and may not act again.
        """
        retried: dict[str, Any] = await self._call(
            "POST", f"/v1/runs/{quote(run_id, safe='')}/retry", json={"force": force}
        )
        return retried

    async def cancel(self, run_id: str, reason: str) -> None:
        """Stop a run.

        Raises:
            RemoteProblem: It has ended, or there is none.
        """
        await self._call("POST", f"/v1/runs/{quote(run_id, safe='')}/cancel", json={"reason": reason})

    async def memory(self, method: str, path: str = "", **request: Any) -> Any:
        """What the service answers about long-term memory.

        Raises:
            RemoteProblem: It refuses.
        """
        return await self._call(method, f"/v1/memory{path}", **request)

    async def exported_memory(self) -> list[str]:
        """All that is remembered, a line of JSON each."""
        return (await self._response("GET", "/v1/memory/export")).text.split("\n")[:-1]

    async def cache(self, method: str, path: str = "", **request: Any) -> Any:
        """What the service answers about the cache of answers.

        Raises:
            RemoteProblem: It refuses.
        """
        return await self._call(method, f"/v1/cache{path}", **request)

    async def sessions(self, method: str, session_id: str = "", **request: Any) -> Any:
        """What the service answers about sessions, or about this one.

        Raises:
            RemoteProblem: It refuses.
        """
        return await self._call(method, f"/v1/sessions{_below(session_id)}", **request)

    async def exported_session(self, session_id: str) -> str:
        """All that is kept of a session, as JSON."""
        return (await self._response("GET", f"/v1/sessions{_below(session_id)}/export")).text

    async def _call(self, method: str, path: str, **request: Any) -> Any:
        response = await self._response(method, path, **request)
        return response.json() if response.content else None

    async def _response(self, method: str, path: str, **request: Any) -> "httpx.Response":
        import httpx

        try:
            response = await self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise CommandError(
                f"the service at {self.url} does not answer ({error or type(error).__name__})"
            ) from error
        if response.is_success:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise CommandError(f"the service at {self.url} wants an API key that is good there: set CAIRN_API_KEY")
        raise RemoteProblem(problem.get("code", "http_error"), problem.get("detail", f"HTTP {response.status_code}"))


def _below(name: str) -> str:
    return f"/{quote(name, safe='')}" if name else ""


class RemoteProblem(CommandError):
    """The service answered with a problem."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def ask(data_dir: Path | None, action: Callable[[Remote], Awaitable[T]]) -> T:
    """What the running service says.

    Raises:
        CommandError: None is running, or it refuses.
    """
    settings = load_settings(data_dir=data_dir)

    async def asking() -> T:
        service = await Remote.find(settings)
        if service is None:
            raise CommandError(f"no service is running over {settings.data_dir}; start it with `cairn serve`")
        async with service:
            return await action(service)

    return asyncio.run(asking())
