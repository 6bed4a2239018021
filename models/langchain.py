"""Any LangChain chat model behind the port. Only this file and what it imports need LangChain."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import orjson
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langsmith import tracing_context

from models.confidence import TokenLogprob, token_logprobs, typical
from models.errors import (
    Authentication,
    InvalidRequest,
    ModelError,
    ModelTimeout,
    OutputRejected,
    Permanent,
    RateLimited,
    Transient,
)
from models.http_errors import error_for_status
from models.messages import Finish, FinishReason, ModelItem, ModelRequest, Usage
from models.openai_server import Timeouts
from models.port import ModelInfo
from models.prompt import render, render_tools
from models.tool_calls import ToolCallAssembler

_EXTRAS = {"openai": "openai", "anthropic": "anthropic", "ollama": "ollama"}
_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}
_PARAMETERS: dict[str, Mapping[str, str]] = {
    "google_genai": {"max_tokens": "max_output_tokens", "temperature": "temperature"},
    "google_vertexai": {"max_tokens": "max_output_tokens", "temperature": "temperature"},
    "ollama": {},
}
_USUAL_PARAMETERS = {"max_tokens": "max_tokens", "temperature": "temperature"}
_KINDS: tuple[tuple[str, type[ModelError]], ...] = (
    ("timeout", ModelTimeout),
    ("ratelimit", RateLimited),
    ("authentication", Authentication),
    ("permission", Authentication),
    ("connect", Transient),
    ("remoteprotocol", Transient),
    ("readerror", Transient),
    ("contentfilter", OutputRejected),
    ("contextoverflow", InvalidRequest),
)
"""Parts of the class names that the vendors' SDKs and httpx give to errors without an HTTP status."""

_Chunks = asyncio.Queue[AIMessage | ModelError | None]
_AHEAD = 64
_CANCEL_TRIES = 20
_CANCEL_SECONDS = 0.1


