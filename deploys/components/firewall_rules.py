"""Who may ask which port of a host, and what the host may ask, as the inventory and the settings have it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deploys.components.firewall_settings import EVERYONE, FirewallSettings, written
from deploys.lib.component import CLIENTS, MONITORS, Here, Listener
from deploys.lib.network import endpoint


@dataclass(frozen=True)
class Rule:
    """A port, and the networks that may ask it or be asked there. ``what`` names the setting it follows from."""

    port: int
    protocol: str
    networks: tuple[str, ...]
    what: str

    def lines(self, end: str) -> list[str]:
        """The rule in nft's words, for packets whose other side is the source or the destination: ``end``."""
        port = f"{self.protocol} dport {self.port}"
        return [f'{port} {match}accept comment "{self.what}"' for match in matches(self.networks, end)]

    def published(self) -> list[str]:
        """The same for a port that a container publishes: its own port may be another."""
        port = f"meta l4proto {self.protocol} ct original proto-dst {self.port}"
        return [f'{port} {match}accept comment "{self.what}"' for match in matches(self.networks, "saddr")]


def matches(networks: Sequence[str], end: str) -> list[str]:
    """What a rule says of ``networks``, at most once for each version of IP; an empty text is everybody."""
    kinds: dict[int, list[str]] = {}
    for version in (4, 6):
        own = [one for one in map(ipaddress.ip_network, networks) if one.version == version]
        kinds[version] = [written(one) for one in ipaddress.collapse_addresses(own)]  # type: ignore[type-var]
    if [kinds[4], kinds[6]] == [[EVERYONE[0]], [EVERYONE[1]]]:
        return [""]
    found = []
    for version, word in ((4, "ip"), (6, "ip6")):
        if kinds[version] in ([EVERYONE[0]], [EVERYONE[1]]):
            found.append(f"meta nfproto ipv{version} ")
        elif kinds[version]:
            found.append(f"{word} {end} {{ {', '.join(kinds[version])} }} ")
    return found


def _askers(here: Here, listener: Listener) -> list[str]:
    s: FirewallSettings = here.settings(FirewallSettings)
    words = {CLIENTS: s.client_networks, MONITORS: s.monitor_networks}
    found: list[str] = []
    for asker in listener.askers:
        others = [member.address for member in here.of(asker) if member.name != here.member.name and member.address]
        found += words.get(asker, others)
    return list(dict.fromkeys(found))


def ingress(here: Here) -> list[Rule]:
    """What other hosts may ask this one, SSH excepted."""
    s: FirewallSettings = here.settings(FirewallSettings)
    own = [Rule(one.port, "tcp", tuple(_askers(here, one)), one.setting) for one in here.member.listeners]
    return [*(rule for rule in own if rule.networks), *extra(s)]


def extra(s: FirewallSettings) -> list[Rule]:
    return [Rule(one.port, one.protocol, tuple(one.networks), "firewall_extra_ports") for one in s.extra_ports]


def egress(here: Here) -> list[Rule]:
    """What this host may ask beside names, the time and the web."""
    s: FirewallSettings = here.settings(FirewallSettings)
    found: dict[tuple[int, str, str], list[str]] = {}
    for other in here.site:
        for listener in other.listeners:
            if other.name != here.member.name and other.address and any(map(here.member.has, listener.askers)):
                found.setdefault((listener.port, "tcp", listener.setting), []).append(other.address)
    for url in here.member.reaches:
        host, port = endpoint(url)
        if port and port not in (80, 443):
            found.setdefault((port, "tcp", "an address in the settings"), []).extend(_where(host))
    for one in s.egress_extra:
        found.setdefault((one.port, one.protocol, "firewall_egress_extra"), []).extend(one.networks)
    return [Rule(port, protocol, tuple(nets), what) for (port, protocol, what), nets in found.items()]


def _where(host: str) -> Iterable[str]:
    """A name may have another address tomorrow."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return EVERYONE
