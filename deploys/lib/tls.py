"""Certificates of a service: what is wrong with them, found before anything is changed and as clients would find it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, SecretStr

from deploys.lib.settings import SecretText

# More than any key has, and less than a pipe holds of what nobody reads yet.
LARGEST_KEY = 32_000
MAKE_PLAIN = "openssl pkey -in OLD -out NEW"
# X509_V_ERR_* of OpenSSL's x509_vfy.h, for which a sentence of ours says more than its own.
TOO_EARLY, TOO_LATE, OTHER_NAME, OTHER_ADDRESS = 9, 10, 62, 64
NOT_SIGNED = (2, 7, 18, 19, 20, 21)


class Unusable(Exception):
    """``part`` is ``certificate``, ``key`` or ``ca``; the message is the rest of a sentence about it."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        super().__init__(why)


def _private_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if "ENCRYPTED" in text:
        raise ValueError(f"is encrypted, and nobody is there to type its passphrase at a start; {MAKE_PLAIN} decrypts")
    if len(re.findall(r"^-----BEGIN (?:\w+ )?PRIVATE KEY-----$", text, re.MULTILINE)) != 1:
        raise ValueError("is not a private key in PEM form, which begins with -----BEGIN PRIVATE KEY-----")
    if len(text) > LARGEST_KEY:
        raise ValueError(f"has more than {LARGEST_KEY:,} characters; give the key alone")
    return value


PrivateKey = Annotated[SecretText, AfterValidator(_private_key)]


def text_of(path: str) -> str:
    """The text of a file with certificates."""
    return Path(path).read_text().rstrip("\n") + "\n"


def check_file(part: str, path: str) -> None:
    """Raise Unusable, for ``part``, when ``path`` is not a file of certificates alone, in PEM form."""
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(part, f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    if "PRIVATE KEY" in text:
        # It goes where everyone on a host may read it.
        raise Unusable(part, f"{path} has a private key in it; give a file of certificates alone")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise Unusable(part, f"{path} is not a PEM certificate") from None


@contextmanager
def _fed(text: str) -> Iterator[str]:
    """A path under which OpenSSL, which takes a key from files only, reads ``text`` out of a pipe: it is on no disk."""
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "w") as pipe:
            pipe.write(text)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)


def _serving(certificate: str, key: SecretStr) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _fed(key.get_secret_value()) as path:
            context.load_cert_chain(certificate, path)
    except OSError as error:
        why = str(getattr(error, "reason", None) or "")
        # A key that does not belong to it leaves the failed seek of a pipe behind, instead of a reason.
        if why.startswith(("EE_", "CA_")):
            raise Unusable("certificate", f"OpenSSL refuses it: {why.lower().replace('_', ' ')}") from None
        raise Unusable("key", "is not the key of the certificate") from None
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(ours, theirs, server_hostname=name),
        server.wrap_bio(theirs, ours, server_side=True),
    ]
    for _ in range(8):  # more than any version of the protocol needs
        for end in tuple(ends):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)


def _why(error: ssl.SSLCertVerificationError, name: str) -> Unusable:
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        kind = "IP" if error.verify_code == OTHER_ADDRESS else "DNS"
        return Unusable("certificate", f"is not for {name}; its subjectAltName must have {kind}:{name}")
    if error.verify_code in NOT_SIGNED:
        why = "has not signed the certificate; give the root, and what is between the two below the certificate"
        return Unusable("ca", why)
    if error.verify_code in (TOO_EARLY, TOO_LATE):
        when = "has expired" if error.verify_code == TOO_LATE else "is not valid yet"
        return Unusable("certificate", f"{when}, or an authority's above it; give a new one")
    return Unusable("certificate", f"clients would refuse it: {error.verify_message}")


def _roots(authorities: str) -> str:
    """The certificates of a file that are signed by nobody above them."""
    try:
        found = x509.load_pem_x509_certificates(Path(authorities).read_bytes())
    except ValueError:
        why = f"{authorities} has more in it than plain certificates; give its BEGIN CERTIFICATE blocks alone"
        raise Unusable("ca", why) from None
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found if one.subject == one.issuer)


def check(
    certificate: str, key: SecretStr, authorities: str | None, names: Iterable[str], roots_only: bool = False
) -> None:
    """Let a client that trusts ``authorities`` reach a server with ``certificate`` and ``key`` under each of ``names``.

    Both are here and talk in memory. ``certificate`` and ``authorities`` are paths of PEM files; without the latter
    the client trusts those that this machine does. It is as strict as Python 3.13, which Debian 13 has: earlier ones
    take certificates that it refuses. With ``roots_only`` clients have nothing else of ``authorities``: what is between
    a root and the certificate has to come from the server.

    Raises Unusable for the first thing that is wrong.
    """
    check_file("certificate", certificate)
    if authorities:
        check_file("ca", authorities)
    server = _serving(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    if authorities and roots_only:
        if not (roots := _roots(authorities)):
            raise Unusable(
                "ca", f"{authorities} has no root, which is signed by itself; give the one that clients trust"
            )
        client.load_verify_locations(cadata=roots)
    elif authorities:
        client.load_verify_locations(authorities)
    else:
        client.load_default_certs()
    for name in names:
        try:
            _shake_hands(server, client, name)
        except ssl.SSLCertVerificationError as error:
            raise _why(error, name) from None
        except ssl.SSLError as error:
            raise Unusable("certificate", f"no client can use it: {error.reason}") from None
