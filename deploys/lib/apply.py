"""The sequence every component goes through, and what pyinfra is asked before the first operation."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from pydantic import SecretStr
from pyinfra import host, inventory
from pyinfra.api import DeployError
from pyinfra.api.arguments import all_argument_meta
from pyinfra.api.exceptions import ConnectError

from deploys import facts, guard, operations
from deploys.lib import origin, provenance
from deploys.lib.component import Component, ConfigFile, Here, Link, Member
from deploys.lib.origin import Layer
from deploys.lib.render import ROOT
from deploys.lib.secrets import SecretError, read_env_file, read_secret
from deploys.lib.settings import SettingsError
from deploys.lib.sizing import Machine
from deploys.lib.survey import HostData, survey, with_origins
from deploys.lib.transaction import Change, calendar_checks

# Taken once per process, in an imported module, so that all hosts of a run share it. UTC, and sorts by time; two
# operators who begin in the same second have runs of their own.
RUN_ID = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"

SUPPORTED = {"debian": ("12", "13")}


def stop(problems: list[str]) -> NoReturn:
    """End the whole run before anything is changed, with one line per problem."""
    raise DeployError("nothing was changed: " + "\n    ".join(problems))


@cache
def _stored_secrets(group_names: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """Values of the inventory's secrets file, and its name. pyinfra names a group after the inventory file."""
    files = [ROOT / "secrets" / f"{name}.env" for name in group_names if not name.startswith("@")]
    present = [path for path in files if path.is_file()]
    values: dict[str, str] = {}
    for path in present:
        values.update(read_env_file(path))
    shown = (present or files[-1:] or [ROOT / "secrets"])[-1].relative_to(ROOT)
    return values, str(shown)


@cache
def _hardware(name: str) -> Machine:
    other = inventory.get_host(name)
    if other.connected:
        measured: Machine = other.get_fact(facts.Hardware)
        return measured
    # Outside this run (--limit), but the plan of those inside needs its size: asked, and left alone.
    try:
        other.connect(reason="only to ask its size", show_errors=False, raise_exceptions=True)
    except ConnectError as error:
        raise SettingsError(
            [f"preset: `auto` has to ask this host its size, and it cannot be reached: {error}; set preset for it"]
        ) from None
    try:
        measured = other.get_fact(facts.Hardware)
        return measured
    finally:
        other.disconnect()


@cache
def _release(name: str) -> dict[str, str]:
    found: dict[str, str] = inventory.get_host(name).get_fact(facts.Release)
    return {"ID": "", "VERSION_ID": "", "INIT": "", **found}


def _layers(one: Any) -> list[Layer]:
    """What the data of ``one`` is made of, the strongest first, with the files that pyinfra read it from."""
    named = Path(str(guard.ARGUMENTS.get("inventory", "")))
    file = named.parent.resolve() / named.name if named.suffix == ".py" and named.is_file() else None
    folders = [ROOT / "group_data", *([file.parent / "group_data"] if file else [])]
    folders += [Path(folder).resolve() for folder in guard.ARGUMENTS.get("group_data") or ()]

    def of(name: str, words: str, keys: Any) -> Layer:
        # --group-data takes files as well as folders.
        files = [folder / f"{name}.py" if folder.suffix != ".py" else folder for folder in folders]
        known = tuple(dict.fromkeys(path for path in files if path.stem == name))
        return Layer(keys, words, known, file, name)

    return [
        Layer(inventory.get_override_data(), "with --data"),
        Layer(inventory.get_host_data(one.name), "in the host's own data", (), file, one.name),
        *(of(name, f"in the data of the group {name}", inventory.get_group_data(name)) for name in one.groups[::-1]),
        of("all", "in the data of all hosts", inventory.get_data()),
    ]


def _host_data(one: Any) -> HostData:
    groups = tuple(str(group) for group in one.groups)
    layers = _layers(one)

    def resolve(reference: str) -> SecretStr:
        return read_secret(reference, *_stored_secrets(groups))

    return HostData(
        name=one.name,
        groups=groups,
        data=one.data.dict(),
        connector_keys=frozenset(one.connector_cls.data_meta),
        resolve=resolve,
        measure=lambda: _hardware(one.name),
        release=(lambda: _release(one.name)["VERSION_ID"]) if one.connected else (lambda: ""),
        connected=one.connected,
        arguments=frozenset(all_argument_meta),
        origin=lambda key: origin.place(key, layers, ROOT),
    )


def look_around(components: tuple[Component, ...]) -> tuple[Member, ...]:
    """Validate every host of the inventory. Stops the run, with nothing changed, when anything is wrong."""
    if Path.cwd().resolve() != ROOT:
        stop([f"run pyinfra from {ROOT}; group_data/ is looked up in the current directory"])
    try:
        return survey([_host_data(one) for one in inventory], components)
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
        unit=component.unit(place) if component.unit else "",
        extra_units=tuple(component.extra_units(place)),
        stopped_units=tuple(component.stopped_units(place)),
        check=(*calendar_checks(wanted), *component.check(place)),
        check_seconds=component.check_seconds,
        outdated=tuple(component.outdated(place)),
        ready=component.ready(place),
        ready_seconds=component.ready_seconds,
    )


def refuse_unsuitable(components: tuple[Component, ...], place: Here) -> dict[str, Change]:
    """Ask the host what would make the run fail later, and render every file.

    Returns the changes by component. Stops the run, with nothing changed, for an unsupported release, a port that
    something else holds, or what a component refuses.
    """
    wanted = [component for component in components if selected(component, place)]
    if not wanted:
        return {}  # a host of somebody else's may run what it likes
    release = _release(host.name)
    versions = SUPPORTED.get(release["ID"], ())
    if release["VERSION_ID"] not in versions:
        stop([f"{host.name}: runs {release.get('PRETTY_NAME', 'an unknown system')}; Portcullis needs Debian 12 or 13"])
    if release["INIT"] != "systemd":
        stop([f"{host.name}: process 1 is {release.get('INIT')}, not systemd; services cannot be managed there"])
    problems = []
    held = host.get_fact(facts.ListeningPorts)
    for component in wanted:
        for listener in component.listeners(place):
            owner = held.get(listener.port)
            unit = listener.unit or (component.unit(place) if component.unit else "")
            if owner and not (owner.startswith(listener.owners) and _is_ours(unit, listener.port)):
                problems.append(
                    f"{host.name}: port {listener.port} ({listener.setting}) is taken by {owner}; "
                    f"stop it or set {listener.setting}"
                )
        for refusal in component.refusals(place):
            passed, detail, _ = host.get_fact(facts.Answer, probe=refusal)
            if not passed:
                problems.append(f"{host.name}: {detail or refusal.name}")
    if problems:
        stop(with_origins(problems, [_host_data(one) for one in inventory]))
    return {component.name: change_for(component, place) for component in wanted}


def _is_ours(unit: str, port: int) -> bool:
    """Whether a process of the component's own ``unit`` holds ``port``; a name such as ``python`` says little."""
    pids = f"$(ss -Hltnp 'sport = :{port}' | grep -o 'pid=[0-9]*' | cut -c 5-)"
    test = f"for pid in {pids}; do grep -q '/{unit}$' /proc/$pid/cgroup && exit 0; done; exit 1"
    return bool(host.get_fact(facts.Succeeds, command=test))


def apply(component: Component, place: Here, change: Change) -> None:
    """Install, configure, check, restart or reload, wait, provision: one component on one host."""
    component.install(place)
    if change.items:
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
    component.provision(place)
