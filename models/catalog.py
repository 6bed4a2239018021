"""From a name such as ``openai:gpt-4.1`` to a model that answers."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, SecretStr

from models.errors import Permanent
from models.openai import OpenAIModel
from models.openai_server import DEFAULT_BASE_URL, OpenAIServer, Timeouts
from models.port import ChatModel

EXTRACTIVE = "extractive"
_log = logging.getLogger(__name__)

CONTEXT_TOKENS: tuple[tuple[str, int], ...] = (
    ("gpt-5", 272_000),
    ("gpt-4.1", 1_000_000),
    ("gpt-4o", 128_000),
    ("gpt-4-turbo", 128_000),
    ("gpt-3.5-turbo", 16_000),
    ("o1", 128_000),
    ("o3", 200_000),
    ("o4", 200_000),
    ("claude-", 200_000),
    ("gemini-", 1_000_000),
)
"""Context windows by the beginning of a model's name, as their providers published them."""

_NO_CHAT = re.compile(r"embed|rerank|whisper|tts|\bbge-", re.IGNORECASE)
"""Models that servers list beside the ones that chat."""

DEFAULT_CONTEXT_TOKENS = 8192
"""For a model that is not in the table: most servers of open models give at least this."""


class ModelSettings(BaseModel):
    """What the service was configured with; read from the environment by the service alone.

    Attributes:
        context_tokens: The context window of whatever model is opened; the table decides when None.
        connect_timeout: Seconds for the connection.
        first_byte_timeout: Seconds from a request to the first byte of its answer.
        idle_timeout: Seconds between two pieces of an answer.
        logprobs: Ask servers how likely the tokens of tool calls were.
    """

    model_config = ConfigDict(frozen=True)

    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_model: str = "gpt-4.1-mini"
    anthropic_api_key: SecretStr | None = None
    anthropic_model: str = "claude-sonnet-4-5"
    context_tokens: PositiveInt | None = None
    connect_timeout: PositiveFloat = 10.0
    first_byte_timeout: PositiveFloat = 120.0
    idle_timeout: PositiveFloat = 60.0
    max_connections: PositiveInt = 1024
    logprobs: bool = False

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(connect=self.connect_timeout, first_byte=self.first_byte_timeout, idle=self.idle_timeout)


async def open_model(name: str | None, settings: ModelSettings, *, extractive: Callable[[], ChatModel]) -> ChatModel:
    """The model called ``name``, or without a name the first provider that is configured, else the built-in one.

    ``extractive`` is the built-in model, ``openai:NAME`` a model of OpenAI or of the server at ``openai_base_url``,
    and any other ``provider:NAME`` goes through LangChain. A server of one's own is asked for its first chat model when
    no name is given; otherwise nothing is sent.

    Args:
        name: As given to ``--model``.
        settings: Keys, base URL, time-outs.
        extractive: Makes the built-in model.

    Raises:
        ModelError: There is no such model, its package or key is missing, or the server asked cannot be reached.
    """
    if name is None or not name.strip():
        return await _first_configured(settings, extractive)
    provider, _, model = name.strip().partition(":")
    if name.strip() == EXTRACTIVE:
        return extractive()
    if not model or not provider:
        msg = (
            f"there is no model {name!r}; use 'extractive', 'openai:NAME' (any OpenAI-compatible server), or "
            "'provider:NAME' with a provider of LangChain: anthropic, ollama, google_genai, mistralai, groq, bedrock …"
        )
        raise Permanent(msg)
    if provider == "openai":
        return _openai(model, settings)
    return await _langchain(provider, model, settings)


def context_tokens(model: str, settings: ModelSettings) -> int:
    """The context window of ``model`` (its name without the provider)."""
    if settings.context_tokens is not None:
        return settings.context_tokens
    return next((tokens for start, tokens in CONTEXT_TOKENS if model.startswith(start)), DEFAULT_CONTEXT_TOKENS)


async def _first_configured(settings: ModelSettings, extractive: Callable[[], ChatModel]) -> ChatModel:
    if settings.openai_base_url and settings.openai_base_url.rstrip("/") != DEFAULT_BASE_URL:
        return _openai(await _first_served(settings.openai_base_url, settings), settings)
    if settings.openai_api_key and settings.openai_api_key.get_secret_value().strip():
        return _openai(settings.openai_model, settings)
    if settings.anthropic_api_key and settings.anthropic_api_key.get_secret_value().strip():
        try:
            return await _langchain("anthropic", settings.anthropic_model, settings)
        except Permanent as error:
            # A key lying about in the environment must not keep the service from starting.
            _log.warning("%s; answering with the built-in model 'extractive' instead", error)
    return extractive()


async def _first_served(base_url: str, settings: ModelSettings) -> str:
    server = OpenAIServer(base_url, settings.openai_api_key, settings.timeouts, max_connections=1)
    try:
        names = await server.list_models()
        return next((name for name in names if not _NO_CHAT.search(name)), names[0])
    finally:
        await server.aclose()


def _openai(model: str, settings: ModelSettings) -> ChatModel:
    return OpenAIModel(
        model,
        base_url=settings.openai_base_url or DEFAULT_BASE_URL,
        api_key=settings.openai_api_key,
        context_tokens=context_tokens(model, settings),
        timeouts=settings.timeouts,
        max_connections=settings.max_connections,
        logprobs=settings.logprobs,
    )


async def _langchain(provider: str, model: str, settings: ModelSettings) -> ChatModel:
    options: dict[str, Any] = {}
    if provider == "anthropic" and settings.anthropic_api_key is not None:
        options["api_key"] = settings.anthropic_api_key.get_secret_value()

    def make() -> ChatModel:
        from models.langchain import LangChainModel, init_langchain

        return LangChainModel(
            init_langchain(provider, model, **options),
            name=f"{provider}:{model}",
            context_tokens=context_tokens(model, settings),
            remote=provider != "ollama",
            timeouts=settings.timeouts,
        )

    return await asyncio.to_thread(make)
