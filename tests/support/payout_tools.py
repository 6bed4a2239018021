"""A tool that kills its service once it has acted, and before anybody hears of it."""

import os
import signal
from pathlib import Path

from cairn import ToolContext, tool

LEDGER = Path(os.environ.get("LEDGER", "ledger"))


@tool(effect="write", autonomy="auto", idempotent=True)
def pay_out(order: str, context: ToolContext) -> str:
    """Pay out an order."""
    if not LEDGER.exists() or context.idempotency_key not in LEDGER.read_text():
        with LEDGER.open("a") as ledger:
            ledger.write(f"{order} under {context.idempotency_key}\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{order} is paid out"
