"""The connection to a server that speaks the OpenAI API: one bounded pool, time-outs, and failures in our own words."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from pydantic import SecretStr
from yarl import URL

from models.errors import Authentication, InvalidRequest, ModelError, ModelTimeout, Permanent, Transient
from models.http_errors import describe, error_for_status, malformed

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_MAX_REFUSAL = 64 * 1024
_MAX_LIST = 16 * 1024 * 1024
_DRAIN_SECONDS = 0.05
_SECRET_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to wait.

    Attributes:
        connect: For the connection.
        first_byte: From sending the request to the first byte of the answer, waiting for a free connection included.
        idle: Between two pieces of the answer.
    """

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0


class RefusedError(Exception):
    """The server answered, but with no stream. ``error`` says so in the port's words."""

    def __init__(self, status: int, body: bytes, error: ModelError) -> None:
        super().__init__(str(error))
        self.status = status
        self.body = body
        self.error = error


class OpenAIServer:
    """Requests to one server. The pool of connections opens with the first request. Nothing is ever retried.

    Attributes:
        url: The base URL as it may be shown: without credentials and query.
        local: Whether the server runs on this machine.

    Raises:
        Permanent: The base URL is no http(s) URL.
        Authentication: The key cannot be sent in a header.
    """

    def __init__(self, base_url: str, api_key: SecretStr | None, timeouts: Timeouts, max_connections: int) -> None:
        self._base = _base(base_url)
        self.url = str(self._base.with_user(None).with_query(None))
        self.local = self._base.host in ("localhost", "127.0.0.1", "::1")
        self._key = _checked(api_key)
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(self, path: str, payload: Mapping[str, Any]) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send ``payload`` and return the response, still streaming, with its first bytes. The caller closes it.

        Raises:
            RefusedError: The answer is an error, or is no stream.
            ModelError: The server cannot be reached, or sends nothing in time.
        """
        try:
            body = orjson.dumps(payload)
        except TypeError as error:
            msg = f"the request is no valid JSON: {error}"
            raise InvalidRequest(msg) from error
        async with self._answer_in_time():
            response = await self._send("POST", path, body)
            try:
                if response.status != 200 or response.content_type == "application/json":
                    raise await self._refusal(response)
                return response, await response.content.readany()
            except BaseException:
                response.close()
                raise

    async def list_models(self) -> list[str]:
        """The names of the models that the server offers, at least one.

        Raises:
            ModelError: It cannot be reached, refuses, or names none.
        """
        async with self._answer_in_time():
            response = await self._send("GET", "models", None)
            try:
                body = await _body(response, _MAX_LIST)
            finally:
                response.close()
        if response.status != 200:
            raise error_for_status(response.status, self._without_key(body), response.headers, self.url)
        try:
            names = [str(entry["id"]) for entry in orjson.loads(body)["data"]]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise malformed(self.url, "no list of models", body) from error
        if not names:
            msg = f"{self.url} offers no model; load one there, or name one with --model openai:NAME"
            raise Permanent(msg)
        return names

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The next bytes of a streaming response; empty at its end.

        Raises:
            ModelTimeout: Nothing came for the idle time.
            Transient: The connection broke.
        """
        waiting = response.content.read_nowait()
        if waiting:
            return waiting
        try:
            async with asyncio.timeout(self._timeouts.idle):
                return await response.content.readany()
        except TimeoutError as error:
            msg = f"{self.url} stopped in the middle of an answer and sent nothing for {self._timeouts.idle:g} s"
            raise ModelTimeout(msg) from error
        except (aiohttp.ClientError, OSError) as error:
            msg = f"{self.url} broke the connection in the middle of an answer ({error or type(error).__name__})"
            raise Transient(msg) from error

    async def drain(self, response: aiohttp.ClientResponse) -> None:
        """Read the end of a finished response, which mostly is there already, so that its connection is reused."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            response.close()

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _send(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        url = self._base.with_path(f"{self._base.path.rstrip('/')}/{path}", keep_query=True)
        return await self._connected().request(method, url, data=body, allow_redirects=False)

    def _connected(self) -> aiohttp.ClientSession:
        if self._closed:
            msg = f"the client of {self.url} is closed"
            raise Permanent(msg)
        if self._session is None:
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "cairn"}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> RefusedError:
        body = self._without_key(await _body(response, _MAX_REFUSAL))
        if response.status != 200:
            return RefusedError(
                response.status, body, error_for_status(response.status, body, response.headers, self.url)
            )
        message, codes = describe(body)
        if codes or b'"error"' in body:
            return RefusedError(200, body, error_for_status(500, body, response.headers, self.url))
        return RefusedError(200, body, malformed(self.url, "JSON instead of a stream", message.encode()))

    def _without_key(self, body: bytes) -> bytes:
        key = self._key.get_secret_value().encode() if self._key is not None else b""
        # Local servers take any word as a key; a short one is no secret, but part of other words.
        return body.replace(key, "…".encode()) if len(key) >= _SECRET_LENGTH else body

    @asynccontextmanager
    async def _answer_in_time(self) -> AsyncIterator[None]:
        """A time limit, and every failure to get an answer as a ModelError."""
        try:
            async with asyncio.timeout(self._timeouts.first_byte):
                yield
        except TimeoutError as error:
            raise self._timed_out(error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    def _timed_out(self, error: TimeoutError) -> ModelError:
        if isinstance(error, aiohttp.ServerTimeoutError):
            waited = f"{self._timeouts.connect:g} s"
            return ModelTimeout(f"{self.url} took no connection for {waited}. Is the base URL right?")
        return ModelTimeout(f"{self.url} sent nothing for {self._timeouts.first_byte:g} s. Is the server overloaded?")

    def _unreachable(self, error: aiohttp.ClientError | OSError) -> ModelError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return Permanent(f"{self.url} has a certificate that is not trusted: {error.certificate_error}")
        if isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno or 0
            reason = os.strerror(number) if number > 0 else error.os_error.strerror or error.os_error
            return Transient(f"cannot reach {self.url} ({reason}). Is the server running, and the base URL right?")
        return Transient(f"{self.url} broke the connection before it answered ({error or type(error).__name__})")


def _base(base_url: str) -> URL:
    try:
        url = URL(base_url.strip())
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        msg = f"the base URL {base_url!r} is no http(s) URL; it should look like {DEFAULT_BASE_URL}"
        raise Permanent(msg)
    return url


def _checked(key: SecretStr | None) -> SecretStr | None:
    """The key without the white space that copying adds; None when nothing is left."""
    text = key.get_secret_value().strip() if key is not None else ""
    if not all("!" <= character <= "~" for character in text):
        msg = "the API key has characters that no key has; copy it again"
        raise Authentication(msg)
    return SecretStr(text) if text else None


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (chunk := await response.content.readany()):
        body += chunk
    return bytes(body)
