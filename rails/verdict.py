"""What a guardrail decides."""

from dataclasses import dataclass
from typing import Literal

Decision = Literal["allow", "redact", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision of one rail over one text.

    Attributes:
        text: What goes on: the text itself, or what is left of it.
        reason: Why it is not the text as it came; for the user, without what was found.
    """

    decision: Decision
    text: str
    rail: str
    reason: str = ""
