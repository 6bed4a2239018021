"""Signatures of deliveries as Standard Webhooks 1.0 has them: HMAC-SHA256 over id, time and body.

See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
_LENGTHS = range(24, 65)


def secret_bytes(text: str) -> bytes:
    """The secret that ``whsec_…`` stands for.

    Raises:
        ValueError: It is none; the message does not show it.
    """
    wrong = f"a webhook's secret is {PREFIX} and 24 to 64 bytes in base64, as `cairn webhooks secret` makes them"
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(PREFIX) or len(secret) not in _LENGTHS:
        raise ValueError(wrong)
    return secret


def new_secret() -> str:
    """A secret that nobody has."""
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


def signed_headers(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of a delivery.

    Args:
        secrets: Each gives a signature, and one of them is enough to whoever verifies.
        timestamp: When it is sent, this time, in seconds since 1970: receivers refuse what is minutes old.
    """
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signatures = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
