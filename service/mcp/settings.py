"""What an operator says of an MCP server whose tools the agent may call."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from tools.errors import ToolLoadingError

if TYPE_CHECKING:
    from tools.mcp import McpServer

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
Effect = Literal["read", "write", "irreversible"]
Autonomy = Literal["suggest", "confirm", "auto"]


class McpSettings(BaseModel):
    """One server: see ``tools.mcp.McpServer``.

    In the values of ``env`` and ``headers``, ``${NAME}`` stands for a variable of the service's own environment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = Field(default_factory=dict)
    environment: tuple[str, ...] = ()
    folder: Path | None = None
    memory_mb: int = Field(default=1024, ge=64)
    url: str | None = None
    private: bool = False
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    tools: tuple[str, ...] | None = None
    effects: dict[str, Effect] = Field(default_factory=dict)
    autonomy: Autonomy | dict[str, Autonomy] | None = None
    examples: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    idempotent: tuple[str, ...] = ()
    trust_hints: bool = False
    trust_errors: bool = False
    allow_changes: bool = False
    pins: dict[str, str] = Field(default_factory=dict)
    timeout: float = Field(default=30.0, gt=0)
    start_seconds: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self._made(self.env, self.headers)
        return self

    def server(self, variables: Mapping[str, str]) -> "McpServer":
        """The server, with what its values take from these variables.

        Raises:
            ToolLoadingError: One of them is not set, or cannot be used.
        """

        def filled(values: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
            return {name: SecretStr(self._filled(value, variables)) for name, value in values.items()}

        try:
            return self._made(filled(self.env), filled(self.headers))
        except ValueError as error:
            raise ToolLoadingError(f"mcp server {self.name}: {error}") from error

    def _filled(self, value: SecretStr, variables: Mapping[str, str]) -> str:
        def replacement(found: re.Match[str]) -> str:
            if found[1] not in variables:
                raise ToolLoadingError(f"mcp server {self.name}: the variable {found[1]} is not set")
            return variables[found[1]]

        return _VARIABLE.sub(replacement, value.get_secret_value())

    def _made(self, env: Mapping[str, SecretStr], headers: Mapping[str, SecretStr]) -> "McpServer":
        from tools.mcp import McpServer

        return McpServer(
            **self.model_dump(exclude={"env", "headers", "memory_mb"}),
            env={name: value.get_secret_value() for name, value in env.items()},
            headers={name: value.get_secret_value() for name, value in headers.items()},
            memory_bytes=self.memory_mb << 20,
        )
