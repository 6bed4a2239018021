"""What endpoints are to be told, as rows that are written in the transaction that makes it true.

So nothing is told that did not happen, and nothing that happened goes untold, whatever dies in between. Where nobody
wants to be told there are no rows, and the transaction is what it would be without webhooks.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from agent.webhooks.endpoints import Endpoints, WebhookEvent
from records.ids import new_id, now

PATIENCE = timedelta(days=1)
"""How long it is tried to deliver."""

_SOURCES = 20
_PROVENANCE = ("label", "document_id", "version", "title", "uri", "heading_path", "page")


class Subject(Protocol):
    """The run that is told of."""

    @property
    def run_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def webhook(self) -> str | None: ...


class Notices:
    """Makes the rows.

    Attributes:
        written: Set when rows may have been written.
    """

    def __init__(self, endpoints: Endpoints | None = None) -> None:
        self._endpoints = endpoints if endpoints is not None else Endpoints()
        self.written = asyncio.Event()

    def of_end(self, run: Subject, status: str, result: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """The rows that tell of a run's end; neither its answer nor what an error said of it is in them."""
        if not self._endpoints:
            return ()
        match status:
            case "completed":
                return self._rows(run, "run.completed", {"status": status, "finish_reason": result["finish_reason"]})
            case "cancelled":
                told = {"reason": result["reason"], "effects": list(result["effects"])}
                return self._rows(run, "run.cancelled", {"status": status, **told})
            case _:
                error = {"code": result["code"], "retryable": result["retryable"]}
                return self._rows(run, "run.failed", {"status": status, "error": error})

    def of_questions(self, run: Subject, asked: Sequence[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
        """The rows that tell of approvals that a run has begun to wait for."""
        if not self._endpoints:
            return ()
        waiting = {"status": "waiting_approval", "approvals": [_question(row) for row in asked]}
        return [
            *self._rows(run, "run.waiting_approval", waiting),
            *(
                row
                for each in asked
                if each["kind"] == "hand_over"
                for row in self._rows(run, "run.handed_over", _handed_over(each))
            ),
        ]

    def of_reminder(self, run: Subject, approval: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """The rows that remind of an approval that nobody has decided."""
        data = {"status": "waiting_approval", "approval": _question(approval)}
        return self._rows(run, "approval.reminder", data)

    def _rows(self, run: Subject, event: WebhookEvent, data: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        urls = self._endpoints.wanting(run.tenant, event, run.webhook)
        if not urls:
            return ()
        moment = now()
        told = {"run_id": run.run_id, "session_id": run.session_id, "tenant": run.tenant, **data}
        body = message(event, moment, told)
        return [
            {
                "id": new_id(),
                "tenant": run.tenant,
                "url": url,
                "event": event,
                "run_id": run.run_id,
                "body": body,
                "status": "pending",
                "attempts": 0,
                "due_at": moment,
                "until": moment + PATIENCE,
                "created_at": moment,
            }
            for url in urls
        ]


def message(event: str, moment: datetime, data: Mapping[str, Any]) -> str:
    """The body of a delivery: ``{"type", "timestamp", "data"}``, as Standard Webhooks has it."""
    # In ASCII: it then holds whatever a database's text, or an encoding, does not.
    return json.dumps({"type": event, "timestamp": moment.isoformat(), "data": data}, separators=(",", ":"))


def _question(row: Mapping[str, Any]) -> dict[str, Any]:
    expires = row.get("expires_at")
    return {
        "approval_id": row["id"],
        "kind": row["kind"],
        "tool": row["tool"],
        "effect": row["effect"],
        "reason": row["reason"],
        "approvers": list(row["approvers"]),
        "expires_at": expires.isoformat() if expires is not None else None,
    }


def _handed_over(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a help desk has to know: the summary, and where the agent has looked, but not what stands there."""
    question = _question(row)
    sources = [{name: source.get(name) for name in _PROVENANCE} for source in row["sources"][:_SOURCES]]
    return {
        "status": "waiting_approval",
        "approval_id": question["approval_id"],
        "summary": question["reason"],
        "approvers": question["approvers"],
        "expires_at": question["expires_at"],
        "sources": sources,
    }
