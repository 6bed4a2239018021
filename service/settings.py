"""Settings: read once, frozen, handed down. The only place that reads the environment.

Sources, the first wins: arguments of the command line, ``CAIRN_…`` variables, ``cairn.toml`` in the working directory.
Nested fields take two underscores (``CAIRN_LIMITS__SECONDS=60``).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agent.queue.lanes import LANES, Lane, LaneLimits
from agent.state import Limits
from agent.webhooks.endpoints import Endpoint
from memory.records import Kind
from models.catalog import ModelSettings
from retrieval.cache.answers import CacheSettings as AnswerCacheSettings
from service.mcp.settings import McpSettings
from tools.policy import Rule
from tools.selection import TOOLS_SHOWN

if TYPE_CHECKING:
    from tools.mcp import McpServer

CONFIG_FILE = "cairn.toml"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitSettings(_Frozen):
    """The most that a run may use."""

    model_calls: int = Field(default=8, ge=1)
    tool_calls: int = Field(default=16, ge=0)
    tokens: int = Field(default=200_000, ge=1)
    seconds: float = Field(default=300.0, gt=0)

    def limits(self) -> Limits:
        """The same, as the loop takes it."""
        return Limits(
            model_calls=self.model_calls, tool_calls=self.tool_calls, tokens=self.tokens, seconds=self.seconds
        )


class RetrievalSettings(_Frozen):
    """How documents are embedded, kept and found."""

    embedder: str = "all-MiniLM-L6-v2"
    language: str = "english"
    sources: int = Field(default=6, ge=1, le=50)
    reranker: str | None = None
    qdrant_url: str | None = None
    qdrant_api_key: SecretStr | None = None
    threads: int = Field(default=0, ge=0, description="Threads of the embedder; 0 takes all cores.")

    @property
    def cores(self) -> int:
        """The embedder's threads, counted."""
        return self.threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class IngestionSettings(_Frozen):
    """What a document may cost."""

    max_bytes: int = Field(default=100 * 2**20, ge=1)
    parse_seconds: float = Field(default=60.0, gt=0)
    parse_memory_mb: int = Field(default=2048, ge=256)
    workers: int = Field(default=1, ge=1, le=16)


class HttpSettings(_Frozen):
    """What a request may cost."""

    max_message_chars: int = Field(default=32_000, ge=1)
    max_body_bytes: int = Field(default=110 * 2**20, ge=1)
    heartbeat_seconds: float = Field(default=15.0, gt=0)


class LaneSettings(_Frozen):
    """How many runs go on at once in a process, how many may wait for that, and how long batch runs stand back.

    Of the queue that several processes share, each takes up the runs of the lanes that it is to ``take``.
    """

    interactive: int = Field(default=1000, ge=1)
    batch: int = Field(default=4, ge=1)
    queue: int = Field(default=1000, ge=1)
    promote_seconds: float = Field(default=60.0, ge=0)
    take: tuple[Lane, ...] = LANES

    def limits(self) -> LaneLimits:
        """The same, as the lanes take it."""
        return LaneLimits(**self.model_dump())


class ApprovalSettings(_Frozen):
    """How long a person may take to decide; how long before that somebody is reminded, or after half of the time."""

    expire_seconds: float = Field(default=7 * 86_400.0, gt=0)
    remind_seconds: float = Field(default=86_400.0, gt=0)


class AutonomySettings(_Frozen):
    """How often a tool with an effect may go wrong by itself: so many of its last calls. Then it has to ask."""

    window: int = Field(default=20, ge=1, le=100)
    wrong: int = Field(default=5, ge=0)


class CacheSettings(_Frozen):
    """When an answer that was given before is given again.

    Attributes:
        max_error: The share of wrong answers among those given again that must not be exceeded.
        shadow: The share of answers to be given again that are made afresh instead, and compared.
        ttl_days: How long an answer may be given again.
        max_entries: Answers kept for a tenant.
        trusted_only: Whether an answer is kept only when all of its sources are trusted.
    """

    enabled: bool = True
    max_error: float = Field(default=0.01, gt=0, lt=1)
    shadow: float = Field(default=0.05, ge=0, le=1)
    ttl_days: float = Field(default=30.0, gt=0)
    max_entries: int = Field(default=100_000, ge=1)
    trusted_only: bool = True

    def cache(self) -> AnswerCacheSettings:
        """The same, as the cache takes it."""
        given = self.model_dump(exclude={"ttl_days"})
        return AnswerCacheSettings(**given, ttl=timedelta(days=self.ttl_days))


