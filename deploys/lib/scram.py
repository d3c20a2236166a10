"""SCRAM-SHA-256 verifiers, made on the controlling machine so that no password travels in a statement."""

from __future__ import annotations

import base64
import hashlib
import hmac

ITERATIONS = 4096  # PostgreSQL's own default (scram_iterations)


def verifier(role: str, password: str) -> str:
    """What PostgreSQL stores for ``password`` (RFC 5803 form).

    The salt is derived from password and role, so the same input gives the same text and a second run can see that
    nothing changed; two roles or two passwords never share a salt. It is as dear to compute as the verifier: the server
    tells it to whoever asks to log in, and a cheap one would be a cheap way to try passwords.
    """
    salt = hashlib.pbkdf2_hmac("sha256", password.encode(), b"portcullis salt for " + role.encode(), ITERATIONS)[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    stored = hashlib.sha256(client).digest()
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt64}${stored64}:{server64}"


def digest_of(made: str) -> str:
    """A verifier's SHA-256 in hexadecimal, to compare without showing it."""
    return hashlib.sha256(made.encode()).hexdigest()
