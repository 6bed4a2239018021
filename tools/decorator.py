"""``@tool``: a typed Python function becomes a tool that a model may call."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload

from models.messages import ToolSpec
from tools.errors import ToolDefinitionError
from tools.hooks import Invoke, hook, invoker
from tools.isolation.job import Job, Whereabouts
from tools.isolation.processes import ToolProcesses
from tools.results import Autonomy, Effect, Isolation
from tools.signature import read_signature
from tools.tool import DEFAULT_TIMEOUT, Tool

DEFAULT_MEMORY = 1 << 30
_MARK = "__cairn_tool__"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What ``@tool`` was told."""

    name: str | None = None
    description: str | None = None
    effect: Effect = "read"
    timeout: float = DEFAULT_TIMEOUT
    examples: tuple[str, ...] = ()
    autonomy: Autonomy | None = None
    idempotent: bool = False
    reconcile: Callable[..., Any] | None = None
    verify: Callable[..., Any] | None = None
    approvers: tuple[str, ...] = ()
    isolation: Isolation = "thread"
    environment: tuple[str, ...] = ()
    memory_bytes: int = DEFAULT_MEMORY


@overload
def tool(target: T, /) -> T: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    effect: Effect = ...,
    timeout: float = ...,
    examples: Sequence[str] = ...,
    autonomy: Autonomy | None = ...,
    idempotent: bool = ...,
    reconcile: Callable[..., Any] | None = ...,
    verify: Callable[..., Any] | None = ...,
    approvers: Sequence[str] = ...,
    isolation: Isolation = ...,
    environment: Sequence[str] = ...,
    memory_bytes: int = ...,
) -> Callable[[T], T]: ...
def tool(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "read",
    timeout: float = DEFAULT_TIMEOUT,
    examples: Sequence[str] = (),
    autonomy: Autonomy | None = None,
    idempotent: bool = False,
    reconcile: Callable[..., Any] | None = None,
    verify: Callable[..., Any] | None = None,
    approvers: Sequence[str] = (),
    isolation: Isolation = "thread",
    environment: Sequence[str] = (),
    memory_bytes: int = DEFAULT_MEMORY,
) -> Any:
    """Make a typed function, or a class with ``__call__`` or ``run``, a tool. It stays what it was for other callers.

    The parameters' types become the JSON schema that the model sees; their descriptions come from
    ``Annotated[..., Field(description=...)]`` or from the docstring's ``Args:`` section. A parameter annotated
    ``ToolContext`` receives the context of the call and is not shown to the model, and neither is one marked
    ``FromPrincipal``, which is filled from who asks. A synchronous function runs in a thread of its own.

    Args:
        target: The function, class or instance, when used without options.
        name: As the model sees it; the function's name, or the class's in snake case, when not given.
        description: What it does and when to use it; the docstring's first paragraph when not given.
        effect: ``read`` changes nothing, ``write`` can be undone, ``irreversible`` cannot.
        timeout: Seconds that one call may take. The run goes on then; a synchronous function cannot be stopped, so
            it goes on too.
        examples: Questions of users that this tool answers; they help small models to pick it.
        autonomy: ``auto`` calls it, ``confirm`` once a person agreed, ``suggest`` never; a read is ``auto`` and
            anything else ``confirm`` when nothing is said.
        idempotent: Two calls with one ``ToolContext.idempotency_key`` act once, so a call may be repeated.
        reconcile: Asks the system of record what became of a call: returns what the call would have returned, or
            ``NOT_DONE``. It takes those of the tool's parameters that it needs, and a ``ToolContext``.
        verify: Reads what a call is about to change, before anybody agrees to it and again before it is made. Returns
            the record, or raises ``ToolError`` to refuse the call. Takes what ``reconcile`` takes.
        approvers: Roles, one of which whoever agrees to a call must have.
        isolation: ``process`` runs it in a process of its own, which is killed when a call takes too long. It must be a
            function or a class at the top of a module, and is imported again there.
        environment: Names of the variables that such a process sees, besides PATH, HOME and LANG.
        memory_bytes: What such a process may write to.

    Raises:
        ToolDefinitionError: The target cannot be a tool; the message says why.
    """
    options = ToolOptions(
        name=name,
        description=description,
        effect=effect,
        timeout=timeout,
        examples=_texts("examples", examples),
        autonomy=autonomy,
        idempotent=idempotent,
        reconcile=reconcile,
        verify=verify,
        approvers=_texts("approvers", approvers),
        isolation=isolation,
        environment=_texts("environment", environment),
        memory_bytes=memory_bytes,
    )

    def decorate(decorated: Any) -> Any:
        # A class is only constructed when it is registered, but its signature is checked here, where the mistake is.
        made = make_tool(decorated, options)
        try:
            setattr(decorated, _MARK, options if inspect.isclass(decorated) else made)
        except AttributeError as error:
            msg = f"{decorated!r} takes no attributes; decorate the function or class that it comes from"
            raise ToolDefinitionError(msg) from error
        return decorated

    return decorate if target is None else decorate(target)


