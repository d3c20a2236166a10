"""Who may ask which port of a host, and what the host may ask, as the inventory and the settings have it."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from deploys.components.firewall_settings import EVERYONE, FirewallSettings, written
from deploys.lib.component import CLIENTS, MONITORS, Account, Here, Listener
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
    listeners = [listener for one in here.member.traffic for listener in one.listeners]
    own = [Rule(one.port, "tcp", tuple(_askers(here, one)), one.setting) for one in listeners]
    return [*(rule for rule in own if rule.networks), *extra(s)]


def extra(s: FirewallSettings) -> list[Rule]:
    return [Rule(one.port, one.protocol, tuple(one.networks), "firewall_extra_ports") for one in s.extra_ports]


def egress(here: Here) -> list[Rule]:
    """What this host may ask beside names, the time and the web."""
    s: FirewallSettings = here.settings(FirewallSettings)
    urls = [*here.member.named, *(url for one in here.member.traffic for url in one.reaches)]
    more = [Rule(one.port, one.protocol, tuple(one.networks), "firewall_egress_extra") for one in s.egress_extra]
    elsewhere = [rule for rule in _elsewhere(urls) if rule.port not in (80, 443)]
    return _together([*_of_others(here, here.member.settings), *elsewhere, *more])


@dataclass(frozen=True)
class Held:
    """The user of a confined service: whom it answers, and what it may ask; ``names`` when it has to ask for names."""

    user: str
    answers: tuple[str, ...]
    rules: tuple[Rule, ...]
    names: bool

    def matches(self) -> list[str]:
        return matches(self.answers, "daddr")


def held(here: Here) -> list[Held]:
    """Every user of this host whose processes have to do with nobody but these."""
    s: FirewallSettings = here.settings(FirewallSettings)
    found = []
    for account in accounts(here):
        own = [one for one in here.member.traffic if one.confined == account]
        ports = [listener for one in own for listener in one.listeners]
        answers = [network for listener in ports for network in _askers(here, listener)]
        numbers = {listener.port for listener in ports}
        answers += [network for rule in extra(s) if rule.port in numbers for network in rule.networks]
        reached = _elsewhere(url for one in own for url in one.reaches)
        rules = _together([*_of_others(here, [one.component for one in own]), *reached])
        named = any(rule.networks == tuple(EVERYONE) for rule in reached)
        found.append(Held(account.name, tuple(dict.fromkeys(answers)), tuple(rules), named))
    return found


def accounts(here: Here) -> list[Account]:
    """The users of this host's confined services."""
    return list(dict.fromkeys(one.confined for one in here.member.traffic if one.confined))


def _of_others(here: Here, components: Collection[str]) -> list[Rule]:
    """Services of other hosts that ``components`` of this one use."""
    return [
        Rule(listener.port, "tcp", (other.address,), listener.setting)
        for other in here.site
        for one in other.traffic
        for listener in one.listeners
        if other.name != here.member.name and other.address and {*listener.askers} & {*components}
    ]


def _elsewhere(urls: Iterable[str]) -> list[Rule]:
    places = [endpoint(url) for url in urls]
    return [Rule(port, "tcp", tuple(_where(host)), "an address in the settings") for host, port in places if port]


def _together(rules: Iterable[Rule]) -> list[Rule]:
    """One rule for each port and reason."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for rule in rules:
        found.setdefault((rule.port, rule.protocol, rule.what), []).extend(rule.networks)
    return [Rule(port, protocol, tuple(dict.fromkeys(nets)), what) for (port, protocol, what), nets in found.items()]


def _where(host: str) -> Iterable[str]:
    """A name may have another address tomorrow."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return EVERYONE
