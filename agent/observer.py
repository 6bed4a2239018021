"""What an operator may watch of a run, without the loop knowing how it is kept."""

from typing import Literal, Protocol

from agent.events import EventBody

Stage = Literal["queue", "retrieval", "model", "tool"]


class Observer(Protocol):
    """Receives timings and the events of every run. Calls must be quick and must not raise."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """A stage of a run took this long."""
        ...

    def first_token(self, seconds: float) -> None:
        """The first text of an answer came this long after its run was accepted."""
        ...

    def event(self, body: EventBody) -> None:
        """An event other than a text delta happened."""
        ...


class NoObserver:
    """Watches nothing."""

    def stage(self, stage: Stage, seconds: float) -> None: ...

    def first_token(self, seconds: float) -> None: ...

    def event(self, body: EventBody) -> None: ...
