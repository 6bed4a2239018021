"""Mail to Markdown: who wrote to whom about what, what it says, and what came with it."""

import email
import email.policy
import re
from email.message import EmailMessage, MIMEPart

from ingest.parsing.extracted import Extracted
from ingest.parsing.markup import page_of

_HEADERS = ("From", "To", "Cc", "Date")
_MBOX_LINE = re.compile(rb"\AFrom [^\r\n]*\r?\n")


def message(data: bytes, _media_type: str) -> Extracted:
    """A mail whose subject is the heading; its plain text, or its HTML when there is none; names of attachments."""
    parsed = email.message_from_bytes(_MBOX_LINE.sub(b"", data.lstrip()), policy=email.policy.default)
    subject = _header(parsed, "Subject")
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(parsed, name))]
    attached = [name for part in parsed.iter_attachments() if (name := part.get_filename())]
    parts = [
        f"# {subject}" if subject else "",
        "\n".join(lines),
        _body(parsed),
        "Attachments: " + ", ".join(attached) if attached else "",
    ]
    return Extracted(pages=("\n\n".join(filter(None, parts)),), title=subject)


def _header(parsed: EmailMessage, name: str) -> str:
    return " ".join(str(parsed.get(name) or "").split())


def _body(parsed: EmailMessage) -> str:
    body = parsed.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    text = _content(body)
    return page_of(text).pages[0] if body.get_content_type() == "text/html" else text


def _content(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):  # a charset that nobody knows, or a wrong one
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", errors="replace") if isinstance(payload, bytes) else ""
