"""The header with which a back end says who of its users a question is for: a token that connectors send on."""

import re
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from service.problems import ProblemError

HEADER = "Cairn-Subject-Token"
MOST = 8192
"""Characters of a token; longer ones are refused."""

_FORM = re.compile(rf"[\x21-\x7e]{{1,{MOST}}}", re.ASCII)


async def subject_token(request: Request) -> SecretStr | None:
    """The token that the request brings of whoever it is for, if it does. It is not looked into: only back ends can.

    Raises:
        ProblemError: It is none. What came is not repeated.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _FORM.fullmatch(given[0]):
        detail = f"{HEADER} must be one token of 1 to {MOST} visible ASCII characters, without `Bearer` before it"
        raise ProblemError(400, "invalid_subject_token", detail)
    return SecretStr(given[0])


SubjectTokenDep = Annotated[SecretStr | None, Depends(subject_token)]
"""For routes that start a run."""
