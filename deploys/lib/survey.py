"""The inventory as typed members: every host's settings validated and sized before anything is changed anywhere."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploys.lib.component import Component, Here, Member
from deploys.lib.host_settings import HostSettings
from deploys.lib.network import address_problems, port_problems, with_network
from deploys.lib.origin import located
from deploys.lib.settings import Resolve, Settings, SettingsError, refuse_unclaimed, settings_from
from deploys.lib.sizing import PRESETS, Demand, HostPlan, Machine, SizingError, plan_host


@dataclass(frozen=True)
class HostData:
    """One host as the inventory has it.

    ``measure``, ``release`` and ``name_servers`` ask the machine itself, ``connected`` says whether the run is on it
    anyway, and ``arguments`` are pyinfra's own, such as ``_sudo``; None when they are not known. ``origin`` says where
    a key was set, as in ``in group_data/all.py:7``.
    """

    name: str
    groups: tuple[str, ...]
    data: Mapping[str, Any]
    connector_keys: frozenset[str]
    resolve: Resolve
    measure: Callable[[], Machine]
    release: Callable[[], str] = lambda: ""
    name_servers: Callable[[], tuple[str, ...]] = lambda: ()
    connected: bool = True
    arguments: frozenset[str] | None = None
    origin: Callable[[str], str] = lambda key: ""


# A machine sold with 16 GB has 2 to 5 % less for its programs, which the reserve of the plan allows for.
ALLOWED = 1.1


def _machine(host: HostData, settings: HostSettings) -> Machine:
    """The size to plan for: as stated, as the preset has it, or as the host says.

    Raises SettingsError for more memory than a connected host has: every share of such a plan could be used up, and
    the kernel would end services. More processors than it has only make it slow.
    """
    base = PRESETS.get(settings.preset)
    if base is None:
        vcpus, memory_mb = settings.vcpus, settings.memory_mb
        base = Machine(vcpus, memory_mb) if vcpus and memory_mb else host.measure()
    planned = Machine(settings.vcpus or base.vcpus, settings.memory_mb or base.memory_mb)
    if host.connected and planned.memory_mb > (there := host.measure().memory_mb) * ALLOWED:
        key = "memory_mb:" if settings.memory_mb else f"preset: `{settings.preset}` is"
        raise SettingsError(
            [
                f"{key} {planned.memory_mb:,} MiB to share out, but the host has {there:,} MiB; state what it has, or "
                "use preset `auto`, which asks it"
            ]
        )
    return planned


def _address(host: HostData, settings: HostSettings) -> str | None:
    candidate = settings.private_address or str(host.data.get("ssh_hostname", host.name))
    try:
        return str(ipaddress.ip_address(candidate))
    except ValueError:
        if settings.private_address:
            raise SettingsError([f"private_address: {candidate!r} is not an IP address"]) from None
        return None


def _member(host: HostData, components: Iterable[Component]) -> Member:
    present = [component for component in components if {*component.groups} & {*host.groups, "all"}]
    if all(component.hosts == "all" for component in present):
        present = []  # a host of somebody else's: not ours to touch
    general = settings_from(host.data, "", HostSettings, host.resolve)
    problems: list[str] = []
    typed: dict[str, Settings] = {}
    for component in present:
        try:
            typed[component.name] = settings_from(host.data, f"{component.name}_", component.settings, host.resolve)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    if not present:
        return Member(host.name, _address(host, general), general, Machine(0, 0), HostPlan(Machine(0, 0), 0, {}), {})
    machine = _machine(host, general)
    tenants = frozenset(typed)
    demands = {
        c.name: c.demand(typed[c.name], machine, tenants) if general.runtime in c.runtimes else Demand(0)
        for c in present
    }
    return Member(
        name=host.name,
        address=_address(host, general),
        host=general,
        machine=machine,
        plan=plan_host(machine, demands),
        settings=typed,
        release=host.release(),
        name_servers=host.name_servers(),
    )


def check_components(names: Iterable[str], components: Iterable[Component]) -> None:
    """Refuse ``components=`` that names none, or one that there is not."""
    known = [component.name for component in components]
    names = list(names)
    if not names:
        raise SettingsError([f"components: names none; there are {', '.join(known)}, and `all`"])
    for name in names:
        if name not in (*known, "all"):
            raise SettingsError([f"components: there is no component {name!r}; there are {', '.join(known)}"])


def survey(hosts: Iterable[HostData], components: tuple[Component, ...]) -> tuple[Member, ...]:
    """Every host of the inventory as a member, or SettingsError with a line for every problem of every host."""
    hosts = list(hosts)
    whose: dict[str, list[str]] = {}
    members: list[Member] = []
    classes: dict[str, type[Settings]] = {f"{c.name}_": c.settings for c in components}
    for host in hosts:
        own: list[str] = []
        unclaimed: set[str] = set()
        try:
            refuse_unclaimed(host.data, {"": HostSettings, **classes}, host.connector_keys, host.arguments)
        except SettingsError as error:
            own += error.problems
            unclaimed = {problem.partition(":")[0] for problem in own}
        # One sentence per key: the classes would call a renamed key unknown, or suggest another nearest one.
        host = replace(host, data={key: value for key, value in host.data.items() if key not in unclaimed})
        try:
            members.append(_member(host, components))
            check_components(members[-1].host.components, components)
        except SettingsError as error:
            own += error.problems
        except SizingError as error:
            own.append(str(error))
        for problem in dict.fromkeys(own):
            whose.setdefault(located(problem, host.origin), []).append(host.name)
    if whose:
        # One setting for all hosts is one mistake, not one per host.
        raise SettingsError(f"{', '.join(names)}: {problem}" for problem, names in whose.items())
    site = tuple(members)
    if problems := _wiring_problems(site, components):
        raise SettingsError(with_origins(problems, hosts))
    site = with_network(site, components)
    if problems := _own_problems(site, components):
        raise SettingsError(with_origins(problems, hosts))
    return site


def with_origins(problems: Iterable[str], hosts: Sequence[HostData]) -> list[str]:
    """``problems``, each after the names of its hosts, with where the keys it names were set on these hosts.

    A key that they do not have is one of another host, as the database's is to a gateway.
    """

    def complete(line: str) -> str:
        names, colon, problem = line.partition(": ")
        own = [host for host in hosts if host.name in names.split(", ")]

        def where(key: str) -> str:
            places = dict.fromkeys(place for host in own if (place := host.origin(key)))
            if not places:
                places = dict.fromkeys(place for host in hosts if (place := host.origin(key)))
            return " and ".join(places)

        return f"{names}{colon}{located(problem, where)}" if own else located(line, where)

    return [complete(line) for line in problems]


def _wiring_problems(site: tuple[Member, ...], components: tuple[Component, ...]) -> list[str]:
    problems = []
    everywhere = {component.name for component in components if component.hosts == "all"}
    used = {name for member in site for name in member.settings} - everywhere
    if not used:
        groups = sorted({group for component in components for group in component.groups} - {"all"})
        return [f"no host of the inventory is in a group that Portcullis knows: {', '.join(groups)}"]
    for component in components:
        for need in component.needs:
            if component.name in used and need not in used:
                group = next(c.hosts for c in components if c.name == need)
                users = ", ".join(member.name for member in site if member.has(component.name))
                problems.append(
                    f"{component.name} on {users} needs {need}, but no host is in the group {group!r}; "
                    f"add one to the inventory, for example the same host"
                )
    spread = [member for member in site if set(member.settings) - everywhere]
    if len(spread) > 1:
        problems += [
            f"{member.name}: private_address: the hosts of a spread-out gateway need IP addresses, and "
            f"{member.name!r} is not one; set private_address for it"
            for member in spread
            if member.address is None
        ]
        problems += address_problems(spread)
    return problems


def _own_problems(site: tuple[Member, ...], components: tuple[Component, ...]) -> list[str]:
    """What each host's components have against their settings."""
    everywhere = {component.name for component in components if component.hosts == "all"}
    problems: list[str] = []
    for member in site:
        if set(member.settings) - everywhere:
            problems += port_problems(member)
            for component in components:
                if member.has(component.name):
                    found = component.problems(Here(member, site))
                    problems += [f"{member.name}: {problem}" for problem in found]
    return problems
