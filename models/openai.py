"""Any server that speaks the OpenAI chat API: OpenAI, vLLM, Ollama, llama.cpp, LM Studio and many more."""

from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
from pydantic import SecretStr

from models.errors import OutputRejected, Transient
from models.http_errors import malformed
from models.messages import ModelItem, ModelRequest
from models.openai_reply import Reply
from models.openai_server import DEFAULT_BASE_URL, OpenAIServer, RefusedError, Timeouts
from models.port import ModelInfo
from models.prompt import render, render_tools
from models.sse import EventTooLargeError, SSEParser

_COMPLAINTS = {
    "stream_options": "stream_options",
    "max_tokens": "max_completion_tokens",
    "temperature": "support",
    "logprobs": "logprobs",
}
"""What a server's refusal says when it does not know the parameter, rather than dislike its value."""


class OpenAIModel:
    """A streaming client of one model, with a connection pool of its own.

    It never retries a failed call. A request is sent again at once only without a parameter that the server says it
    does not know (``stream_options``, ``max_tokens``, ``temperature``, ``logprobs``); the server's taste is then
    remembered.

    Args:
        model: The name that the server knows.
        api_key: Sent as a bearer token; local servers need none.
        context_tokens: How many tokens question and answer may have together.
        max_connections: The most calls at one time; more wait.
        logprobs: Ask how likely the tokens of tool calls were, for ``ToolCall.confidence``. Some servers tell that of
            text alone, or refuse it together with tools.

    Raises:
        Permanent: The base URL is no http(s) URL.
        Authentication: The key cannot be sent in a header.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = DEFAULT_BASE_URL,
        api_key: SecretStr | None = None,
        context_tokens: int = 8192,
        timeouts: Timeouts | None = None,
        max_connections: int = 1024,
        logprobs: bool = False,
    ) -> None:
        self._model = model
        self._logprobs = logprobs
        self._server = OpenAIServer(base_url, api_key, timeouts or Timeouts(), max_connections)
        self._unknown: frozenset[str] = frozenset()
        self.info = ModelInfo(name=f"openai:{model}", context_tokens=context_tokens, remote=not self._server.local)

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={self._server.url!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        response, chunk = await self._open(request)
        reply = Reply(self._server.url)
        parser = SSEParser()
        try:
            while chunk and not reply.done:
                for data in self._feed(parser, chunk):
                    text = reply.add(data)
                    if text:
                        yield text
                if not reply.done:
                    chunk = await self._server.read(response)
            for data in () if reply.done else parser.close():
                text = reply.add(data)
                if text:
                    yield text
            self._require_complete(reply)
            await self._server.drain(response)
            for call in reply.calls():
                yield call
            yield reply.finish()
        finally:
            # Only a connection that was read to its end went back to the pool; any other is closed here, at once.
            response.close()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _open(self, request: ModelRequest) -> tuple[aiohttp.ClientResponse, bytes]:
        while True:
            unknown = self._unknown
            try:
                return await self._server.post("chat/completions", self._payload(request, unknown))
            except RefusedError as refused:
                parameter = _unknown_parameter(refused, unknown)
                if parameter is None:
                    raise refused.error from None
                self._unknown |= {parameter}

    def _payload(self, request: ModelRequest, unknown: frozenset[str]) -> dict[str, Any]:
        payload: dict[str, Any] = {"model": self._model, "messages": render(request), "stream": True}
        if request.tools:
            payload["tools"] = render_tools(request)
            if self._logprobs and "logprobs" not in unknown:
                payload["logprobs"] = True
        if request.max_tokens is not None:
            payload["max_completion_tokens" if "max_tokens" in unknown else "max_tokens"] = request.max_tokens
        if request.temperature is not None and "temperature" not in unknown:
            payload["temperature"] = request.temperature
        if "stream_options" not in unknown:
            payload["stream_options"] = {"include_usage": True}
        return payload

    def _feed(self, parser: SSEParser, chunk: bytes) -> list[bytes]:
        try:
            return parser.feed(chunk)
        except EventTooLargeError as error:
            raise malformed(self._server.url, f"no events: {error}") from error

    def _require_complete(self, reply: Reply) -> None:
        if reply.reason == "content_filter" and not reply.wrote:
            msg = f"{self._server.url} withheld the answer: its content filter matched"
            raise OutputRejected(msg)
        if not reply.done and reply.reason is None:
            msg = f"{self._server.url} ended the stream before the answer was complete"
            raise Transient(msg)


def _unknown_parameter(refused: RefusedError, left_out: frozenset[str]) -> str | None:
    """The parameter that the server does not know and that was sent."""
    text = refused.body.decode(errors="replace").lower()
    if refused.status == 500:  # as older versions of llama.cpp say it
        return "logprobs" if "logprobs is not supported" in text and "logprobs" not in left_out else None
    if refused.status not in (400, 403, 422):
        return None
    for parameter, complaint in _COMPLAINTS.items():
        if parameter in text and complaint in text and parameter not in left_out:
            return parameter
    return None
