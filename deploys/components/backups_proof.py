"""What a backup says of the salt key of its database: a text encrypted with it, which only that key opens.

It stands in the backup's own list, so a rebuild asks before it restores anything. Made on the controlling machine,
where the key is, and the same on every run: its nonce is derived instead of drawn, for this one text only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from nacl.secret import SecretBox

from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib.component import Here

# Never changed: every backup in use has it.
TEXT = "portcullis: whoever can read this has the salt key of this backup"


def sealed(salt: str) -> str:
    """``TEXT`` as LiteLLM would encrypt it with the salt key."""
    key = hashlib.sha256(salt.encode()).digest()
    nonce = hmac.digest(key, TEXT.encode(), "sha256")[: SecretBox.NONCE_SIZE]
    return base64.urlsafe_b64encode(SecretBox(key).encrypt(TEXT.encode(), nonce)).decode()


def salt_of(here: Here) -> str:
    """The salt key that the site's gateways are offered; empty when it has none."""
    for member in here.of("litellm"):
        s = member.settings["litellm"]
        assert isinstance(s, LitellmSettings)
        return s.salt_key.get_secret_value()
    return ""


def fits(proof: str, salt: str) -> bool:
    """Whether a backup with this proof is of a database with this salt key."""
    return opens(proof, salt) == TEXT
