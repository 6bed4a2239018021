"""Deliveries are signed as Standard Webhooks has it: the scheme's own implementation verifies them."""

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from agent.webhooks.signing import new_secret, secret_bytes, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"run.completed","data":{"answer":"né 🪨"}}'.encode()


def test_the_vector_of_the_specification_comes_out() -> None:
    """As the reference implementations test themselves."""
    headers = signed_headers(
        [secret_bytes(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_whoever_has_the_secret_can_verify_and_nobody_else() -> None:
    moment = int(time.time())
    headers = dict(signed_headers([secret_bytes(SECRET)], "id", moment, BODY))
    assert Webhook(SECRET).verify(BODY, headers) == {"type": "run.completed", "data": {"answer": "né 🪨"}}
    for secret, body, changed in (
        (new_secret(), BODY, {}),
        (SECRET, BODY + b" ", {}),
        (SECRET, BODY, {"webhook-id": "other"}),
        (SECRET, BODY, {"webhook-timestamp": str(moment + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers | changed)


def test_while_a_secret_is_changed_the_old_one_and_the_new_one_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = dict(signed_headers([secret_bytes(new), secret_bytes(old)], "id", int(time.time()), BODY))
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "whsec_",
        "whsec_short",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        base64.b64encode(b"x" * 32).decode(),
        "whsec_" + "ü" * 40,
        "whsec_" + base64.b64encode(b"x" * 32).decode()[:-1] + "!",
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as refused:
        secret_bytes(wrong)
    assert len(wrong) < 7 or wrong not in str(refused.value)


def test_a_new_secret_is_one_and_never_the_same() -> None:
    assert len(secret_bytes(new_secret())) == 32
    assert new_secret() != new_secret()
