"""What a parsing process may use, and the walls that it puts around itself before it reads a document.

Limits of the operating system hold against native parsers too; the audit hook only keeps Python code honest.
What the platform lacks is left out: the time limit and the killing are the parent's and hold everywhere.
"""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass

from records.confinement import die_with, limit_memory, lower

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h

_FORBIDDEN_EVENTS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """What one document may cost.

    Attributes:
        seconds: Wall time; also bounds the processor time, times the two threads a native parser may use.
        memory_bytes: Writable memory of the parsing process, its libraries included.
        input_bytes: The largest file that is read at all.
        output_chars: The longest text that is taken back.
        documents_per_process: A process is replaced after this many, so that leaks stay small.
        resident_bytes: A process that stays larger than this after a document is replaced.
    """

    seconds: float = 60.0
    memory_bytes: int = 2 << 30
    input_bytes: int = 256 << 20
    output_chars: int = 32_000_000
    documents_per_process: int = 1000
    resident_bytes: int = 768 << 20


def confine(limits: ParseLimits) -> None:
    """Put the calling process behind its walls: memory, files, network, children, and death with its parent."""
    limit_memory(limits.memory_bytes)
    lower(resource.RLIMIT_FSIZE, limits.input_bytes)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_NOFILE, 128)
    die_with(os.getppid())
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    sys.addaudithook(_refuse)


def allow_processor_time(seconds: float) -> None:
    """Let the process use this much more processor time; beyond it the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    ceiling = int(used.ru_utime + used.ru_stime + seconds * 2) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or ceiling < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (ceiling, hard))


def resident_bytes() -> int:
    """The process's resident memory now, or its peak where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN_EVENTS:
        raise PermissionError(f"a parsing process may not do this: {event}")
