"""Sealing tokens: what is kept of one shows nothing, and opens for its own run under the same secret only."""

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.approvals.signing import Signer
from agent.subject_token import TokenSealer
from tools.results import NOT_DONE, ToolResult
from tools.withheld import withheld

TOKEN = SecretStr("token-of-ada")
SEALER = TokenSealer(Signer(b"s" * 32))


def test_a_token_opens_for_its_run() -> None:
    sealed = SEALER.seal(TOKEN, "acme", "run-1")
    assert b"ada" not in sealed
    assert TokenSealer(Signer(b"s" * 32)).open(sealed, "acme", "run-1") == TOKEN
    assert sealed != SEALER.seal(TOKEN, "acme", "run-1")


def test_where_there_is_none_there_is_none() -> None:
    assert SEALER.open(None, "acme", "run-1") is None


@pytest.mark.parametrize(
    ("tenant", "run_id", "sealer"),
    [
        ("acme", "run-2", SEALER),
        ("bolt", "run-1", SEALER),
        ("acme", "run-1", TokenSealer(Signer(b"t" * 32))),
    ],
)
def test_it_opens_for_no_other_run_tenant_or_secret(tenant: str, run_id: str, sealer: TokenSealer) -> None:
    with capture_logs() as logged:
        assert sealer.open(SEALER.seal(TOKEN, "acme", "run-1"), tenant, run_id) is None
    assert [entry["reason"] for entry in logged] == ["InvalidTag"]


def test_whatever_is_changed_of_it_keeps_it_from_opening() -> None:
    sealed = SEALER.seal(TOKEN, "acme", "run-1")
    changed = [sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in range(len(sealed))]
    cut = [sealed[:length] for length in range(len(sealed))]
    assert [SEALER.open(each, "acme", "run-1") for each in (*changed, *cut)] == [None] * (2 * len(sealed))


def test_a_derived_key_is_neither_the_secret_nor_that_for_another_purpose() -> None:
    signer = Signer(b"s" * 32)
    keys = {signer.derive("one"), signer.derive("two"), b"s" * 32}
    assert (len(keys), {len(key) for key in keys}) == (3, {32})


def test_a_result_shows_no_token_wherever_it_stands() -> None:
    result = ToolResult(content="of token-of-ada", value={"token-of-ada": ["x token-of-ada y", 1, None]})
    shown = withheld(result, TOKEN)
    assert (shown.content, shown.value) == ("of [secret]", {"[secret]": ["x [secret] y", 1, None]})


def test_what_has_nothing_to_hide_stays_what_it_is() -> None:
    result = ToolResult(content="fine")
    assert withheld(result, None) is result
    assert withheld(result, SecretStr("")) is result
    assert withheld(NOT_DONE, TOKEN) is NOT_DONE
    assert withheld(None, TOKEN) is None
