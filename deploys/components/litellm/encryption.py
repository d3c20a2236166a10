"""What LiteLLM encrypts, decrypted on the controlling machine: an offered salt key is tried before a host has it."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

MARKED = "litellm_enc::"
# Written where general_settings.encryption_algorithm says aes-256-gcm; everything else is XSalsa20-Poly1305.
GCM = "v2:gcm:"


def opens(text: str, salt: str) -> str | None:
    """What a stored text says when it was encrypted with the salt key; None when it was not.

    The same as LiteLLM 1.106.2's litellm/proxy/common_utils/encrypt_decrypt_utils.py, which a test compares it with.
    """
    text = text.removeprefix(MARKED)
    key = hashlib.sha256(salt.encode()).digest()
    try:
        if text.startswith(GCM):
            sealed = base64.urlsafe_b64decode(text.removeprefix(GCM))
            return AESGCM(key).decrypt(sealed[:12], sealed[12:], None).decode()
        return SecretBox(key).decrypt(base64.urlsafe_b64decode(text)).decode()
    except (CryptoError, InvalidTag, ValueError):
        return None
