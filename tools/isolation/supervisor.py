"""The process between the service and a program that it starts: whatever the program has started ends with it.

It takes no part in what the two say to each other: the program has its standard streams. When the program ends, when
the service asks for it (SIGTERM), or when the service dies, it kills the program and everything that descends from it,
also what has left its process group: on Linux such orphans come to whoever is named as their reaper (prctl(2)).
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from records.confinement import die_with, lower

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 2.0
_NO_SUCH_PROGRAM = 127


def main(parent: int, memory_bytes: int, command: Sequence[str]) -> None:
    """Run the command on behalf of the process ``parent``.

    Args:
        parent: Its death ends everything.
        memory_bytes: What each of the program's processes may write to.
        command: The program and its arguments.
    """
    status = _NO_SUCH_PROGRAM
    signal.signal(signal.SIGTERM, _leave)
    try:
        _adopt_orphans()
        die_with(parent, signal.SIGTERM)
        # Only what it writes to counts: runtimes reserve far more addresses than they ever use.
        limit = partial(lower, resource.RLIMIT_DATA, memory_bytes)
        program = subprocess.Popen(command, start_new_session=True, preexec_fn=limit)  # noqa: PLW1509, S603 - no threads here; the operator's command
        _let_go_of_streams()
        status = program.wait()
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
    finally:
        _end_everything()
        os._exit(status if 0 <= status < 256 else 1)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _let_go_of_streams() -> None:
    """Leave the program's streams to it alone, so that their end is seen when it ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _end_everything() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until = time.monotonic() + _PATIENCE
    while (left := descendants(os.getpid())) and time.monotonic() < until:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        _reap()
        time.sleep(0.005)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def descendants(process: int) -> list[int]:
    """The living processes that descend from this one; none where there is no /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Behind the name, which may hold anything: the state, then the parent (proc(5)).
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):  # it has just ended
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    found, last = [], {process}
    while last:
        last = {child for child, parent in parents.items() if parent in last}
        found += sorted(last)
    return found
