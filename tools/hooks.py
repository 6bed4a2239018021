"""The functions beside a tool that ask the system of record: before a call (``verify``) and after (``reconcile``)."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from tools.errors import ToolDefinitionError
from tools.principal import mark_of
from tools.results import ToolContext
from tools.signature import Signature, context_parameter, hints_of
from tools.threads import ToolThreads

Invoke = Callable[[Mapping[str, Any], ToolContext], Awaitable[Any]]


def invoker(function: Callable[..., Any], context_name: str | None, name: str) -> Invoke:
    """Calls ``function`` with arguments by name and the context, a synchronous one in a thread of its own."""
    threads = ToolThreads(name)
    asynchronous = inspect.iscoroutinefunction(function.func if isinstance(function, partial) else function)

    async def invoke(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        injected = {context_name: context} if context_name else {}
        call = partial(function, **arguments, **injected)
        value = call() if asynchronous else await threads.run(call)
        return await value if inspect.isawaitable(value) else value

    return invoke


def hook(function: Any, kind: str, signature: Signature, owner: str) -> Invoke | None:
    """A tool's hook, ready to be called with the tool's arguments; it receives those that it names.

    Raises:
        ToolDefinitionError: It has a parameter that the tool does not have.
    """
    if function is None:
        return None
    where = f"the {kind} hook of tool {owner}"
    if not callable(function):
        msg = f"{where} is no function"
        raise ToolDefinitionError(msg)
    context_name = context_parameter(function, where)
    parameters = inspect.signature(function).parameters
    _require_the_same_marks(function, signature, where)
    known = {*signature.names.values(), *signature.fillings}
    for parameter in parameters.values():
        if parameter.name not in known | {context_name} and parameter.default is parameter.empty:
            msg = f"{where}: {parameter.name!r} is no parameter of the tool"
            raise ToolDefinitionError(msg)
    named = invoker(function, context_name, f"{owner}-{kind}")

    async def invoke(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        return await named({name: value for name, value in arguments.items() if name in parameters}, context)

    return invoke


def _require_the_same_marks(function: Callable[..., Any], signature: Signature, where: str) -> None:
    """A hook is handed what the tool is: a mark of its own would look as if it were filled, and never be."""
    for name, hint in hints_of(function, where).items():
        mark = mark_of(hint)
        if mark is not None and (name not in signature.fillings or signature.fillings[name].mark != mark):
            msg = f"{where}: {name!r} is not filled so for the tool; mark the tool's parameter alike"
            raise ToolDefinitionError(msg)
