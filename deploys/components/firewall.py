"""The host's firewall: one table of nftables, in which a port is open for those who need it and for nobody else.

Off until it is asked for, on every host of a site. Docker's tables and everybody else's are left alone. A change is
confirmed over a new connection, or the host takes it back.
"""

from __future__ import annotations

import ipaddress

from deploys import operations
from deploys.components import firewall_rules
from deploys.components.firewall_settings import FirewallSettings
from deploys.lib.component import Component, ConfigFile, Here, Probe
from deploys.lib.probes import system_user
from deploys.lib.render import render
from deploys.lib.sizing import Demand, Machine
from deploys.lib.way_in import came

RULES = "/etc/portcullis/firewall.nft"
UNIT = "portcullis-firewall.service"
# Debian's own, which empties all tables when it starts and when it stops.
NFTABLES = "/etc/systemd/system/nftables.service.d/portcullis.conf"
TABLE = "inet portcullis"


def is_wanted(here: Here) -> bool:
    s: FirewallSettings = here.settings(FirewallSettings)
    return "needed" in (s.ingress, s.egress)


def demand(s: FirewallSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """The kernel's, which the host's reserve covers."""
    return Demand(0)


def install(here: Here) -> None:
    s: FirewallSettings = here.settings(FirewallSettings)
    if is_wanted(here):
        operations.packages(name="firewall | Packages", names=["nftables"])
    users = firewall_rules.accounts(here)
    if s.egress == "needed" and users:
        # The rules name them, and are there before the services are.
        known = " && ".join(f"getent passwd {one.name} >/dev/null" for one in users)
        make = "; ".join(system_user(one.name, one.home, one.shell) for one in users)
        operations.unless(name="firewall | Users that its rules name", test=known, command=make)


def rules(here: Here) -> str:
    """The table, in nft's words."""
    s: FirewallSettings = here.settings(FirewallSettings)
    return render(
        "firewall/firewall.nft.j2",
        s,
        operators=firewall_rules.matches(s.operator_networks, "saddr"),
        ingress=firewall_rules.ingress(here),
        published=firewall_rules.extra(s),
        egress=firewall_rules.egress(here),
        held=firewall_rules.held(here),
    )


def files(here: Here) -> list[ConfigFile]:
    if not is_wanted(here):
        return []
    unit = render("firewall/portcullis-firewall.service.j2", None, path=RULES)
    again = render("firewall/nftables.service.conf.j2", None, path=RULES, unit=UNIT)
    return [
        # Exchanged as a whole by a reload; a restart would leave the host without them for a moment.
        ConfigFile(RULES, rules(here), mode="0600", effect="reload"),
        ConfigFile(f"/etc/systemd/system/{UNIT}", unit, effect="none"),
        ConfigFile(NFTABLES, again, effect="none"),
    ]


def loaded() -> str:
    """Shell text that is true when the kernel has the rules of the file, and no others, in this table.

    The file is loaded in a network of its own and what comes out is compared: nft writes rules in its own way.
    Addresses that are counted just now, and how often a rule was used, are left out.
    """
    show = f"nft --stateless --terse list table {TABLE}"
    return (
        f"wanted=$(unshare --net sh -c 'nft -f {RULES} && {show}' 2>&1) || "
        '{ printf "%s\\n" "$wanted" | head -n 1; exit 1; }; '
        f'[ "$wanted" = "$({show} 2>&1)" ] || {{ echo "the rules in use are not those of {RULES}"; exit 1; }}'
    )


def check(here: Here) -> list[str]:
    """nft reads the file and the kernel takes it, without using it. A table that was changed by hand is loaded anew."""
    if not is_wanted(here):
        return []
    return [
        f'said=$(nft --check -f {RULES} 2>&1) || {{ printf "%s\\n" "$said" | head -n 1; exit 1; }}',
        f"( {loaded()} ) >/dev/null 2>&1 || touch {RULES}",
    ]


def probes(here: Here) -> list[Probe]:
    if not is_wanted(here):
        return []
    s: FirewallSettings = here.settings(FirewallSettings)
    closed = f"nft list chain {TABLE} input | grep -o 'policy drop'"
    return [
        Probe("has the rules that it should", loaded()),
        *([Probe("drops what nobody needs", closed)] if s.ingress == "needed" else []),
        Probe("is there before the network", f"systemctl is-enabled {UNIT}"),
    ]


def problems(here: Here) -> list[str]:
    s: FirewallSettings = here.settings(FirewallSettings)
    found = []
    if s.ingress == "needed" and not s.operator_networks:
        found.append(
            "firewall_operator_networks: names nobody, and SSH would be closed to everyone; name where you work, such "
            'as ["203.0.113.0/24"]'
        )
    extra = [(one.port, one.protocol) for one in s.extra_ports]
    found += [
        f"firewall_extra_ports: {port}/{protocol} is there twice; put its networks into one entry"
        for port, protocol in dict.fromkeys(extra)
        if extra.count((port, protocol)) > 1
    ]
    found += [
        f"firewall_extra_ports: {port} is SSH's (firewall_ssh_ports); firewall_operator_networks says who may use it"
        for port, protocol in dict.fromkeys(extra)
        if protocol == "tcp" and port in s.ssh_ports
    ]
    return found


def shut_out(s: FirewallSettings, connection: str) -> str:
    """Why the rules would end the way in over which this run came, which is ``connection``; empty when they do not."""
    try:
        address, _, _, port = connection.split()
        source = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # there is none
    if port not in map(str, s.ssh_ports):
        return f"firewall_ssh_ports: this run came in at port {port}, which would be closed; name it"
    if not any(source in ipaddress.ip_network(one) for one in s.operator_networks):
        return (
            f"firewall_operator_networks: this run comes from {source}, which is in none of "
            f"{', '.join(s.operator_networks)}; it would shut itself out. Name its network too"
        )
    return ""


def refusals(here: Here) -> list[Probe]:
    s: FirewallSettings = here.settings(FirewallSettings)
    if s.ingress != "needed":
        return []
    return [Probe("a way in that stays open", f"{came()}; echo $connection", judge=lambda said: shut_out(s, said))]


FIREWALL = Component(
    name="firewall",
    settings=FirewallSettings,
    demand=demand,
    install=install,
    files=files,
    unit=lambda here: UNIT if is_wanted(here) else "",
    check=check,
    outdated=lambda here: [Probe("the rules in use are not its own", loaded())] if is_wanted(here) else [],
    ready=lambda here: loaded() if is_wanted(here) else "true",
    confirm_seconds=60,
    problems=problems,
    refusals=refusals,
    probes=probes,
    version=lambda here: "nft --version | awk '{print $2}'" if is_wanted(here) else "",
    group="all",
)
