"""Settings of the edge: names and certificate, who may ask what, how much, and how long a request is held."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from deploys.components.edge_paths import GROUPS, GroupName
from deploys.components.firewall_settings import Network
from deploys.components.transport import TlsSettings
from deploys.lib.checks import ip_addresses
from deploys.lib.patterns import IP, URL, worded
from deploys.lib.settings import Port
from deploys.lib.tls import PrivateKey

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
NAME = worded(rf"^({_LABEL}(\.{_LABEL})*|[0-9a-f.:]+)$", "a host name in small letters, or an IP address")
PATH = worded(
    r"^/[A-Za-z0-9_./:-]*\*?$",
    "a path that begins with /, of letters, digits and _ . / : -, and a * at most at its end",
)


def is_address(name: str) -> bool:
    """Whether ``name`` is meant as an IP address, and not as a name of the DNS."""
    return ":" in name or name.replace(".", "").isdigit()


def _name(value: str) -> str:
    if is_address(value):
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{value!r} is neither a host name nor an IP address") from None
    return value


Name = Annotated[str, Field(pattern=NAME), AfterValidator(_name)]


class EdgeSettings(TlsSettings):
    """HAProxy in front of the gateways, with TLS."""

    names: list[Name] = Field(
        default_factory=list,
        description="Names, or IP addresses, under which clients reach the gateway: what its certificate must be for. "
        "Requests for any other are refused.",
    )
    listen: str = Field("0.0.0.0", pattern=IP, description="Address to listen on; `::` is every one of both versions.")
    port: Port = Field(443, description="TCP port for HTTPS.")
    http_port: int = Field(
        80, ge=0, le=65535, description="TCP port on which plain HTTP is sent on to HTTPS; 0 for none."
    )
    tls: Literal["given", "site", "acme"] = Field(  # type: ignore[assignment]
        "given",
        description="Where the certificate comes from: `given`, a file of yours; `site`, made from one secret under an "
        "authority that your clients must be told to trust; `acme`, Let's Encrypt or another authority that speaks "
        "ACME, asked and asked again by certbot on the edge.",
    )
    tls_certificate: str | None = Field(
        None,
        description="For `given`: file on the controlling machine with the certificate in PEM form, and what is "
        "between it and the root below it.",
    )
    tls_key: PrivateKey | None = Field(None, description="Key of `edge_tls_certificate`, PEM, as a reference.")
    tls_ca: str | None = Field(
        None,
        description="File on the controlling machine with the root above `edge_tls_certificate`, when that is one of "
        "your own; without it, those that this machine trusts.",
    )
    acme_server: str = Field(
        "https://acme-v02.api.letsencrypt.org/directory",
        pattern=URL,
        description="Directory of the ACME authority. To use it is to agree to its terms.",
    )
    acme_email: str | None = Field(
        None,
        pattern=worded(r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$", "an address of mail"),
        description="Where the ACME authority may write to.",
    )
    acme_authority: str | None = Field(
        None,
        description="File on the controlling machine with the root above the ACME authority's own certificate, when "
        "that is one of your own.",
    )
    minimum_tls: Literal["1.2", "1.3"] = Field("1.2", description="Oldest version of TLS that is spoken.")
    hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        description="Seconds for which browsers that have been here use HTTPS only (HSTS); 0 says nothing about it.",
    )
    operator_networks: list[Network] = Field(
        default_factory=list,
        description="Networks from which everything may be asked: admin UI, keys and teams, health, metrics, docs. "
        "Nobody, when there are none; over SSH the gateway's own port has it all.",
    )
    paths: list[GroupName] = Field(
        list(GROUPS),
        description="What everybody else may ask, as groups of the gateway's paths; see docs/edge.md.",
    )
    extra_paths: list[Annotated[str, Field(pattern=PATH)]] = Field(
        default_factory=list,
        description="Further paths that everybody may ask, such as `/v1/traces`, or `/gemini/*` with all below it.",
    )
    max_body_mb: int = Field(32, ge=1, le=2048, description="MiB a request may have.")
    requests_per_minute: int = Field(
        6000, ge=0, le=1_000_000, description="Requests one address may make a minute; 0 for no limit."
    )
    refused_per_minute: int = Field(
        60,
        ge=0,
        le=1_000_000,
        description="Answers 401, for a key that is not one, that one address may get in a minute before it is refused "
        "for the rest of it; 0 for no limit. A provider's, for a key of yours, are not counted.",
    )
    connections_per_address: int = Field(
        200,
        ge=0,
        le=100_000,
        description="Connections one address may have at a time, and requests under way on all of them together; 0 for "
        "no limit.",
    )
    max_connections: int = Field(
        2000, ge=10, le=50_000, description="Connections of all clients at a time, and requests under way on them."
    )
    header_seconds: int = Field(
        15,
        ge=1,
        le=300,
        description="Seconds in which a request's head, and the first 31 KiB of the rest, have to come.",
    )
    idle_seconds: int = Field(
        60, ge=1, le=3600, description="Seconds without a byte from or to a client after which a connection is closed."
    )
    hold_seconds: int = Field(
        120,
        ge=1,
        le=600,
        description="Seconds a request waits for a gateway that does not take connections, because it is restarted; "
        "about, and a little longer where there are several.",
    )
    repeat: bool = Field(
        True,
        description="Whether a request for an answer of a model is sent once more, and once more again, when a gateway "
        "ends without having said anything. What it had asked of a model by then is paid twice. What changes keys, "
        "files or anything else is never repeated.",
    )
    log: bool = Field(True, description="Whether each request is logged: who, which path, which answer, how long.")

    _address = ip_addresses("listen")

    @field_validator("names")
    @classmethod
    def _different(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("has a name twice")
        return value

    @model_validator(mode="after")
    def _whole(self) -> EdgeSettings:
        if self.port == self.http_port:
            raise ValueError(f"edge_http_port: {self.port} is edge_port as well; give it another, or 0 for none")
        return self


def missing(s: EdgeSettings) -> list[str]:
    """Keys without which an edge cannot be, and which only a host with one must have."""
    needed = ("names", "tls_certificate", "tls_key") if s.tls == "given" else ("names",)
    return [f"edge_{name}" for name in needed if not getattr(s, name)]