def as_tool(target: Any) -> Tool | None:
    """The Tool that ``target`` is or was decorated to be; None when it is neither.

    A decorated class is constructed without arguments.

    Raises:
        ToolDefinitionError: The class cannot be constructed so.
    """
    if isinstance(target, Tool):
        return target
    mark = _mark(target)
    if isinstance(mark, Tool):
        return mark
    if not isinstance(mark, ToolOptions):
        return None
    if not inspect.isclass(target) or mark.isolation == "process":  # then it is constructed there
        return make_tool(target, mark)
    try:
        return make_tool(target(), mark)
    except TypeError as error:
        msg = f"{target.__name__} cannot be constructed without arguments ({error}); register an instance of it"
        raise ToolDefinitionError(msg) from error


def is_marked(target: Any) -> bool:
    """Whether ``target`` is a Tool or was decorated with ``@tool``."""
    return isinstance(target, Tool) or _mark(target) is not None


def make_tool(target: Any, options: ToolOptions) -> Tool:
    """A Tool from a function, a class (then without a self to call it on) or an instance.

    Raises:
        ToolDefinitionError: It cannot be a tool; the message says why.
    """
    function = _function_of(target)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{target!r} yields, so calling it would do nothing; return a list"
        raise ToolDefinitionError(msg)
    name = options.name or _name_of(target)
    method_doc = inspect.getdoc(function) or ""
    doc = method_doc if _is_function(target) else _own_doc(target) or method_doc
    description = options.description or _first_paragraph(doc) or name.replace("_", " ")
    bound = partial(function, None) if inspect.isclass(target) else function
    signature = read_signature(bound, name, method_doc if "Args:" in method_doc else doc)
    spec = ToolSpec(
        name=name,
        description=description,
        parameters=signature.schema,
        examples=options.examples,
        effect=options.effect,
    )
    return Tool(
        spec=spec,
        arguments=signature,
        fillings=signature.fillings,
        invoke=_in_process(target, name, options)
        if options.isolation == "process"
        else invoker(function, signature.context, name),
        timeout=options.timeout,
        autonomy=options.autonomy,
        idempotent=options.idempotent,
        approvers=options.approvers,
        isolation=options.isolation,
        reconciler=hook(options.reconcile, "reconcile", signature, name),
        verifier=hook(options.verify, "verify", signature, name),
    )


def _in_process(target: Any, name: str, options: ToolOptions) -> Invoke:
    job = Job(whereabouts=Whereabouts.of(target), name=name, effect=options.effect, memory_bytes=options.memory_bytes)
    return ToolProcesses(job, options.timeout, options.environment).run


def _texts(option: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        msg = f"{option}={given!r}: give a list of texts, not one text"
        raise ToolDefinitionError(msg)
    return tuple(given)


def _mark(target: Any) -> "Tool | ToolOptions | None":
    # Statically: a lazy proxy in a user's module answers to every name, and asking it may run anything.
    mark = inspect.getattr_static(target, _MARK, None)
    return mark if isinstance(mark, Tool | ToolOptions) else None


def _function_of(target: Any) -> Callable[..., Any]:
    if _is_function(target):
        return target  # type: ignore[no-any-return]
    owner = target if inspect.isclass(target) else type(target)
    for method in ("__call__", "run"):
        # Not getattr on the class itself: every class has a __call__, its metaclass's.
        if any(method in vars(base) for base in owner.__mro__[:-1]):
            return getattr(target, method)  # type: ignore[no-any-return]
    msg = f"{target!r} is no function and has neither __call__ nor run"
    raise ToolDefinitionError(msg)


def _is_function(target: Any) -> bool:
    return inspect.isroutine(target) or isinstance(target, partial)


def _name_of(target: Any) -> str:
    if isinstance(target, partial):
        return _name_of(target.func)
    if inspect.isroutine(target):
        return str(target.__name__)
    owner = target if inspect.isclass(target) else type(target)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", owner.__name__).lower()


def _own_doc(target: Any) -> str:
    owner = target if inspect.isclass(target) else type(target)
    return inspect.cleandoc(owner.__doc__ or "")


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.split("\n\n")[0].split())
