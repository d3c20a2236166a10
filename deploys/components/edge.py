"""The edge: HAProxy with TLS in front of the gateways, which lets through what uses a model and waits for a restart."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from deploys import operations
from deploys.components import edge_acme, edge_paths
from deploys.components.edge_asks import CERTIFICATE, certificate, probes, ready, same_certificate
from deploys.components.edge_settings import EdgeSettings, missing
from deploys.components.health_settings import HealthSettings
from deploys.components.litellm.config import groups
from deploys.components.litellm.reliability import read_timeout
from deploys.components.litellm.settings import LitellmSettings
from deploys.components.transport import exchange_problems
from deploys.lib import tls
from deploys.lib.authority import Issued, serve
from deploys.lib.component import CLIENTS, Component, ConfigFile, Here, Listener, Member, Provision
from deploys.lib.containers import HARD_FACTOR
from deploys.lib.probes import bracketed
from deploys.lib.render import render
from deploys.lib.sizing import Demand, Machine

UNIT = "haproxy.service"
CONFIG = "/etc/haproxy/haproxy.cfg"
# Above a certificate that the site has made.
AUTHORITY = "/etc/haproxy/edge-ca.crt"
OPENED, REPEATABLE = "/etc/haproxy/opened.paths", "/etc/haproxy/repeatable.paths"
INSIDE = "/run/haproxy/inside.sock"
# A request that is sent again must fit into one; most do, and they are taken from memory only while one lies there.
BUFFER = 32_768
# HAProxy itself with its tables of 100,000 addresses, and per connection: TLS, two streams, a buffer kept for sending
# again. With 300 that waited for their answer HAProxy 2.6 had 20 MiB and 59 KiB for each, whatever they had sent, and
# 3.0 had 25 MiB and 76 KiB.
BASE_MB, CONNECTION_KB = 64, 80
# Where LiteLLM 1.106.2 takes a key from (litellm_credential_header_names in types/proxy/auth/special_headers.py).
KEY_HEADERS = (
    *("authorization", "api-key", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key", "x-litellm-api-key"),
)


@dataclass(frozen=True)
class Gateway:
    """A gateway as HAProxy reaches it."""

    name: str
    address: str
    port: int
    health_port: int


def gateways(here: Here) -> list[Gateway]:
    found = []
    for member in here.of("litellm"):
        gateway, health = member.settings["litellm"], member.settings["health"]
        assert isinstance(gateway, LitellmSettings) and isinstance(health, HealthSettings)
        name = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in member.name)
        found.append(Gateway(name, bracketed(here.reach(member)), gateway.port, health.port))
    return found


def longest_silence(here: Here) -> int:
    """Seconds the slowest gateway may take to say its next byte."""
    found = []
    for member in here.of("litellm"):
        there = Here(member, here.site)
        found.append(read_timeout(there.settings(LitellmSettings), groups(there)))
    return max(found)


def demand(s: EdgeSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    return Demand(
        BASE_MB + s.max_connections * CONNECTION_KB // 1024,
        why=f"{s.max_connections} connections x {CONNECTION_KB} KiB + {BASE_MB}",
    )


def install(here: Here) -> None:
    operations.packages(name="edge | Packages", names=["haproxy"])
    if edge_acme.wanted(here):
        edge_acme.install(here)


def files(here: Here) -> list[ConfigFile]:
    s: EdgeSettings = here.settings(EdgeSettings)
    share = here.member.plan.shares["edge"]
    configuration = render(
        "edge/haproxy.cfg.j2",
        s,
        hosts=[one for name in s.names for one in dict.fromkeys((name, bracketed(name)))],
        gateways=gateways(here),
        silence=longest_silence(here),
        buffer=BUFFER,
        certificate=certificate(s),
        challenges=edge_acme.PORT if s.tls == "acme" else 0,
        key_headers=KEY_HEADERS,
        opened=OPENED,
        repeatable=REPEATABLE,
        inside=INSIDE,
    )
    service = render(
        "edge/service.conf.j2",
        s,
        config=CONFIG,
        # Two ends for each of two doors, and as many again of a process that a reload leaves to end by itself.
        files=s.max_connections * 8 + 1024,
        memory_mb=share,
        hard_mb=int(share * HARD_FACTOR),
    )
    return [
        ConfigFile(CONFIG, configuration, mode="0640", group="haproxy", effect="reload"),
        ConfigFile(OPENED, _paths(edge_paths.opened(s.paths, s.extra_paths)), effect="reload"),
        ConfigFile(REPEATABLE, _paths(edge_paths.repeatable()), effect="reload"),
        *_certificate_files(s),
        ConfigFile("/etc/systemd/system/haproxy.service.d/portcullis.conf", service),
    ]


def _certificate_files(s: EdgeSettings) -> list[ConfigFile]:
    if s.tls == "acme":
        return edge_acme.files(s)
    issued = _identity(s)
    pem = render("edge/certificate.pem.j2", s, certificate=issued.certificate, key=issued.key)
    found = [ConfigFile(CERTIFICATE, pem, mode="0640", group="haproxy", effect="reload", secret=True)]
    # For people to take to their clients.
    return [*found, *([ConfigFile(AUTHORITY, issued.authority, effect="none")] if s.tls == "site" else [])]


def _identity(s: EdgeSettings) -> Issued:
    if s.tls == "site":
        assert s.tls_secret
        return serve(s.tls_secret, "edge", tuple(s.names), s.tls_secret_before)
    assert s.tls_certificate and s.tls_key
    return Issued(tls.text_of(s.tls_certificate), s.tls_key, "")


def _paths(paths: list[str]) -> str:
    return render("edge/paths.j2", None, paths=paths)


def check(here: Here) -> list[str]:
    """HAProxy reads all of it, as the user it will be, and has nothing to say against it."""
    # What it says begins with a level and its process number.
    said = "sed -n 's/^\\[\\(ALERT\\|WARNING\\)\\] *([0-9]*) : *//p' | head -n 3"
    return [
        f"said=$(runuser -u haproxy -- haproxy -c -f {CONFIG} 2>&1) && ! echo \"$said\" | grep -q '^\\[WARNING' || "
        f'{{ echo "$said" | {said}; exit 1; }}'
    ]


def problems(here: Here) -> list[str]:
    """Why clients would not reach it, or would get round it; asked before anything is changed on any host."""
    s: EdgeSettings = here.settings(EdgeSettings)
    if lacking := missing(s):
        return [f"{lacking[0]}: an edge needs {', '.join(lacking)}"]
    own = edge_acme.problems(here) if s.tls == "acme" else _certificate_problems(s)
    return [*own, *_way_problems(here)]


def _certificate_problems(s: EdgeSettings) -> list[str]:
    if s.tls == "site":
        return exchange_problems(s, "edge_")
    assert s.tls_certificate and s.tls_key
    try:
        tls.check(s.tls_certificate, s.tls_key, s.tls_ca, s.names, roots_only=True)
    except tls.Unusable as wrong:
        return [f"edge_tls_{wrong.part}: {wrong}"]
    return []


def _way_problems(here: Here) -> list[str]:
    found = []
    for member in here.of("litellm"):
        gateway, health = member.settings["litellm"], member.settings["health"]
        assert isinstance(gateway, LitellmSettings) and isinstance(health, HealthSettings)
        found += _reach_problems(here, member, "litellm_listen", gateway.listen)
        found += _reach_problems(here, member, "health_listen", health.listen)
        if ipaddress.ip_address(gateway.listen).is_unspecified and not _closed(member):
            better = "127.0.0.1" if member.name == here.member.name else member.address or "its private address"
            found.append(
                f"litellm_listen: on {member.name} it is {gateway.listen}, so whoever reaches that host gets round the "
                f'edge; set it to {better}, or firewall_ingress to "needed"'
            )
    return found


def _reach_problems(here: Here, member: Member, key: str, listen: str) -> list[str]:
    address = ipaddress.ip_address(listen)
    if address.is_unspecified:
        return []
    way = here.reach(member)
    if address == ipaddress.ip_address(way):
        return []
    return [f"{key}: on {member.name} it is {listen}, and the edge on {here.member.name} asks it at {way}"]


def _closed(member: Member) -> bool:
    firewall = member.settings.get("firewall")
    return getattr(firewall, "ingress", "open") == "needed"


def provisions(here: Here) -> list[Provision]:
    if not edge_acme.wanted(here):
        return []
    return edge_acme.provisions(here.settings(EdgeSettings), same_certificate(here))


def listeners(here: Here) -> list[Listener]:
    s: EdgeSettings = here.settings(EdgeSettings)
    found = [Listener(s.port, ("haproxy",), "edge_port", askers=(CLIENTS,))]
    if s.http_port:
        found.append(Listener(s.http_port, ("haproxy",), "edge_http_port", askers=(CLIENTS,)))
    return found


def hints(here: Here) -> list[str]:
    s: EdgeSettings = here.settings(EdgeSettings)
    port = "" if s.port == 443 else f":{s.port}"
    found = [f"clients: https://{bracketed(name)}{port}/v1" for name in s.names]
    return [*found, *([f"authority that clients must trust: {AUTHORITY} on the host"] if s.tls == "site" else [])]


EDGE = Component(
    name="edge",
    settings=EdgeSettings,
    demand=demand,
    install=install,
    files=files,
    unit=lambda here: UNIT,
    extra_units=lambda here: [edge_acme.TIMER] if edge_acme.wanted(here) else [],
    check=check,
    ready=ready,
    ready_seconds=60,
    problems=problems,
    provisions=provisions,
    probes=probes,
    listeners=listeners,
    version=lambda here: "haproxy -v | sed -n 's/^HAProxy version \\([0-9.]*\\).*/\\1/p'",
    hints=hints,
    serial=True,
    needs=("litellm",),
)
