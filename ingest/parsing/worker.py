"""The process that parses: one document after the other, told over a pipe, killed when it misbehaves.

A message is a line of JSON, then as many bytes as its ``size`` says. The parent sends a request with the document's
bytes; the process answers ``taken`` before it starts, then the text or the reason why there is none.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from ingest.parsing.limits import ParseLimits, allow_processor_time, confine, resident_bytes
from ingest.parsing.parsed import ParsedDocument, ParseError

_DEEPEST_CALLS = 5000  # some pages nest hundreds of elements, and each takes a few calls

Parse = Callable[..., ParsedDocument]


def serve(parse: Parse, limits: ParseLimits) -> None:
    """Answer requests with what ``parse(data, name=…, media_type=…)`` returns or raises, until the parent hangs up."""
    requests, answers = _private_pipes()
    confine(limits)
    while (request := _receive(requests)) is not None:
        header, data = request
        _send(answers, {"taken": True})
        allow_processor_time(limits.seconds)
        os.ftruncate(2, 0)
        answer, text = _answer(parse, header, data, limits)
        del request, data
        _send(answers, {**answer, "resident": resident_bytes()}, text)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the two pipes away from the libraries, whose chatter goes where errors go."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, answers


def _receive(pipe: BinaryIO) -> tuple[Mapping[str, Any], bytes] | None:
    line = pipe.readline()
    if not line:
        return None
    header = json.loads(line)
    return header, pipe.read(header["size"])


def _send(pipe: BinaryIO, header: Mapping[str, Any], body: bytes = b"") -> None:
    pipe.write(json.dumps({**header, "size": len(body)}).encode() + b"\n" + body)
    pipe.flush()


def _answer(parse: Parse, header: Mapping[str, Any], data: bytes, limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    try:
        parsed = parse(data, name=header["name"], media_type=header["media_type"])
        if len(parsed.text) > limits.output_chars:
            raise ParseError("too_large", f"it holds more than {limits.output_chars:,} characters of text: split it")
    except ParseError as error:
        return {"error": error.code, "message": str(error)}, b""
    except MemoryError:
        return {"error": "memory", "message": "it needs more memory to parse than one document may use"}, b""
    except RecursionError:
        return {"error": "corrupt", "message": "it is nested too deeply to be read"}, b""
    except Exception as error:  # noqa: BLE001 - whatever a parser raises is this document's error, not the process's
        return {"error": "corrupt", "message": f"it could not be read ({type(error).__name__}): is it damaged?"}, b""
    fields = asdict(parsed)
    return {"parsed": fields}, fields.pop("text").encode()


def main() -> None:
    """Serve with the limits given as JSON in the first argument."""
    from ingest.parsing.dispatch import parse

    sys.setrecursionlimit(_DEEPEST_CALLS)
    serve(parse, ParseLimits(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
