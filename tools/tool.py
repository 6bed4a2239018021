"""A tool as the service holds it: what it promises, and how it is called."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args

from models.messages import ToolSpec
from records.principal import Principal
from tools.deadline import call_ends_at
from tools.errors import ToolDefinitionError
from tools.hooks import Invoke
from tools.outcome import CallTimedOut, ToolError, proves_nothing_done
from tools.principal import Filling, NotFilled, filled
from tools.results import Autonomy, Effect, Isolation, NotDone, ToolContext, ToolFailure, ToolResult
from tools.serialise import to_result

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DEFAULT_TIMEOUT = 30.0
_MAX_MESSAGE = 500
_NOT_KNOWN = "; whether it had an effect is not known"


class Arguments(Protocol):
    """What reads a model's arguments: a signature, or the JSON schema of a connector."""

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments by name; raises ``ArgumentsError`` when they do not fit."""
        ...


class Resource(Protocol):
    """What a tool keeps open between calls."""

    async def aclose(self) -> None:
        """Let go of it. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as the service holds it.

    Attributes:
        spec: What the model is told.
        timeout: Seconds that one call may take, and one call of a hook.
        arguments: Reads and checks what the model wrote.
        fillings: The parameters that are filled from who asks, whenever the tool or a hook of it is called.
        invoke: Does the work; may raise, hang or return anything.
        autonomy: How far it may go by itself; None when nobody said (see ``default_autonomy``).
        idempotent: Whether two calls under one idempotency key act once.
        approvers: Roles, one of which a person needs to agree to a call; anybody who may decide, when empty.
        isolation: Where it runs.
        reconciler: Asks the system of record what became of a call.
        verifier: Reads what a call is about to change, and refuses it where it must not be.
        by_person: It is no function: a person does what it says, and what the person replies is the result.
        resources: What it keeps open, and perhaps shares with other tools; closed with the service.

    Raises:
        ToolDefinitionError: The name, or an option, is impossible.
    """

    spec: ToolSpec
    arguments: Arguments = field(repr=False)
    invoke: Invoke = field(repr=False)
    fillings: Mapping[str, Filling] = field(default_factory=dict, repr=False)
    timeout: float = DEFAULT_TIMEOUT
    autonomy: Autonomy | None = None
    idempotent: bool = False
    approvers: tuple[str, ...] = ()
    isolation: Isolation = "thread"
    reconciler: Invoke | None = field(default=None, repr=False)
    verifier: Invoke | None = field(default=None, repr=False)
    by_person: bool = False
    resources: tuple[Resource, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            msg = f"tool name {self.name!r}: use 1 to 64 of a-z, A-Z, 0-9, _ and -"
            raise ToolDefinitionError(msg)
        self._one_of("effect", self.effect, get_args(Effect))
        self._one_of("autonomy", self.autonomy, (*get_args(Autonomy), None))
        self._one_of("isolation", self.isolation, get_args(Isolation))
        if not self.timeout > 0:
            msg = f"tool {self.name}: the time-out must be more than 0 seconds"
            raise ToolDefinitionError(msg)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def effect(self) -> Effect:
        """What a call may change; decides whether it may be repeated and who must agree to it."""
        return self.spec.effect

    @property
    def default_autonomy(self) -> Autonomy:
        """How far it may go where no policy says otherwise: reads by themselves, writes once a person agreed."""
        return self.autonomy or ("auto" if self.effect == "read" else "confirm")

    def validate(self, arguments: str) -> dict[str, Any]:
        """The arguments that ``call`` takes, read from the model's JSON text.

        Raises:
            tools.signature.ArgumentsError: With a message for the model, one line per wrong field.
        """
        return self.arguments.validate(arguments)

    def fill(self, arguments: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
        """The arguments with those that are filled from who asks, whatever stood there.

        Raises:
            NotFilled: The principal lacks what one is filled from.
        """
        return filled(arguments, self.fillings, principal)

    def given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the arguments that a model gives, or a person who edits them: all but what is filled."""
        return {name: value for name, value in arguments.items() if name not in self.fillings}

    def refusal(self, error: NotFilled) -> ToolResult:
        """The result of a call that cannot be made on behalf of whoever asks."""
        return ToolResult(content=f"{self.name} was not called: {error}", failure="refused")

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Run the tool. Whatever happens becomes a result; only cancelling the caller's task raises.

        A tool with an effect that ends with anything but a value has the failure ``unknown``, unless it is proven that
        nothing was done (see ``tools.outcome``); then it is ``failed``. ``unserialisable`` says that it was done.
        Who lacks what an argument is filled from is ``refused``.
        """
        try:
            arguments = self._filled(arguments, context)
        except NotFilled as error:
            return self.refusal(error)
        # A process may have to be started first, which is not the tool's time; so its owner keeps the time.
        ended = await self._run(self.invoke, arguments, context, None if self.isolation == "process" else self.timeout)
        if not isinstance(ended, _Raised):
            return self._shown(ended)
        reason = f"timed out after {self.timeout:g} s" if ended.timed_out else f"failed: {ended.reason}"
        if proves_nothing_done(ended.error):
            return ToolResult(content=f"{self.name} failed: {ended.reason}", failure=_failure(ended.error, "failed"))
        if self.effect != "read":
            return ToolResult(content=f"{self.name} {reason}{_NOT_KNOWN}", failure="unknown")
        return ToolResult(content=f"{self.name} {reason}", failure="timeout" if ended.timed_out else "failed")

    async def reconcile(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | NotDone:
        """What became of a call whose outcome is not known: its result, or ``NOT_DONE``, by the tool's own hook.

        Whatever else the hook does, and where there is none, the failure is ``unknown``.
        """
        if self.reconciler is None:
            return ToolResult(content=f"{self.name} cannot tell whether it was done", failure="unknown")
        try:
            arguments = self._filled(arguments, context)
        except NotFilled as error:
            return ToolResult(
                content=f"asking what became of {self.name} failed: {error}{_NOT_KNOWN}", failure="unknown"
            )
        ended = await self._run(self.reconciler, arguments, context, self.timeout)
        if isinstance(ended, NotDone):
            return ended
        if not isinstance(ended, _Raised):
            return self._shown(ended)
        reason = f"took more than {self.timeout:g} s" if ended.timed_out else f"failed: {ended.reason}"
        return ToolResult(content=f"asking what became of {self.name} {reason}{_NOT_KNOWN}", failure="unknown")

    async def verify(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult | None:
        """The record that the tool's hook read, to be shown to whoever decides; None where there is no hook.

        The call may be made only when there is no failure: ``refused`` when the hook raised ``ToolError``, else
        ``failed``, ``timeout`` or ``unserialisable``, because what could not be checked is not done either.
        """
        if self.verifier is None:
            return None
        try:
            arguments = self._filled(arguments, context)
        except NotFilled as error:
            return self.refusal(error)
        ended = await self._run(self.verifier, arguments, context, self.timeout)
        failure: ToolFailure = "failed"
        if not isinstance(ended, _Raised):
            try:
                return to_result(ended)
            except Exception as error:  # noqa: BLE001 - serialisers of foreign classes raise anything
                failure, reason = "unserialisable", f"what its check read cannot be shown: {_message(error)}"
        elif isinstance(ended.error, ToolError):
            failure, reason = _failure(ended.error, "refused"), ended.reason
        elif ended.timed_out:
            failure, reason = "timeout", f"its check took more than {self.timeout:g} s"
        else:
            reason = f"its check failed: {ended.reason}"
        return ToolResult(content=f"{self.name} was not called: {reason}", failure=failure)

    async def _run(
        self, work: Invoke, arguments: Mapping[str, Any], context: ToolContext, seconds: float | None
    ) -> Any:
        """What ``work`` returns, or ``_Raised``."""
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                with call_ends_at(deadline.when()):
                    return await work(arguments, context)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return _Raised(error, timed_out=False)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a tool is foreign code, and sys.exit() must not end the service
            return _Raised(error, timed_out=deadline.expired() or isinstance(error, CallTimedOut))

    def _filled(self, arguments: Mapping[str, Any], context: ToolContext) -> Mapping[str, Any]:
        return self.fill(arguments, context.principal) if self.fillings else arguments

    def _shown(self, value: Any) -> ToolResult:
        try:
            return to_result(value)
        except Exception as error:  # noqa: BLE001 - serialisers of foreign classes raise anything
            if self.effect == "read":
                content = f"{self.name} failed: the returned value cannot be shown: {_message(error)}"
            else:
                content = f"{self.name} was done, but what it returned cannot be shown: {_message(error)}"
            return ToolResult(content=content, failure="unserialisable")

    def _one_of(self, option: str, value: object, known: tuple[object, ...]) -> None:
        if value not in known:
            choices = ", ".join(str(choice) for choice in known if choice)
            msg = f"tool {self.name}: {option} {value!r} is none of {choices}"
            raise ToolDefinitionError(msg)


@dataclass(frozen=True, slots=True)
class _Raised:
    """A tool or a hook that ended with an exception."""

    error: BaseException
    timed_out: bool

    @property
    def reason(self) -> str:
        text = _message(self.error)
        if isinstance(self.error, ToolError) and text:
            return text
        return f"{type(self.error).__name__}{': ' if text else ''}{text}"


def _failure(error: BaseException, usual: ToolFailure) -> ToolFailure:
    """The failure of a call that has changed nothing: the one that its error names, else the usual one."""
    return error.failure if isinstance(error, ToolError) and error.failure != "failed" else usual


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - even this is foreign code
        return ""
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"
