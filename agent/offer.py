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

    async def of(self, request: RunRequest) -> tuple[ChatModel, Toolset]:
        """The model and the tools that a request is for.

        Raises:
            ModelNotOffered: The model may not be chosen.
            ModelError: It cannot be opened.
            UnknownToolError: A tool that was named does not exist.
        """
        model = await self._models.get(request.model) if request.call is None else DirectModel(request.call)
        return model, self._toolset if request.tools is None else self._toolset.select(request.tools)
