"""The process that runs one tool: one call after the other, told over a socket, killed when it misbehaves.

A message is its length and its bytes. The parent sends the job, then one call at a time, both pickled: it is trusted.
This process is not, so what it answers is JSON: ``{"ready": …}`` once, then the result of each call.
"""

import asyncio
import inspect
import math
import os
import pickle
import socket
from typing import Any, BinaryIO

from records.confinement import die_with, limit_memory
from tools.decorator import ToolOptions, make_tool
from tools.isolation.job import LENGTH, Job
from tools.results import ToolResult
from tools.serialise import to_json
from tools.tool import Tool


def main(parent: int) -> None:
    """Serve the process ``parent``, which speaks through standard input, until it hangs up."""
    die_with(parent)
    with _private_socket() as connection, connection.makefile("rb") as requests:
        job = _load(requests)
        if not isinstance(job, Job):
            return
        limit_memory(job.memory_bytes)
        try:
            tool = _tool(job)
        except BaseException as error:  # noqa: BLE001 - importing and constructing are foreign code
            _send(connection, to_json({"ready": False, "error": f"{type(error).__name__}: {error}"}))
            requests.read()
            return
        _send(connection, to_json({"ready": True}))
        _serve(tool, connection, requests)


def _serve(tool: Tool, connection: socket.socket, requests: BinaryIO) -> None:
    own = os.getpid()
    # One loop for all calls: a tool may keep connections that belong to it.
    with asyncio.Runner() as runner:
        while (request := _load(requests)) is not None:
            arguments, context = request
            result = runner.run(tool.call(arguments, context))
            if os.getpid() != own:
                os._exit(0)  # the tool forked and came back twice; only one of the two may answer
            _send(connection, _encoded(result, tool.name))


def _tool(job: Job) -> Tool:
    """The tool, to be run in this process; the parent keeps the time."""
    target = job.whereabouts.find()
    options = ToolOptions(name=job.name, effect=job.effect, timeout=math.inf)
    return make_tool(target() if inspect.isclass(target) else target, options)


def _encoded(result: ToolResult, name: str) -> bytes:
    try:
        return to_json(result)
    except TypeError as error:
        content = f"{name} was done, but what it returned cannot be shown: {error}"
        return to_json(ToolResult(content=content, failure="unserialisable"))


def _private_socket() -> socket.socket:
    """Take standard input away from the tool, which may read from it or close it."""
    connection = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return connection


def _load(requests: BinaryIO) -> Any:
    """The next message; None when the parent has hung up."""
    prefix = requests.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    return pickle.loads(requests.read(LENGTH.unpack(prefix)[0]))  # noqa: S301 - from the process that started this one


def _send(connection: socket.socket, body: bytes) -> None:
    connection.sendall(LENGTH.pack(len(body)) + body)
