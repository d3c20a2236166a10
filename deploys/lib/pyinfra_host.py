"""One host as pyinfra's inventory has it: its data and where that was set, its secrets, its size when it is asked."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pyinfra import inventory
from pyinfra.api.arguments import all_argument_meta
from pyinfra.api.exceptions import ConnectError

from deploys import facts, guard
from deploys.lib import origin
from deploys.lib.origin import Layer
from deploys.lib.render import ROOT
from deploys.lib.secrets import read_env_file, read_secret
from deploys.lib.settings import SettingsError
from deploys.lib.sizing import Machine
from deploys.lib.survey import HostData


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
def release(name: str) -> dict[str, str]:
    """Fields of a host's /etc/os-release, and what else is asked with them; empty for a host that is only imagined."""
    found: dict[str, str] = inventory.get_host(name).get_fact(facts.Release)
    return {"ID": "", "VERSION_ID": "", "INIT": "", "NAME_SERVERS": "", **found}


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


def host_data(one: Any) -> HostData:
    """A host of pyinfra's inventory: its data with where each key was set, and ways to ask it."""
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
        release=(lambda: release(one.name)["VERSION_ID"]) if one.connected else (lambda: ""),
        name_servers=lambda: tuple(release(one.name)["NAME_SERVERS"].split()) if one.connected else (),
        connected=one.connected,
        arguments=frozenset(all_argument_meta),
        origin=lambda key: origin.place(key, layers, ROOT),
    )
