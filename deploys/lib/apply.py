"""The sequence every component goes through, and what pyinfra is asked before the first operation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pyinfra import host, inventory
from pyinfra.api import DeployError
from pyinfra.api.exceptions import ConnectError

from deploys import facts, operations
from deploys.lib import provenance
from deploys.lib.bundle import Change
from deploys.lib.component import Component, ConfigFile, Here, Link, Member, Probe
from deploys.lib.ledger import RUN_ID
from deploys.lib.pyinfra_host import host_data, release
from deploys.lib.render import ROOT
from deploys.lib.runtime import is_of
from deploys.lib.secrets import SecretError
from deploys.lib.session import hold
from deploys.lib.settings import SettingsError
from deploys.lib.survey import survey, with_origins
from deploys.lib.transaction import calendar_checks

# A host outside the run is asked by one host of the run at a time: the other would be cut off by the first one's end.
_OUTSIDE = threading.Lock()
SUPPORTED = {"debian": ("12", "13")}


def stop(problems: Sequence[str]) -> NoReturn:
    """End the whole run before anything is changed, with one line per problem."""
    raise DeployError("nothing was changed: " + "\n    ".join(problems))


def in_our_folder() -> None:
    """Stop a run from elsewhere, which would find neither group_data/ nor secrets/."""
    if Path.cwd().resolve() != ROOT:
        stop([f"run pyinfra from {ROOT}; group_data/ is looked up in the current directory"])


def look_around(components: tuple[Component, ...], keys: frozenset[str] = frozenset()) -> tuple[Member, ...]:
    """Validate every host of the inventory. Stops the run, with nothing changed, when anything is wrong.

    ``keys`` are those that this kind of run has of its own, and has looked at.
    """
    in_our_folder()
    hosts = [host_data(one) for one in inventory]
    try:
        return survey([replace(one, connector_keys=one.connector_keys | keys) for one in hosts], components)
    except (SettingsError, SecretError) as error:
        stop(getattr(error, "problems", [str(error)]))


def here(site: tuple[Member, ...]) -> Here:
    """The host pyinfra is working on, as components see it."""
    return Here(next(member for member in site if member.name == host.name), site)


def selected(component: Component, place: Here) -> bool:
    """Whether this run works on ``component`` on this host.

    What every host needs is part of every run, whatever was chosen: the others are put in place with its tool.
    """
    chosen = component.hosts == "all" or place.member.host.wants(component.name)
    return place.member.has(component.name) and chosen


def change_for(component: Component, place: Here) -> Change:
    """Everything ``component`` wants on this host, rendered."""
    line = provenance.line(place.site)
    wanted: list[ConfigFile | Link] = [*component.files(place), *component.links(place)]
    return Change(
        component=component.name,
        items=tuple(provenance.stamped(item, line) for item in wanted),
        note=provenance.note(place.site, component.version(place)),
        unit=component.unit_on(place),
        extra_units=tuple(component.extra_units(place)),
        stopped_units=tuple(component.stopped_units(place)),
        guard=tuple(component.guard(place)),
        data=component.data(place),
        store=component.store(place),
        check=(*calendar_checks(wanted), *component.check(place)),
        check_seconds=component.check_seconds,
        outdated=tuple(component.outdated(place)),
        ready=component.ready(place),
        ready_seconds=component.ready_seconds,
        confirm_seconds=component.confirm_seconds,
        back=component.back(place),
        provisions=tuple(component.provisions(place)),
        probes=tuple(component.probes(place)),
    )


def refuse_unsuitable(components: tuple[Component, ...], place: Here) -> dict[str, Change]:
    """Ask the host what would make the run fail later, and render every file.

    Returns the changes by component. Stops the run, with nothing changed, for an unsupported release, a port that
    something else holds, or what a component refuses.
    """
    wanted = [component for component in components if selected(component, place)]
    if not wanted:
        return {}  # a host of somebody else's may run what it likes
    system = release(host.name)
    versions = SUPPORTED.get(system["ID"], ())
    if system["VERSION_ID"] not in versions:
        stop([f"{host.name}: runs {system.get('PRETTY_NAME', 'an unknown system')}; Portcullis needs Debian 12 or 13"])
    if system["INIT"] != "systemd":
        stop([f"{host.name}: process 1 is {system.get('INIT')}, not systemd; services cannot be managed there"])
    problems = []
    held = host.get_fact(facts.ListeningPorts)
    for component in wanted:
        for listener in component.listeners(place):
            owner = held.get(listener.port)
            unit = listener.unit or component.unit_on(place)
            if owner and not (owner.startswith(listener.owners) and _is_ours(unit, listener.port)):
                problems.append(
                    f"{host.name}: port {listener.port} ({listener.setting}) is taken by {owner}; "
                    f"stop it or set {listener.setting}"
                )
        for refusal in component.refusals(place):
            if why := refused(refusal):
                problems.append(f"{host.name}: {why}")
    if not problems and (held_up := hold(inventory.get_host(host.name), place.member.host, "deploy")):
        problems.append(held_up)
    if problems:
        # What this machine lacks is lacking for every component.
        stop(with_origins(dict.fromkeys(problems), [host_data(one) for one in inventory]))
    return {component.name: change_for(component, place) for component in wanted}


def refused(refusal: Probe) -> str:
    """Why ``refusal`` stops the run; empty when it does not. A host outside the run that cannot be asked stops none."""
    if refusal.on and not inventory.get_host(refusal.on).connected:
        with _OUTSIDE:
            answer = _ask_outside(refusal)
    else:
        answer = (inventory.get_host(refusal.on) if refusal.on else host).get_fact(facts.Answer, probe=refusal)
    passed, detail, _ = answer
    if not passed:
        return detail or refusal.name
    return refusal.judge(detail) if refusal.judge else ""


def _ask_outside(refusal: Probe) -> tuple[bool, str, int]:
    other = inventory.get_host(refusal.on)
    try:
        other.connect(reason="only to ask it", show_errors=False, raise_exceptions=True)
    except ConnectError:
        return True, "", 0
    try:
        answer: tuple[bool, str, int] = other.get_fact(facts.Answer, probe=refusal)
        return answer
    finally:
        other.disconnect()


def _is_ours(unit: str, port: int) -> bool:
    """Whether a process of the component's own ``unit`` holds ``port``; a name such as ``python`` says little."""
    pids = f"$(ss -Hltnp 'sport = :{port}' | grep -o 'pid=[0-9]*' | cut -c 5-)"
    test = f"for pid in {pids}; do {is_of(unit)} && exit 0; done; exit 1"
    return bool(host.get_fact(facts.Succeeds, command=test))


def apply(component: Component, place: Here, change: Change) -> None:
    """Configure, check, restart or reload, wait, provision: one component on one host, which has it installed."""
    operations.converge(
        name=f"{component.name} | Write, check and use its files",
        change=change,
        run=RUN_ID,
        backup_root=place.member.host.backup_root,
        _serial=component.serial,
    )
    operations.wait_until(
        name=f"{component.name} | Ready",
        command=change.ready,
        seconds=component.ready_seconds,
        otherwise=f"{component.name} is not ready; see: journalctl -u {change.unit}",
        _serial=component.serial,
    )
    for one in change.provisions:
        operations.unless(
            name=f"{component.name} | {one.name}",
            test=one.test,
            command=one.command,
            secret_stdin=one.stdin,
            # Gateways have one database: the second one finds what the first one has made.
            _serial=component.serial,
        )
    component.provision(place)
