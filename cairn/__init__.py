"""The public face of Cairn: ``from cairn import tool``."""

from typing import TYPE_CHECKING, Any

from tools.decorator import tool
from tools.http import ApiKey, ApiRefused, Basic, Bearer, ForwardToken, HttpApi, HttpLimits, OAuth2, TokenExchange
from tools.limits.rates import Rate, RateLimit
from tools.outcome import ToolError
from tools.principal import FromPrincipal
from tools.results import NOT_DONE, NotDone, ToolContext, ToolResult
from tools.tool import Tool

if TYPE_CHECKING:
    from tools.mcp import McpServer
    from tools.openapi import from_openapi, server_url

__all__ = [
    "NOT_DONE",
    "ApiKey",
    "ApiRefused",
    "Basic",
    "Bearer",
    "ForwardToken",
    "FromPrincipal",
    "HttpApi",
    "HttpLimits",
    "McpServer",
    "NotDone",
    "OAuth2",
    "Rate",
    "RateLimit",
    "TokenExchange",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "from_openapi",
    "server_url",
    "tool",
]


def __getattr__(name: str) -> Any:
    # Only when asked for: reading documents takes a library that most tools, each in a process of its own, never need.
    if name == "McpServer":
        from tools.mcp import McpServer

        return McpServer
    if name in {"from_openapi", "server_url"}:
        import tools.openapi

        return getattr(tools.openapi, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
