"""Signatures and the secret that they are made with."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approvals.signing import SecretError, Signer, canonical, digest, read_secret, secret_of_folder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_signature_is_the_known_one_of_the_standard_functions() -> None:
    # From: printf 'cairn\0label\0{"a":[1,null]}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:00…00
    known = "672bbbce3f91900adc4e63ea87048b1fc2688fb55d21061960acd706a0b2a257"
    assert Signer(bytes(32)).sign("label", {"a": [1, None]}) == known


@given(JSON)
def test_the_order_of_keys_and_a_trip_through_json_change_no_digest(data: object) -> None:
    import json

    assert digest(json.loads(json.dumps(data))) == digest(data)
    assert json.loads(canonical({"b": data, "a": 1})) == {"a": 1, "b": data}
    assert canonical({"b": data, "a": 1}) == canonical({"a": 1, "b": data})


@given(JSON, JSON)
def test_other_data_another_label_or_another_secret_do_not_verify(data: object, other: object) -> None:
    signer = Signer(b"\1" * 32)
    signature = signer.sign("label", data)
    assert signer.verify("label", data, signature)
    assert signer.verify("label", other, signature) == (canonical(other) == canonical(data))
    assert not signer.verify("another", data, signature)
    assert not Signer(b"\2" * 32).verify("label", data, signature)


@pytest.mark.parametrize("signature", [None, "", "0" * 64, "ü"])
def test_no_signature_and_a_wrong_one_do_not_verify(signature: str | None) -> None:
    assert not Signer(bytes(32)).verify("label", {}, signature)


def test_not_a_number_is_not_signed() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest({"amount": float("nan")})


def test_a_folder_keeps_the_secret_that_was_made_once_and_shows_it_to_nobody_else(tmp_path: Path) -> None:
    made = secret_of_folder(tmp_path)
    assert len(made) == 32
    assert secret_of_folder(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert secret_of_folder(tmp_path / "other") != made


async def test_processes_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    # Each waits for the go, so that they come as close together as they can.
    code = (
        "import sys; from pathlib import Path; from agent.approvals.signing import secret_of_folder\n"
        "print('ready', flush=True); sys.stdin.readline(); print(secret_of_folder(Path(sys.argv[1])).hex())"
    )
    pipe = asyncio.subprocess.PIPE
    makers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(tmp_path), stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert await maker.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(maker.communicate(b"go\n") for maker in makers))
    assert {output.strip().decode() for output, _ in outputs} == {secret_of_folder(tmp_path).hex()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("text", ["", "short", "g" * 64, "0" * 63, "0" * 66])
def test_what_is_no_secret_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SecretError, match="openssl rand") as raised:
        read_secret(text)
    assert not text or text not in str(raised.value)
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(SecretError, match=r"secret\.key is no secret"):
        secret_of_folder(tmp_path)


def test_a_secret_is_read_from_its_digits() -> None:
    assert read_secret("Ab" * 32 + "\n") == b"\xab" * 32
