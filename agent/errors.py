"""How a run can end badly.

AgentRunError
├── ModelNotOffered       the request names a model that the operator does not offer
├── UsageLimitExceeded    a limit on calls, tokens or time was reached
├── ToolsUnsettled        the model asked for tools when none were left to it
├── ServiceStopping       the service takes no new runs any more
├── RunTakenOver          another worker has taken up the run: this one must let go of it
├── RequestUnreadable     what the run was asked for cannot be read: another version wrote it, or it is damaged
├── RunNotOver            it cannot be retried, for it has not failed
├── RunHasActed           it cannot be retried unless somebody says that it may act again
├── RunAbandoned          its process died in the middle of the same step, again and again
└── RunStalled            whoever takes it up dies or fails before it gets any further: a dead letter
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.retrying import Deed


class AgentRunError(Exception):
    """The run cannot go on, or cannot begin."""


class ModelNotOffered(AgentRunError):
    """The request names a model that the operator does not offer; the message lists those that are."""


class UsageLimitExceeded(AgentRunError):
    """A limit of the run was reached; the message names it and the setting that raises it."""


class ToolsUnsettled(AgentRunError):
    """The model asked for a tool in the turn that had to be its answer."""


class ServiceStopping(AgentRunError):
    """The service is about to stop, and takes no new runs; another one, or the next, does."""


class RunTakenOver(AgentRunError):
    """Another worker has taken up the run: this one writes and tells nothing any more."""


class RunStalled(AgentRunError):
    """The run was taken up again and again, and got no further: it is not taken up any more."""


class RequestUnreadable(AgentRunError):
    """What the run was asked for cannot be read; the message says what is wrong with it."""


class RunNotOver(AgentRunError):
    """The run goes on, waits, or has its answer: there is nothing to retry."""


class RunHasActed(AgentRunError):
    """The run has changed something, or may have, which a retry might do again.

    Attributes:
        deeds: What it was.
    """

    def __init__(self, message: str, deeds: "Sequence[Deed]") -> None:
        super().__init__(message)
        self.deeds = deeds


class RunAbandoned(AgentRunError):
    """The process died in the middle of the same step each time it was tried: it is not tried again."""
