"""The context of a call that nobody made."""

from cairn import ToolContext
from records.principal import Principal

CONTEXT = ToolContext(
    principal=Principal(tenant="acme"), run_id="run", session_id="session", idempotency_key="run:1:0", collection="docs"
)
