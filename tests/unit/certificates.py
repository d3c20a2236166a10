"""Certificates for tests, made with the library that comes with pyinfra: good ones, and ones with one mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploys.lib.authority import general_name


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> str:
    kind: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        kind = serialization.BestAvailableEncryption(password)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, kind).decode()


@dataclass(frozen=True)
class Authority:
    """An authority of our own, and below it certificates for addresses."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def text(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, addresses: Sequence[str], first: int = -1, last: int = 30, strict: bool = True) -> tuple[str, str]:
        """A certificate and its key, good from ``first`` to ``last`` day from now; ``strict`` as RFC 5280 wants it."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [general_name(address) for address in addresses]
        builder = _builder("redis", self.certificate.subject, key, first, last)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if strict:
            above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(above, critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode(), pem(key)

    def vouch(self, other: Authority) -> str:
        """A certificate for ``other``, signed by this one."""
        builder = _authority(other.name, self.certificate.subject, other.key)
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = builder.add_extension(above, critical=False).sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, first: int, last: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first))
        .not_valid_after(now + timedelta(days=last))
    )


def _authority(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(name, issuer, key, -10, 365)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority(name: str = "authority") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(name, key, _authority(name, named(name), key).sign(key, hashes.SHA256()))


def settings(folder: Path, addresses: Sequence[str], above: Authority | None = None) -> dict[str, object]:
    """Settings of a Redis with TLS for ``addresses``, with the files they name written to ``folder``."""
    above = above or authority()
    certificate, key = above.sign(addresses)
    for name, text in (("redis.crt", certificate), ("redis.key", key), ("ca.crt", above.text)):
        (folder / name).write_text(text)
    return {
        "redis_tls": True,
        "redis_tls_certificate": str(folder / "redis.crt"),
        "redis_tls_key": f"file:{folder / 'redis.key'}",
        "redis_tls_ca": str(folder / "ca.crt"),
    }


def postgres(folder: Path, addresses: Sequence[str]) -> dict[str, object]:
    """The same of a PostgreSQL."""
    return {name.replace("redis_", "postgres_"): value for name, value in settings(folder, addresses).items()}


EDGE_NAME = "llm.example.org"


def edge(folder: Path, names: Sequence[str] = (EDGE_NAME,), above: Authority | None = None) -> dict[str, object]:
    """Settings of an edge for ``names``, with the files they name written to ``folder``."""
    above = above or authority()
    certificate, key = above.sign(names, last=90)
    for name, text in (("edge.crt", certificate), ("edge.key", key), ("edge-ca.crt", above.text)):
        (folder / name).write_text(text)
    return {
        "edge_names": list(names),
        "edge_tls_certificate": str(folder / "edge.crt"),
        "edge_tls_key": f"file:{folder / 'edge.key'}",
        "edge_tls_ca": str(folder / "edge-ca.crt"),
    }
