"""What a child process does to itself before it works: it dies with its parent and stays within its memory.

What the platform lacks is left out.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel kill this process when its parent dies, even in the midst of a call into native code (Linux).

    Args:
        parent: The parent, as it said itself: it may be dead already.
        number: The signal; one that is not SIGKILL may be handled.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit(0)


def limit_memory(size: int) -> None:
    """Let this process write to at most ``size`` bytes; beyond it, allocating fails.

    The address space may be twice as large: libraries reserve more than they use, but shared mappings count only there.
    """
    lower(resource.RLIMIT_DATA, size)
    lower(resource.RLIMIT_AS, size * 2)


def lower(which: int, value: int) -> None:
    """Lower a limit of this process (``resource.RLIMIT_…``) for good, where the system has it."""
    hard = resource.getrlimit(which)[1]
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (ceiling, ceiling))
    except (OSError, ValueError):  # not every system has every limit
        return
