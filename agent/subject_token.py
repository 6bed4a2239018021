"""What the asker of a run is known by at back ends: kept with the run, encrypted, for as long as the run lives.

AES-GCM (NIST SP 800-38D) under a key of its own that is derived from the service's secret. What was encrypted for one
run opens for no other, so that nobody gets another's rights by moving it in the database.
"""

import os
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from agent.approvals.signing import Signer, canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_log = structlog.get_logger("cairn.runs")

_LABEL = "subject token of a run"
_VERSION = b"\x01"
_NONCE_BYTES = 12


class TokenSealer:
    """Encrypts the tokens of those who ask.

    Args:
        signer: Has the secret that the key is derived from.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._key: bytes | None = None

    def seal(self, token: SecretStr, tenant: str, run_id: str) -> bytes:
        """The token, for this run only."""
        nonce = os.urandom(_NONCE_BYTES)
        plain = token.get_secret_value().encode()
        return _VERSION + nonce + self._cipher().encrypt(nonce, plain, _bound_to(tenant, run_id))

    def open(self, sealed: bytes | None, tenant: str, run_id: str) -> SecretStr | None:
        """The token that was sealed for this run; None when there is none, or when it cannot be opened any more.

        Then the run goes on, and whatever needs the token says that there is none.
        """
        if sealed is None:
            return None
        from cryptography.exceptions import InvalidTag

        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if version != _VERSION:
                raise ValueError("it was sealed by another version")
            return SecretStr(self._cipher().decrypt(nonce, rest, _bound_to(tenant, run_id)).decode())
        except (InvalidTag, ValueError) as error:
            _log.error("a token cannot be opened; was the secret changed?", run_id=run_id, reason=type(error).__name__)
            return None

    def _cipher(self) -> "AESGCM":
        # Imported here, as most services never see such a token.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._key is None:
            self._key = self._signer.derive(_LABEL)
        return AESGCM(self._key)


def _bound_to(tenant: str, run_id: str) -> bytes:
    return canonical([tenant, run_id])
