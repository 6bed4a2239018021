"""What a run may be carried out with: the models that requests may name, and the tools."""

from typing import Protocol

from agent.direct import DirectModel
from agent.run import RunRequest
from models.port import ChatModel
from tools.toolset import Toolset


class Models(Protocol):
    """The models that a request may name."""

    async def get(self, name: str | None) -> ChatModel:
        """The model with this name, or the default one.

        Raises:
            ModelNotOffered: Requests may not choose it.
            ModelError: There is no such model, or it cannot be opened.
        """
        ...


class Offer:
    """What there is for requests to choose from."""

    def __init__(self, models: Models, toolset: Toolset) -> None:
        self._models = models
        self._toolset = toolset

    @property
    def toolset(self) -> Toolset:
        """All tools; a run uses those of them that it was asked with."""
        return self._toolset

    async def model(self, request: RunRequest) -> ChatModel:
        """The model that a request is for.

        Raises:
            ModelNotOffered: It may not be chosen.
            ModelError: It cannot be opened.
        """
        return await self._models.get(request.model) if request.call is None else DirectModel(request.call)

    def check(self, request: RunRequest) -> None:
        """See that there are the tools that a request names.

        Raises:
            UnknownToolError: One of them does not exist.
        """
        if request.tools is not None:
            self._toolset.select(request.tools)
