"""Certificates between the hosts of one site, made from one secret: the same on every run, and nowhere to be kept.

The keys are derived, signatures are made without chance (Ed25519; ECDSA as in RFC 6979), and the dates are fixed; so a
certificate is a function of the secret and of names. A host that is lost gets the same ones again, and another secret
replaces all of them.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

# What both sides know one another by, beside the address.
NAME = "portcullis"
# As long as a site may live. What is trusted is the secret; it is exchanged, not waited for.
SINCE, UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2074, 1, 1, tzinfo=UTC)
# Of P-256 (FIPS 186-4, D.1.2.3).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Issued:
    """PEM texts: a certificate and what is between it and the authority above, its key, and that authority."""

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


def _curve_key(secret: SecretStr, what: str) -> ec.EllipticCurvePrivateKey:
    # 16 bytes more than the order of P-256 has, so that what is left over favours no key (FIPS 186-5, A.2.1).
    number = int.from_bytes(_derived(secret, f"site key {what}", 48), "big")
    return ec.derive_private_key(number % (ORDER - 1) + 1, ec.SECP256R1())


def _authority_name(key: ec.EllipticCurvePrivateKey) -> x509.Name:
    # Each authority has a name of its own: where one has signed another, a client tells the two apart by it.
    digest = hashlib.sha256(x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest).hexdigest()
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} site {digest[:12]}")])


def _site_signed(
    secret: SecretStr, what: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...] = ()
) -> str:
    """A certificate for ``key``, signed by the authority of ``secret``: for a server with names, else for another."""
    above = _curve_key(secret, "authority")
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_authority_name(above))
        .public_key(key.public_key())
        .serial_number(int.from_bytes(_derived(secret, f"site serial {what}", 16), "big") | 1)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .add_extension(_usage(authority=not names), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([general_name(one) for one in names]), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    # Not Ed25519: PostgreSQL and libpq bind a password's proof to the hash that a certificate is signed with, and end
    # a connection whose certificate has none (be_tls_get_certificate_hash in be-secure-openssl.c).
    signed = made.sign(above, hashes.SHA256(), ecdsa_deterministic=True)
    return signed.public_bytes(Encoding.PEM).decode()


def general_name(text: str) -> x509.GeneralName:
    """An IP address, or a name of the DNS, as a certificate has it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@cache
def serve(secret: SecretStr, what: str, names: tuple[str, ...], before: SecretStr | None = None) -> Issued:
    """The certificate with which ``what`` answers under ``names``, which are IP addresses or of the DNS.

    With the secret ``before`` the authority is signed by that one's too: whoever trusts either accepts the certificate,
    so clients may come to the new authority one after the other.
    """
    root, own = _curve_key(secret, "authority"), _curve_key(secret, f"{what} {' '.join(names)}")
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} {what}")])
    chain = _site_signed(secret, f"{what} {' '.join(names)}", common, own, names)
    if before is not None:
        chain += _site_signed(before, f"of {_authority_name(root).rfc4514_string()}", _authority_name(root), root)
    return Issued(
        chain,
        # Without an end of line, as a secret that is read from a file.
        SecretStr(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().rstrip()),
        _site_signed(secret, "authority", _authority_name(root), root),
    )
