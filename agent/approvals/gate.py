"""The gate: whether a call may be made by the agent alone, by a person's leave, or not at all."""

from typing import Protocol

from records.principal import Principal
from tools.policy import Gate, Policy
from tools.toolset import CheckedCall


class Gatekeeper(Protocol):
    """Judges a call before it is made. What it says holds for this moment."""

    async def judge(self, call: CheckedCall, principal: Principal) -> Gate:
        """What holds for the call."""
        ...


class PolicyGate:
    """Judges by the operator's policy alone."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def judge(self, call: CheckedCall, principal: Principal) -> Gate:
        """What the policy says of the call."""
        return self._policy.decide(call.tool, call.data, principal, call.call.confidence)
