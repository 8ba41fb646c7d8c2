"""Encryption of what leads back to a patient, by one key from the environment."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken

from fetal_hc.errors import ConfigError

KEY_VARIABLE = "FETAL_HC_PACS_KEY"
_REMEDY = "make one with Fernet.generate_key() of the library cryptography and keep it outside this machine too"


class Vault:
    """Encrypts, and gives fingerprints by which identifiers can be compared and not be read.

    Args:
        environment: that holds the key.

    Raises:
        ConfigError: if the key is missing or is no key of Fernet.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        key = environment.get(KEY_VARIABLE, "")
        if not key:
            raise ConfigError(f"{KEY_VARIABLE} is not set, so nothing of an archive may be kept; {_REMEDY}")
        try:
            self._cipher = Fernet(key)
            self._secret = hashlib.sha256(b"fingerprint" + base64.urlsafe_b64decode(key)).digest()
        except ValueError:
            raise ConfigError(f"{KEY_VARIABLE} is not a Fernet key; {_REMEDY}") from None

    def encrypt(self, content: bytes) -> bytes:
        """The content as only the key opens it."""
        return self._cipher.encrypt(content)

    def decrypt(self, content: bytes) -> bytes:
        """What was encrypted.

        Raises:
            ConfigError: if another key encrypted it, or it was damaged.
        """
        try:
            return self._cipher.decrypt(content)
        except InvalidToken:
            raise ConfigError(f"{KEY_VARIABLE} is not the key that this was written with; set that key") from None

    def fingerprint(self, content: bytes) -> str:
        """Keyed hash (HMAC-SHA256), 64 hexadecimal digits; the same content always has the same one."""
        return hmac.new(self._secret, content, hashlib.sha256).hexdigest()
