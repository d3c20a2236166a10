"""Settings of the host's firewall: who may ask what, and what the host may ask."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploys.lib.patterns import worded
from deploys.lib.settings import Port, Settings

EVERYONE = ["0.0.0.0/0", "::/0"]


def written(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """A network as people write it: one address without the number of its bits."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _network(value: str) -> str:
    try:
        return written(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        nearest = f"; did you mean {ipaddress.ip_network(value, strict=False)}?"
    except ValueError:
        nearest = ", such as 10.20.0.0/16, 203.0.113.7 or fd00:1::/64"
    raise ValueError(f"{value!r} is not a network{nearest}")


Network = Annotated[str, AfterValidator(_network)]
Interface = Annotated[
    str,
    Field(
        pattern=worded(r"^[A-Za-z0-9_.-]{1,15}\*?$", "an interface's name, such as docker0, or a beginning, as br-*")
    ),
]


class Opened(Settings):
    """A port that others may ask."""

    port: Port = Field(description="Port of a service, or one that a container publishes.")
    protocol: Literal["tcp", "udp"] = Field("tcp", description="Protocol.")
    networks: list[Network] = Field(min_length=1, description="Who may ask it: networks or addresses.")


class Asked(Settings):
    """Something that the host may ask."""

    port: Port = Field(description="Port that is asked.")
    protocol: Literal["tcp", "udp"] = Field("tcp", description="Protocol.")
    networks: list[Network] = Field(EVERYONE, min_length=1, description="Where: networks or addresses.")


class FirewallSettings(Settings):
    """Settings of the host's firewall: who may ask what, and what the host may ask."""

    ingress: Literal["open", "needed"] = Field(
        "open",
        description="What other hosts may ask: `open` leaves it as it is, `needed` drops everything but what the "
        "components need and the settings below allow.",
    )
    egress: Literal["open", "needed"] = Field(
        "open",
        description="What the host may ask: `needed` is names (DNS), the time (NTP), the web (80 and 443), the other "
        "hosts' services that its components use, the addresses in its settings, and `firewall_egress_extra`.",
    )
    operator_networks: list[Network] = Field(
        default_factory=list,
        description="Networks or addresses from which SSH is allowed. Needed with ingress `needed`, and the one that "
        "the run comes from must be among them.",
    )
    client_networks: list[Network] = Field(
        EVERYONE,
        min_length=1,
        description="Networks or addresses that may use the gateway.",
    )
    monitor_networks: list[Network] = Field(
        default_factory=list,
        description="Networks or addresses that may ask the health app and the metrics: load balancers, monitoring.",
    )
    ssh_ports: list[Port] = Field([22], min_length=1, description="Ports on which sshd of the host listens.")
    ssh_per_minute: int = Field(
        30, ge=0, le=10_000, description="New SSH connections a minute that one address may make; 0 for no limit."
    )
    extra_ports: list[Opened] = Field(
        default_factory=list,
        description="Ports to open beside those of the components, also those that containers publish: "
        '`[{"port": 9100, "networks": ["10.20.0.0/16"]}]`.',
    )
    egress_extra: list[Asked] = Field(
        default_factory=list,
        description='What the host may ask beside what is known to be needed, such as a proxy: `[{"port": 3128}]`.',
    )
    inner_interfaces: list[Interface] = Field(
        ["docker0", "br-*"],
        description="Interfaces of networks on the host itself, as Docker's: what containers there ask of others is "
        "not a question from outside.",
    )
    log: bool = Field(False, description="Whether what is dropped is logged, at most 10 a minute.")
    extra_rules: str = Field(
        "", description="Rules in the words of nft, one a line, that decide before all others about what comes in."
    )
