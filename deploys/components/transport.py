"""TLS between a service and those who ask it from other hosts: whose certificate it is, and who is told of what."""

from __future__ import annotations

import re
from shlex import quote
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from deploys.lib import tls
from deploys.lib.authority import Issued, serve
from deploys.lib.checks import weakness
from deploys.lib.component import Here, Member
from deploys.lib.settings import Secret, Settings
from deploys.lib.tls import PrivateKey

# One secret for all services of a site, unless somebody says otherwise.
SECRET = "env:SITE_TLS_SECRET"
# A week is enough to make another certificate, and to come to it.
WARNING_SECONDS = 7 * 86_400
# A name of the DNS (RFC 1123, 2.1), which the name of a host in an inventory may be or not.
HOST_NAME = re.compile(r"(?=.{1,253}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$")


def _word(value: object) -> object:
    """The word for True and False, which inventories had before there was a third way."""
    return {True: "given", False: "off"}.get(value, value) if isinstance(value, bool) else value


Mode = Annotated[Literal["off", "given", "site"], BeforeValidator(_word)]


class TlsSettings(Settings):
    """What a service that can speak TLS is told of it; ``tls`` itself is described by the service."""

    tls: Mode = Field("off", description="")
    tls_certificate: str | None = Field(
        None,
        description="For `given`: PEM file on the controlling machine, the certificate, below it those of authorities "
        "between it and the root. It must be for the IP addresses under which gateways reach the service (127.0.0.1 "
        "for one on the same host).",
    )
    tls_key: PrivateKey | None = Field(
        None,
        description="The certificate's private key in PEM form, not encrypted, as a reference such as `file:PATH`.",
    )
    tls_ca: str | None = Field(
        None,
        description="PEM file on the controlling machine: the authority that gateways must find above the certificate.",
    )
    tls_secret: Secret | None = Field(
        None,
        description="For `site`: what authority, key and certificate are made from, as a reference. Default: "
        f"`{SECRET}`, which `make secrets` makes. Another one replaces all of them.",
    )
    tls_secret_before: Secret | None = Field(
        None,
        description="For the run that brings another `tls_secret`: the one before, as a reference. Gateways that know "
        "its authority accept the new certificate until their own turn. Remove it after that run.",
    )

    @property
    def secured(self) -> bool:
        """Whether the service speaks TLS."""
        return self.tls != "off"

    @model_validator(mode="before")
    @classmethod
    def _secret_of_the_site(cls, data: Any) -> Any:
        return {"tls_secret": SECRET, **data} if isinstance(data, dict) and data.get("tls") == "site" else data

    @field_validator("tls_secret", "tls_secret_before")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value and (why := weakness(value.get_secret_value(), 16)):
            raise ValueError(f"{why}; `make secrets` makes strong values")
        return value


def names(member: Member) -> tuple[str, ...]:
    """Everything under which a service of this host is reached, for the certificate that is made for it."""
    own = (member.name,) if HOST_NAME.match(member.name) and not re.fullmatch(r"[0-9.]+", member.name) else ()
    return tuple(dict.fromkeys(("127.0.0.1", *((member.address,) if member.address else ()), "localhost", *own)))


def identity(s: TlsSettings, what: str, member: Member) -> Issued:
    """Certificate, key and authority of the service ``what`` on ``member``; only where it speaks TLS."""
    if s.tls == "site":
        assert s.tls_secret
        return serve(s.tls_secret, what, names(member), s.tls_secret_before)
    assert s.tls_certificate and s.tls_key and s.tls_ca
    return Issued(tls.text_of(s.tls_certificate), s.tls_key, tls.text_of(s.tls_ca))


def reached(here: Here) -> dict[str, list[str]]:
    """Each address under which gateways reach the service of this host, and their names."""
    found: dict[str, list[str]] = {}
    for gateway in here.of("litellm"):
        found.setdefault(Here(gateway, here.site).reach(here.member), []).append(gateway.name)
    return found


def exchange_problems(s: TlsSettings, prefix: str) -> list[str]:
    """Why the secret of a site cannot be exchanged as the settings have it."""
    same = s.tls_secret_before and s.tls_secret_before == s.tls_secret
    return [f"{prefix}tls_secret_before: is {prefix}tls_secret itself; remove it"] if same else []


def problems(s: TlsSettings, prefix: str, here: Here) -> list[str]:
    """Why gateways would refuse this service, or it its key, under keys that begin with ``prefix``."""
    if s.tls != "site" and s.tls_secret_before:
        return [f'{prefix}tls_secret_before: says what was before {prefix}tls = "site", which this is not; remove it']
    if s.tls == "site":
        return exchange_problems(s, prefix)
    if not s.secured:
        return []
    if missing := [prefix + name for name in ("tls_certificate", "tls_key", "tls_ca") if not getattr(s, name)]:
        return [f"{prefix}tls: needs {', '.join(missing)} too"]
    assert s.tls_certificate and s.tls_key and s.tls_ca
    try:
        tls.check(s.tls_certificate, s.tls_key, s.tls_ca, reached(here))
    except tls.Unusable as wrong:
        return [f"{prefix}tls_{wrong.part}: {wrong}"]
    return []


def asking(address: str, port: int, authority: str, protocol: str = "") -> str:
    """A shell command that is true when a certificate for ``address`` answers there that the file vouches for."""
    where = quote(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    begin = f"-starttls {protocol} " if protocol else ""
    return (
        f"timeout 10 openssl s_client {begin}-connect {where} -CAfile {authority} -verify_return_error "
        f"-verify_ip {address} </dev/null >/dev/null 2>&1"
    )


def lasting(certificate: str, seconds: int = WARNING_SECONDS) -> str:
    """A shell command that is true when the certificate in a file lasts so long, a week, and says until when."""
    return (
        f"openssl x509 -noout -enddate -in {certificate}; "
        f"openssl x509 -noout -checkend {seconds} -in {certificate} >/dev/null"
    )


def signed_by(s: TlsSettings, prefix: str) -> str:
    """The key that says whose certificates are accepted, for sentences."""
    return f"{prefix}{'tls_ca' if s.tls == 'given' else 'tls_secret'}"
