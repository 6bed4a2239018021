"""A server's tools as they were first listed: that is what they are, whatever the server says of them later."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import structlog

from tools.errors import ToolDefinitionError
from tools.mcp.described import Described
from tools.outcome import ToolError

_log = structlog.get_logger("cairn.mcp")

_MOST_TOLD = 1000


class Pins:
    """Takes the tools of a server as it lists them first, and refuses those that are something else later.

    Args:
        server: Its name, for the log.
        wanted: The names of the tools to take; all that are listed first if None.
        digests: What tools must be, by name.
        allow_changes: Whether a tool that is wanted by name may change.
        take: Offers a tool; may raise ``ToolDefinitionError``.
    """

    def __init__(
        self,
        server: str,
        *,
        wanted: Collection[str] | None,
        digests: Mapping[str, str],
        allow_changes: bool,
        take: Callable[[Described], None],
    ) -> None:
        self._server = server
        self._wanted = None if wanted is None else frozenset(wanted)
        self._digests = dict(digests)
        self._may_change = allow_changes and wanted is not None
        self._offer = take
        self._taken: dict[str, Described] = {}
        self._refused: dict[str, Literal["gone", "changed"]] = {}
        self._passed_over: set[str] = set()

    @property
    def taken(self) -> Mapping[str, Described]:
        """The tools as they were taken, by their names there."""
        return dict(self._taken)

    def wants(self, remote: str) -> bool:
        """Whether the tool is to be offered at all."""
        return self._wanted is None or remote in self._wanted

    def listed(self, names: Collection[str], found: Sequence[Described]) -> None:
        """Told what the server lists.

        Args:
            names: All that it lists.
            found: What is wanted of that, and can be read.
        """
        readable = {said.remote for said in found}
        for name in self._taken.keys() - readable:
            if name in names:
                self._refuse(name, "changed", "what the server says of it now cannot be read")
            else:
                self._refuse(name, "gone", "the server does not offer it any more")
        late = bool(self._taken) and self._wanted is None
        for said in found:
            before = self._taken.get(said.remote)
            if before is None:
                self._meet(said, late=late)
            else:
                self._compare(before, said)
        missing = (self._wanted or frozenset()) - self._taken.keys() - readable
        if missing:
            _log.warning("a server lacks tools that are wanted", server=self._server, tools=sorted(missing))

    def require_unchanged(self, remote: str) -> None:
        """See that a tool is still what it was.

        Raises:
            ToolError: It is not.
        """
        match self._refused.get(remote):
            case "gone":
                raise ToolError("its server does not offer it any more")
            case "changed":
                raise ToolError(
                    "its server describes it in another way than when it was taken; an operator has to look at that"
                )

    def _meet(self, said: Described, *, late: bool) -> None:
        digest = self._digests.get(said.remote)
        if digest is not None and digest != said.digest:
            self._pass_over(said, "it is not what it is pinned to")
        elif late:
            self._pass_over(said, "it has appeared since, and is not named in tools")
        else:
            self._take(said, "a tool is taken")

    def _compare(self, before: Described, said: Described) -> None:
        if before.digest == said.digest:
            if self._refused.get(said.remote) == "gone":
                del self._refused[said.remote]
                _log.info("a tool is offered again", server=self._server, tool=said.remote)
        elif self._may_change and said.remote not in self._digests:
            self._take(said, "a tool has changed")
        else:
            self._refuse(said.remote, "changed", "what the server says of it has changed since it was first listed")

    def _take(self, said: Described, event: str) -> None:
        try:
            self._offer(said)
        except ToolDefinitionError as error:
            self._pass_over(said, str(error))
            return
        self._taken[said.remote] = said
        self._refused.pop(said.remote, None)
        _log.info(event, server=self._server, tool=said.remote, digest=said.digest)

    def _pass_over(self, said: Described, reason: str) -> None:
        # Once for each: a server may list as often as it likes.
        if said.digest not in self._passed_over and len(self._passed_over) < _MOST_TOLD:
            self._passed_over.add(said.digest)
            told = {"server": self._server, "tool": said.remote[:200], "digest": said.digest}
            _log.warning("a tool is not offered", reason=reason, **told)

    def _refuse(self, remote: str, kind: Literal["gone", "changed"], reason: str) -> None:
        # What has changed once is not trusted again, though it went away and came back.
        if self._refused.get(remote) not in {kind, "changed"}:
            self._refused[remote] = kind
            _log.warning("a tool is refused", server=self._server, tool=remote, reason=reason)
