"""The models that this service may use, each opened once, when first asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agent.errors import ModelNotOffered
from models.catalog import EXTRACTIVE, open_model
from models.port import ChatModel
from retrieval.embedding.port import Vectors
from service.settings import ProviderSettings, Settings


class OpenModels:
    """The default model, the built-in one, and those that the operator lists: a request may name no other."""

    def __init__(
        self,
        settings: Settings,
        providers: ProviderSettings,
        embed: Callable[[Sequence[str]], Awaitable[Vectors]],
        default: ChatModel | None = None,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._embed = embed
        self._open: dict[str | None, ChatModel] = {} if default is None else {None: default, default.info.name: default}
        self._lock = asyncio.Lock()

    async def get(self, name: str | None) -> ChatModel:
        """The model with this name, or the default one.

        Raises:
            ModelNotOffered: Requests may not choose it.
            ModelError: There is no such model, or it cannot be opened.
        """
        if name is not None and name not in self._allowed():
            raise ModelNotOffered(
                f"the model {name!r} is not offered here; offered are: {', '.join(sorted(self._allowed()))}"
            )
        async with self._lock:
            if name not in self._open:
                model = await open_model(
                    name or self._settings.model,
                    self._providers.with_options(self._settings.model_options),
                    extractive=self._extractive,
                )
                self._open[name] = self._open[model.info.name] = model
            return self._open[name]

    def _allowed(self) -> set[str]:
        return {EXTRACTIVE, *self._settings.models, *(name for name in self._open if name is not None)}

    def _extractive(self) -> ChatModel:
        from models.extractive import ExtractiveModel

        return ExtractiveModel(self._embed)

    async def aclose(self) -> None:
        """Close every model."""
        for model in {id(model): model for model in self._open.values()}.values():
            await model.aclose()
