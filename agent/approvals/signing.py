"""Signatures over records that decide what is done: who can write to the database still cannot forge one."""

import hashlib
import hmac
import json
import os
import re
from pathlib import Path
from typing import Any

SECRET_BYTES = 32
_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * SECRET_BYTES}}}")
_HOW = f"write {2 * SECRET_BYTES} hexadecimal digits, as `openssl rand -hex {SECRET_BYTES}` gives them"


class SecretError(Exception):
    """The secret cannot be used; the message says why and what to do."""


class Signer:
    """Signs JSON data with HMAC-SHA256 (RFC 2104) under the service's secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, label: str, data: Any) -> str:
        """The signature of ``data``, in hexadecimal; what was signed under another label does not fit."""
        message = b"\0".join((b"cairn", label.encode(), canonical(data)))
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def verify(self, label: str, data: Any, signature: str | None) -> bool:
        """Whether ``signature`` is the one of ``data`` under this label."""
        return hmac.compare_digest(self.sign(label, data).encode(), (signature or "").encode())

    def derive(self, label: str) -> bytes:
        """A key of 32 bytes for another purpose, from which the secret cannot be told (HKDF-SHA256, RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), SECRET_BYTES, salt=None, info=b"cairn\0" + label.encode()).derive(self._secret)


def canonical(data: Any) -> bytes:
    """JSON in which equal data are the same bytes: keys sorted, no spaces, ASCII only.

    Raises:
        ValueError: There is NaN or Infinity in it.
        TypeError: It is no JSON data.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(data: Any) -> str:
    """The SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(data)).hexdigest()


def read_secret(text: str) -> bytes:
    """The secret that hexadecimal digits stand for.

    Raises:
        SecretError: They are not that many hexadecimal digits.
    """
    if not _HEX.fullmatch(text.strip()):
        raise SecretError(f"the secret cannot be read; {_HOW}")
    return bytes.fromhex(text.strip())


def secret_of_folder(folder: Path) -> bytes:
    """The secret in the folder's ``secret.key``, made when there is none; of several makers at once the first wins.

    Raises:
        SecretError: The file is there, but is no secret.
        OSError: It cannot be read or written.
    """
    path = folder / "secret.key"
    if not path.exists():
        _make(path)
    try:
        return read_secret(path.read_text(encoding="ascii"))
    except (SecretError, UnicodeDecodeError) as error:
        raise SecretError(f"{path} is no secret; restore it from a backup, or {_HOW}") from error


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(SECRET_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never takes the place of a file that another process has put there meanwhile.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
