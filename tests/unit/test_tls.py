"""Certificates that gateways would refuse, and keys that Redis could not use: refused before anything is changed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploys.components import redis_tls
from deploys.lib.render import ROOT
from deploys.lib.settings import SettingsError
from tests.unit import certificates, site

HOST = "gateway.example.org: "
CERTIFICATE, KEY, CA = "redis.crt", "redis.key", "ca.crt"


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """Settings of one host whose gateway and Redis speak TLS."""
    return certificates.settings(tmp_path, ["127.0.0.1"])


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    (problem,) = caught.value.problems
    return problem.removeprefix(HOST)


def with_key(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: (folder / KEY).write_text(change((folder / KEY).read_text())) and None


def signed(**more: Any) -> Callable[[Path], None]:
    """Another certificate and its key, of an authority that is told to gateways."""

    def write(folder: Path) -> None:
        above = certificates.authority()
        certificate, key = above.sign(**{"addresses": ["127.0.0.1"], **more})
        for name, text in ((CERTIFICATE, certificate), (KEY, key), (CA, above.text)):
            (folder / name).write_text(text)

    return write


def encrypted(folder: Path) -> None:
    key = certificates.ec.generate_private_key(certificates.ec.SECP256R1())
    (folder / KEY).write_text(certificates.pem(key, b"passphrase"))


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (
            lambda folder: (folder / KEY).write_text(certificates.authority().sign(["127.0.0.1"])[1]),
            "redis_tls_key: is not the key of the certificate",
        ),
        (
            lambda folder: (folder / CA).write_text(certificates.authority().text),
            "redis_tls_ca: has not signed the certificate; give the root, and what is between the two below the "
            "certificate",
        ),
        (
            signed(first=-30, last=-1),
            "redis_tls_certificate: has expired, or an authority's above it; give a new one",
        ),
        (
            signed(first=5),
            "redis_tls_certificate: is not valid yet, or an authority's above it; give a new one",
        ),
        (
            signed(addresses=["192.0.2.11"]),
            "redis_tls_certificate: is not for 127.0.0.1; its subjectAltName must have IP:127.0.0.1",
        ),
        # Python 3.13 asks for it, and so would gateways on Debian 13, after Redis has changed.
        (signed(strict=False), "redis_tls_certificate: clients would refuse it: Missing Authority Key Identifier"),
        (lambda folder: (folder / CERTIFICATE).unlink(), "redis_tls_certificate: PATH/redis.crt cannot be read: No such"
         " file or directory"),
        (lambda folder: (folder / CA).write_bytes(b"\xff\xfe"), "redis_tls_ca: PATH/ca.crt cannot be read: it is not"
         " text"),
        (lambda folder: (folder / CA).write_text("hello\n"), "redis_tls_ca: PATH/ca.crt is not a PEM certificate"),
        (
            lambda folder: (folder / CERTIFICATE).write_text(
                (folder / CERTIFICATE).read_text() + (folder / KEY).read_text()
            ),
            "redis_tls_certificate: PATH/redis.crt has a private key in it; give a file of certificates alone",
        ),
        (encrypted, "redis_tls_key: is encrypted, and nobody is there to type its passphrase at a start; openssl pkey"
         " -in OLD -out NEW decrypts"),
        (with_key(lambda text: "a-password-of-one-line\n"), "redis_tls_key: is not a private key in PEM form, which"
         " begins with -----BEGIN PRIVATE KEY-----"),
        (with_key(lambda text: text.replace("PRIVATE KEY", "CERTIFICATE")), "redis_tls_key: is not a private key in PEM"
         " form, which begins with -----BEGIN PRIVATE KEY-----"),
        (with_key(lambda text: text[:90] + text[120:]), "redis_tls_key: is not the key of the certificate"),
        (with_key(lambda text: text + f"{text}"), "redis_tls_key: is not a private key in PEM form, which begins with"
         " -----BEGIN PRIVATE KEY-----"),
        (with_key(lambda text: "line\n" * 3), "redis_tls_key: file:PATH/redis.key has more than one line; a secret is"
         " one line of text"),
        (with_key(lambda text: text + "#" * 40_000 + "\n-----END X-----"), "redis_tls_key: has more than 32,000"
         " characters; give the key alone"),
    ],
)  # fmt: skip
def test_what_gateways_would_refuse_is_refused_first(
    break_it: Callable[[Path], None], sentence: str, data: dict[str, Any], tmp_path: Path
) -> None:
    break_it(tmp_path)
    assert refused(**data) == sentence.replace("PATH", str(tmp_path))


def test_tls_without_what_belongs_to_it_is_refused(data: dict[str, Any]) -> None:
    assert refused(redis_tls=True) == "redis_tls: needs redis_tls_certificate, redis_tls_key, redis_tls_ca too"
    del data["redis_tls_ca"]
    assert refused(**data) == "redis_tls: needs redis_tls_ca too"
    literal = refused(**{**data, "redis_tls_key": "-----BEGIN PRIVATE KEY-----"})
    assert literal == "redis_tls_key: a literal value is refused; give a reference: env:NAME, file:PATH or cmd:COMMAND"


def test_a_password_of_several_lines_is_refused_even_when_it_looks_like_a_key(data: dict[str, Any]) -> None:
    said = refused(redis_password=data["redis_tls_key"])
    assert said == "redis_password: has more than one line; a secret is one line of text"


def test_a_certificate_with_one_between_it_and_the_root_is_good(data: dict[str, Any], tmp_path: Path) -> None:
    root, between = certificates.authority("root"), certificates.authority("between")
    crossed = root.vouch(between)
    certificate, key = between.sign(["127.0.0.1"])
    (tmp_path / KEY).write_text(key)
    (tmp_path / CA).write_text(root.text)
    (tmp_path / CERTIFICATE).write_text(certificate)
    assert refused(**data).startswith("redis_tls_ca: has not signed the certificate; give the root, and what is betw")
    (tmp_path / CERTIFICATE).write_text(certificate + crossed)
    assert site.single(**data)


def test_every_gateways_way_to_redis_must_be_in_the_certificate(tmp_path: Path) -> None:
    """On the host of its own it is its address; a gateway beside it would take loopback."""
    site.split(**certificates.settings(tmp_path, ["192.0.2.11"]))
    with pytest.raises(SettingsError) as caught:
        site.split(**certificates.settings(tmp_path, ["127.0.0.1", "192.0.2.21"]))
    assert caught.value.problems == [
        "cache: redis_tls_certificate: is not for 192.0.2.11; its subjectAltName must have IP:192.0.2.11"
    ]
    here = site.place(site.split(**certificates.settings(tmp_path, ["192.0.2.11"])), "cache")
    assert redis_tls.reached(here) == {"192.0.2.11": ["gw-1", "gw-2"]}


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl, which the runbook's commands call")
def test_the_runbooks_commands_make_a_certificate_that_is_good(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    commands = [
        line[4:] for line in text.splitlines() if line.startswith(("    openssl ", "    printf ", "        -addext"))
    ]
    assert len(commands) == 5
    done = subprocess.run(["sh", "-e"], input="\n".join(commands), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {"certificate": "redis.crt", "ca": "redis-ca.crt"}
    data = {f"redis_tls_{part}": str(tmp_path / name) for part, name in names.items()}
    assert site.split(redis_tls=True, redis_tls_key=f"file:{tmp_path}/redis.key", **data)
    strange = refused(redis_tls=True, redis_tls_key=f"file:{tmp_path}/redis-ca.key", **data)
    assert strange == "redis_tls_key: is not the key of the certificate"
