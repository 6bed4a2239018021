"""MCP on both sides: the servers whose tools the agent may call, and the service as a server."""
