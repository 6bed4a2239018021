"""The rail over a user's message: it has words, it is not too long, and it holds nothing that cannot be seen.

Characters that show nothing (control, bidirectional, zero-width and tag characters) can make a message mean to a model
what no reader of the log would see, so they are taken out (Unicode UTS #39; tag characters: UTS #51, annex C).
"""

import re

from rails.verdict import Verdict

RAIL = "message"

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    "\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def check_message(message: str, max_chars: int) -> Verdict:
    """Judge a message; a ``redact`` goes on without its unseen characters."""
    text = _UNSEEN.sub("", message).strip()
    if not text:
        return Verdict(decision="block", text="", rail=RAIL, reason="the message has no text")
    if len(text) > max_chars:
        reason = f"the message has {len(text)} characters; {max_chars} are allowed (http.max_message_chars)"
        return Verdict(decision="block", text="", rail=RAIL, reason=reason)
    if text != message.strip():
        return Verdict(decision="redact", text=text, rail=RAIL, reason="unseen characters were taken out")
    return Verdict(decision="allow", text=text, rail=RAIL)
