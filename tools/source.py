"""The port of what has tools that are known only once it is opened, such as a server that lists them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.tool import Tool


class ToolSource(ABC):
    """Has tools once it is opened; it may be given wherever tools are."""

    @abstractmethod
    async def open(self, offer: "Callable[[Tool], None]") -> None:
        """Offer what there is; returns within bounded time, and may offer more, or a tool anew, until it is closed."""

    def may_have(self, name: str) -> bool:  # noqa: ARG002 - most know at once what they have
        """Whether a tool of this name may be among those that are not known yet."""
        return False

    async def listed(self) -> None:
        """Return once it is known what there is, which may be never."""
        return

    @abstractmethod
    async def aclose(self) -> None:
        """End it. Safe to call twice."""
