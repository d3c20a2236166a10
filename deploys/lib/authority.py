"""Certificates between the hosts of one site, made from one secret: the same on every run, and nowhere to be kept.

The keys are derived, Ed25519 signs without chance, and the dates are fixed; so a certificate is a function of the
secret and of an address. A host that is lost gets the same ones again, and another secret replaces all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

# What both sides know one another by, beside the address.
NAME = "portcullis"
# As long as a site may live. What is trusted is the secret; it is exchanged, not waited for.
SINCE, UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2074, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """PEM texts: a certificate, its key, and the authority above it."""

    certificate: str
    key: SecretStr
    authority: str


def _derived(secret: SecretStr, what: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=f"portcullis {what}".encode()).derive(
        secret.get_secret_value().encode()
    )


def _signed(
    secret: SecretStr, what: str, key: Ed25519PrivateKey, names: tuple[str, ...]
) -> tuple[x509.Certificate, Ed25519PrivateKey]:
    own = Ed25519PrivateKey.from_private_bytes(_derived(secret, f"key {what}", 32))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME if names else f"{NAME} authority")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} authority")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        # Positive, and at most 20 bytes (RFC 5280, 4.1.2.2).
        .serial_number(int.from_bytes(_derived(secret, f"serial {what}", 16), "big") | 1)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=not names), critical=True)
    )
    if names:
        # pgBackRest compares the address as the text of a DNS name.
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return made.sign(key, None), own


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


@cache
def issue(secret: SecretStr, address: str) -> Issued:
    """The certificate of the host that the others reach at ``address``, as server and as client."""
    root = Ed25519PrivateKey.from_private_bytes(_derived(secret, "key authority", 32))
    above, _ = _signed(secret, "authority", root, ())
    below, key = _signed(secret, address, root, (address,))
    return Issued(
        below.public_bytes(Encoding.PEM).decode(),
        SecretStr(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()),
        above.public_bytes(Encoding.PEM).decode(),
    )
