"""An MCP server without a library, which starts at once and may misbehave: it lists what a file says.

The file holds ``{"tools": […]}`` and is read again for each listing. Calls do what the tool's name says.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    with (FOLDER / "log").open("a") as log:
        log.write(line + "\n")


def call(name: str, arguments: dict[str, Any], meta: dict[str, Any]) -> str:
    match name:
        case "environment":
            return json.dumps(dict(os.environ))
        case "act":
            note(f"act {arguments['item']} {meta.get('cairn/idempotency-key')}")
        case "act_and_die" | "die":
            note(f"act {arguments.get('item')} {meta.get('cairn/idempotency-key')}")
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "chatter":
            sys.stdout.write("this is no message\n" * 50)
        case "complain":
            sys.stderr.write(f"my token is {os.environ.get('DESK_TOKEN')}\n")
        case "grow":
            return str(len(bytearray(int(arguments["megabytes"]) << 20)))
        case "announce":
            send({"method": "notifications/tools/list_changed"})
        case "orphan":
            child = subprocess.Popen(
                ["sh", "-c", "setsid sleep 3600 & echo $! > " + str(FOLDER / "child")], start_new_session=True
            )
            child.wait()
    return f"{name} is done"


def main() -> None:
    note(f"start {os.getpid()}")
    if (FOLDER / "mute").exists():
        signal.pause()
    for line in sys.stdin:
        message = json.loads(line)
        number, method, params = message.get("id"), message["method"], message.get("params") or {}
        if method == "initialize":
            told = {"name": "raw", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            result: Any = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": told}
        elif method == "tools/list":
            result = {"tools": json.loads((FOLDER / "tools").read_text())}
            note("list")
        elif method == "tools/call":
            if params["name"] == "refuse":
                send({"id": number, "error": {"code": -32602, "message": "no such tool here"}})
                continue
            text = call(params["name"], params.get("arguments") or {}, params.get("_meta") or {})
            result = {"content": [{"type": "text", "text": text}]}
        elif number is not None:
            send({"id": number, "error": {"code": -32601, "message": "no such method"}})
            continue
        else:
            continue
        send({"id": number, "result": result})


if __name__ == "__main__":
    main()