class LangChainModel:
    """A LangChain chat model as a ChatModel. Nothing of its calls is sent to LangSmith, whatever the environment says.

    Args:
        model: The chat model; its own retries should be off, see ``init_langchain``.
        name: ``provider:model``.
        context_tokens: How many tokens question and answer may have together.
    """

    def __init__(
        self,
        model: BaseChatModel,
        *,
        name: str,
        context_tokens: int = 8192,
        remote: bool = True,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.info = ModelInfo(name=name, context_tokens=context_tokens, remote=remote)
        self._model = model
        self._timeouts = timeouts or Timeouts()
        self._parameters = _PARAMETERS.get(name.partition(":")[0], _USUAL_PARAMETERS)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        reply = _Reply()
        chunks: _Chunks = asyncio.Queue(maxsize=_AHEAD)
        pump = asyncio.create_task(self._pump(request, chunks))
        seconds = self._timeouts.first_byte
        try:
            while (chunk := await self._next(chunks, seconds)) is not None:
                text = reply.add(chunk)
                if text:
                    yield text
                seconds = self._timeouts.idle
        finally:
            await _stop(pump)
        for call in reply.calls.complete():
            yield call
        yield reply.finish()

    async def aclose(self) -> None:
        """LangChain's models share and close their clients themselves."""

    async def _pump(self, request: ModelRequest, chunks: "_Chunks") -> None:
        # In a task of its own, for two reasons: tracing is switched off by a context variable, which must not leak to
        # the caller between items; and the vendors' clients lose a cancellation that comes with the response's head,
        # so it must be possible to cancel them again.
        try:
            with tracing_context(enabled=False):
                async with aclosing(self._start(request)) as streamed:
                    async for chunk in streamed:
                        await chunks.put(chunk)
            await chunks.put(None)
        except Exception as error:  # noqa: BLE001 - every vendor raises its own
            translated = translate(error, self.info.name)
            translated.__cause__ = error
            await chunks.put(translated)

    def _start(self, request: ModelRequest) -> AsyncGenerator[AIMessage, None]:
        runnable = self._model.bind_tools(render_tools(request)) if request.tools else self._model
        wanted = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        given = {key: value for key, value in wanted.items() if value is not None and key in self._parameters}
        options: Any = {self._parameters[key]: value for key, value in given.items()}
        return cast("AsyncGenerator[AIMessage, None]", runnable.astream(render(request), **options))

    async def _next(self, chunks: "_Chunks", seconds: float) -> AIMessage | None:
        try:
            async with asyncio.timeout(seconds):
                chunk = await chunks.get()
        except TimeoutError as error:
            msg = f"{self.info.name} sent nothing for {seconds:g} s. Is the provider overloaded?"
            raise ModelTimeout(msg) from error
        if isinstance(chunk, ModelError):
            raise chunk
        return chunk


async def _stop(pump: asyncio.Task[None]) -> None:
    for _ in range(_CANCEL_TRIES):
        if pump.done():
            return
        pump.cancel()
        await asyncio.wait({pump}, timeout=_CANCEL_SECONDS)


def init_langchain(provider: str, model: str, **options: Any) -> BaseChatModel:
    """The chat model that LangChain knows as ``provider:model``, without retries of its own.

    Imports the provider's package, which takes up to seconds: call it in a thread.

    Raises:
        Permanent: The provider is unknown, or its package is not installed; the message names what to install.
        Authentication: The provider's key is missing.
    """
    from langchain.chat_models import init_chat_model

    name = f"{provider}:{model}"
    if provider != "ollama":
        options = {"max_retries": 0, **options}
    try:
        return cast("BaseChatModel", init_chat_model(model, model_provider=provider, **options))
    except ImportError as error:
        extra = _EXTRAS.get(provider)
        package = f"cairn[{extra}]" if extra else f"langchain-{provider.replace('_', '-')}"
        msg = f"{name} needs a package that is not installed: pip install '{package}'"
        raise Permanent(msg) from error
    except Exception as error:
        if "api_key" in str(error).lower() or "api key" in str(error).lower():
            msg = f"{name} needs an API key; set it in the variable that the provider's SDK reads"
            raise Authentication(msg) from error
        if isinstance(error, ValueError):
            msg = f"no model {name}: {str(error).splitlines()[0]}"
            raise Permanent(msg) from error
        raise translate(error, name) from error


def translate(error: Exception, name: str) -> ModelError:
    """The ModelError that an exception of LangChain or of a vendor's SDK stands for."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int) and status >= 300:
        headers = getattr(getattr(error, "response", None), "headers", {})
        body = getattr(error, "body", None) or str(error)
        encoded = orjson.dumps({"error": body}, default=str)
        return error_for_status(status, encoded, headers, name)
    cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    names = "".join(kind.__name__ for kind in type(error).__mro__).lower()
    if "No generation chunks" in cause:
        return Transient(f"{name} ended the stream without an answer ({cause[:300]})")
    for part, kind in _KINDS:
        if part in names:
            return kind(f"{name} failed ({cause[:300]})")
    return Permanent(f"{name} failed ({cause[:300]})")


class _Reply:
    """What the chunks of an answer add up to."""

    def __init__(self) -> None:
        self.calls = ToolCallAssembler()
        self._usage = Usage()
        self._reason = ""
        self._said: list[str] = []
        self._tokens: list[TokenLogprob] = []

    def add(self, chunk: AIMessage) -> str:
        pieces = getattr(chunk, "tool_call_chunks", None)
        if pieces is None:
            # A model that cannot stream gives one whole message.
            pieces = [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in chunk.tool_calls]
        logprobs = token_logprobs(chunk.response_metadata.get("logprobs"))
        self._tokens += logprobs
        for piece in pieces:
            self.calls.add(
                piece.get("args"),
                index=piece.get("index"),
                identity=piece.get("id"),
                name=piece.get("name"),
                logprobs=logprobs,
            )
        used = chunk.usage_metadata
        if used:
            self._usage += Usage(input_tokens=used["input_tokens"], output_tokens=used["output_tokens"])
        said = chunk.response_metadata
        reason = said.get("finish_reason") or said.get("stop_reason") or said.get("done_reason")
        self._reason = str(reason).lower() if reason else self._reason
        text = str(chunk.text)
        self._said.append(text)
        return text

    def finish(self) -> Finish:
        reason: FinishReason = "tool_calls" if self.calls else _REASONS.get(self._reason, "stop")
        confidence = typical("".join(self._said), self._tokens) if self._tokens else None
        return Finish(reason=reason, usage=self._usage, confidence=confidence)
