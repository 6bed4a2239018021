"""LangChain tools, taken as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools import Tool as SimpleTool
from langchain_core.utils.function_calling import convert_to_openai_function
from langsmith import tracing_context
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from models.messages import ToolSpec
from tools.errors import ToolDefinitionError
from tools.results import Effect, ToolContext
from tools.signature import ArgumentsError, explain
from tools.threads import ToolThreads
from tools.tool import DEFAULT_TIMEOUT, Tool


def from_langchain(given: BaseTool) -> Tool:
    """A LangChain tool as a Tool.

    LangChain does not say what a tool changes, so it counts as a ``write`` unless its ``metadata`` has an ``effect``;
    ``timeout`` (seconds), ``examples``, ``autonomy``, ``approvers`` and ``idempotent`` are read from there too. An
    idempotent one finds its key in the config, as ``configurable["idempotency_key"]``. LangSmith tracing is off.

    Raises:
        ToolDefinitionError: Its arguments have no JSON schema.
    """
    metadata: Mapping[str, Any] = given.metadata or {}
    schema, model = _arguments(given)
    spec = ToolSpec(
        name=given.name,
        description=given.description,
        parameters=schema,
        examples=tuple(metadata.get("examples", ())),
        effect=cast("Effect", metadata.get("effect", "write")),
    )
    return Tool(
        spec=spec,
        arguments=_LangChainArguments(model),
        invoke=_Invoke(given),
        timeout=float(metadata.get("timeout", DEFAULT_TIMEOUT)),
        autonomy=metadata.get("autonomy"),
        idempotent=bool(metadata.get("idempotent", False)),
        approvers=tuple(metadata.get("approvers", ())),
    )


@dataclass(frozen=True, slots=True)
class _LangChainArguments:
    """Arguments are checked here, but handed on as the model wrote them: LangChain parses them again."""

    model: type[BaseModel] | None

    def validate(self, arguments: str) -> dict[str, Any]:
        try:
            data = from_json(arguments if arguments.strip() else "{}")
        except ValueError as error:
            msg = f"The arguments are not valid JSON: {error}"
            raise ArgumentsError(msg, "malformed_arguments") from None
        if not isinstance(data, dict):
            msg = "The arguments must be one JSON object."
            raise ArgumentsError(msg, "malformed_arguments")
        if self.model is not None:
            try:
                self.model.model_validate(data)
            except ValidationError as error:
                raise explain(error) from None
            except Exception as error:
                msg = f"The arguments do not fit: {type(error).__name__}: {str(error)[:300]}"
                raise ArgumentsError(msg, "invalid_arguments") from error
        return data


class _Invoke:
    def __init__(self, given: BaseTool) -> None:
        self._tool = given
        # Left to itself, LangChain runs synchronous tools in the loop's own pool, which one that hangs uses up.
        self._threads = None if _is_async(given) else ToolThreads(given.name)

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        known = {
            "thread_id": context.session_id,
            "run_id": context.run_id,
            "idempotency_key": context.idempotency_key,
        }
        config: Any = {"configurable": known}
        with tracing_context(enabled=False):
            if self._threads is None:
                return await self._tool.ainvoke(dict(arguments), config=config)
            return await self._threads.run(partial(self._tool.invoke, dict(arguments), config=config))


def _is_async(given: BaseTool) -> bool:
    if isinstance(given, StructuredTool | SimpleTool):
        return given.coroutine is not None
    return type(given)._arun is not BaseTool._arun  # noqa: SLF001 - the method that LangChain's tools override


def _arguments(given: BaseTool) -> tuple[dict[str, Any], type[BaseModel] | None]:
    try:
        schema = convert_to_openai_function(given).get("parameters", {})
        visible: Any = given.tool_call_schema
    except Exception as error:
        msg = f"LangChain tool {given.name}: its arguments have no JSON schema ({error})"
        raise ToolDefinitionError(msg) from error
    schema = {"type": "object", "properties": {}, **schema}
    return schema, visible if isinstance(visible, type) and issubclass(visible, BaseModel) else None
