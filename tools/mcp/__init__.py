"""Tools of MCP servers (Model Context Protocol). What a server says is not believed unless the operator says so."""

from tools.mcp.server import McpServer

__all__ = ["McpServer"]