class MemorySettings(_Frozen):
    """What is remembered of whoever asks, and how much of it a model is shown.

    Attributes:
        recall_tokens: The most that a model is shown; 0 for nothing.
        learn: What reads in conversations what is worth remembering: ``patterns``, a ``model`` besides, or nothing.
        tools: Whether one may ask in chat what is remembered, have something remembered, and have it forgotten.
        schemas: What the value of a kind must look like, as ``module:Model``, a pydantic model.
        authoritative: Of each tool that asks a system of record for whoever asks, the slots that it knows better than
            any memory, and where in its result each stands.
    """

    recall_tokens: int = Field(default=600, ge=0)
    learn: Literal["patterns", "model", "off"] = "patterns"
    tools: bool = True
    schemas: Mapping[Kind, str] = Field(default_factory=dict)
    authoritative: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)


class SessionSettings(_Frozen):
    """How long sessions are kept that nobody uses: so many days, or until they are deleted."""

    ttl_days: float | None = Field(default=None, gt=0)


class ModelOptions(_Frozen):
    """How models are spoken to; seconds. ``context_tokens`` overrides what is known of the model.

    ``logprobs`` asks servers how likely the tokens of tool calls were, for policies that depend on it.
    """

    context_tokens: int | None = Field(default=None, ge=1)
    connect_timeout: float = Field(default=10.0, gt=0)
    first_byte_timeout: float = Field(default=120.0, gt=0)
    idle_timeout: float = Field(default=60.0, gt=0)
    max_connections: int = Field(default=1024, ge=1)
    logprobs: bool = False


class Settings(BaseSettings):
    """Everything that an operator may set."""

    model_config = SettingsConfigDict(
        env_prefix="CAIRN_", env_nested_delimiter="__", toml_file=CONFIG_FILE, frozen=True, extra="forbid"
    )

    data_dir: Path = Path(".cairn")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str | None = None
    redis_url: SecretStr | None = Field(default=None, description="Live events, where several processes serve.")
    service_url: str | None = Field(default=None, description="For commands: the service to use in place of a folder.")
    api_key: SecretStr | None = Field(default=None, description="For commands: what that service knows you by.")
    collection: str = "default"
    hand_over: bool = Field(default=False, description="Offer the agent the tool that hands over to a person.")
    hand_over_below: float | None = Field(
        default=None, gt=0, le=1, description="A person replies where the model is less sure of its answer than this."
    )
    model: str | None = None
    models: tuple[str, ...] = Field(default=(), description="Further models that a request may name.")
    model_options: ModelOptions = ModelOptions()
    tools: tuple[str, ...] = ()
    mcp: tuple[McpSettings, ...] = Field(default=(), description="MCP servers whose tools the agent may call.")
    mcp_server: bool = Field(default=False, description="Serve the tools to MCP clients, at /mcp.")
    mcp_sessions: int = Field(
        default=1000,
        ge=1,
        description="Sessions of MCP clients of the older revisions; idle ones give way to new ones.",
    )
    tools_shown: int = Field(
        default=TOOLS_SHOWN, ge=1, description="Tools that a question is shown, if there are more."
    )
    secret: SecretStr | None = Field(default=None, description="Signs approvals; made in the data folder if absent.")
    policy: tuple[Rule, ...] = Field(default=(), description="What tools may do by themselves; the first match holds.")
    webhooks: tuple[Endpoint, ...] = Field(default=(), description="Who is told what became of runs.")
    history_tokens: int = Field(default=4000, ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    limits: LimitSettings = LimitSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    ingestion: IngestionSettings = IngestionSettings()
    http: HttpSettings = HttpSettings()
    lanes: LaneSettings = LaneSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    autonomy: AutonomySettings = AutonomySettings()
    memory: MemorySettings = MemorySettings()
    sessions: SessionSettings = SessionSettings()
    cache: CacheSettings = CacheSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    def mcp_servers(self) -> "list[McpServer]":
        """The MCP servers whose tools the agent may call.

        Raises:
            ToolLoadingError: A variable that one of them needs is not set.
        """
        return [each.server(os.environ) for each in self.mcp]

    @property
    def records_url(self) -> str:
        """Where the database is: the one that was set, else SQLite in the data folder."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'cairn.db'}"

    @property
    def on_postgres(self) -> bool:
        """Whether the database is a server, which other processes may work on, too."""
        return self.database_url is not None and not self.database_url.startswith("sqlite")

    @property
    def alone(self) -> bool:
        """Whether this process has its stores for itself, as with any that lies in the data folder."""
        return not self.on_postgres or self.retrieval.qdrant_url is None

    def config_version(self, **effective: Any) -> str:
        """A short hash of what shapes an answer: these settings and what was chosen from them."""
        shaping = self.model_dump(
            mode="json",
            include={"limits", "retrieval", "history_tokens", "collection", "policy", "tools_shown", "hand_over_below"},
        )
        text = json.dumps(shaping | effective, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class ProviderSettings(BaseSettings):
    """The providers' own variables, as their SDKs read them."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")

    def with_options(self, options: ModelOptions) -> ModelSettings:
        """The same together with the options, as models are opened with."""
        return ModelSettings(
            **options.model_dump(),
            openai_base_url=self.openai_base_url,
            openai_api_key=self.openai_api_key,
            anthropic_api_key=self.anthropic_api_key,
        )
