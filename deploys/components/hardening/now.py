"""Hardening because somebody asks for it: an area, all of it, or undone; and every control's answer afterwards."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any

from pydantic import Field
from pyinfra import host, inventory, logger, state
from pyinfra.api import operation
from rich.console import Console
from rich.table import Table

from deploys import facts
from deploys.components.hardening.component import PLAN, PROGRAM
from deploys.components.hardening.settings import AREAS, HardeningSettings
from deploys.lib.apply import in_our_folder, stop
from deploys.lib.component import Probe
from deploys.lib.report import say
from deploys.lib.settings import Settings, SettingsError, nearest, settings_from

DEFAULT: str = HardeningSettings.model_fields["level"].default


class Asked(Settings):
    """Keys of the command line that only this kind of run has."""

    undo: bool = Field(False, description="Undo, instead of making true.")
    only: str = Field("", description="Areas to work on, with commas between them; the others stay as they are.")


KEYS = frozenset(Asked.model_fields)
# What the settings of each host say, before this kind of run puts what is asked for in their place.
_MEANT: dict[str, str] = {}


def asked(data: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether to undo, and which areas; none for all. Stops for one that there is not."""

    def unreadable(reference: str) -> Any:
        raise SettingsError([f"{reference} is not needed here"])

    try:
        keys = settings_from(data, "", Asked, unreadable)
    except SettingsError as error:
        stop(error.problems)
    names = [name.strip() for name in keys.only.split(",") if name.strip()]
    strange = [name for name in names if name not in AREAS]
    if strange:
        stop(
            [f"only: there is no area {name!r}{nearest(name, AREAS)}; there are {', '.join(AREAS)}" for name in strange]
        )
    return keys.undo, names


def to_be(level: str, present: Mapping[str, Any], undo: bool, only: list[str]) -> tuple[str, list[str]]:
    """The level and areas of a host: with ``level`` in its settings, and ``present`` the plan that it has."""
    if not only:
        return ("off" if undo else level), []
    there = {control["area"] for control in present.get("controls", ())}
    if undo:
        areas = [area for area in AREAS if area in there and area not in only]
        return (str(present["level"]) if areas else "off"), areas
    return level, [area for area in AREAS if area in there or area in only]


def prepare() -> None:
    """Put what is asked for into the data of every host, before any of it is looked at."""
    in_our_folder()
    undo, only = asked(host.data.dict())
    if not undo and not only:
        return
    for one in inventory:
        if not one.connected:
            continue  # it is not part of this run
        text = one.get_fact(facts.Encoded, path=PLAN) if only else ""
        present = json.loads(base64.b64decode(text) or b"{}") if text else {}
        meant = _MEANT.setdefault(one.name, str(one.data.get("hardening_level", DEFAULT)))
        level, areas = to_be(meant, present, undo, only)
        if level == "off" and not undo:
            stop(
                [f"{one.name}: hardening_level: is off, so there is nothing to make true; set it to baseline or strict"]
            )
        one.data.hardening_level = level
        if areas:
            one.data.hardening_areas = areas


def reminder(meant: str, undo: bool, only: list[str]) -> str:
    """What whoever undoes has to do so that the next deploy does not make it true again; nothing where it will not."""
    if not undo or meant == "off":
        return ""
    if only:
        return f"hardening_areas: leave out {', '.join(only)}, or the next deploy makes it true again"
    return f'hardening_level: set it to "off", or the next deploy makes it true again (it is {meant})'


@operation()
def _report(last: str) -> Generator[str, None, None]:
    """Show what came of every control on this host, and say ``last`` at the end. Changes nothing."""
    if not state.is_executing:
        return
    told, said, _ = host.get_fact(facts.Answer, probe=Probe("every control", f"{PROGRAM} report --json"))
    answers: list[dict[str, Any]] = json.loads(said) if told and said.startswith("[") else []
    if not answers:
        say("this host is not hardened")
        if last:
            say(last)
        return
    table = Table(title=f"{host.name}", title_justify="left")
    for heading in ("control", "level", "answer", "why"):
        table.add_column(heading, overflow="fold")
    for one in answers:
        table.add_row(one["id"], one["level"], one["answer"], one["why"])
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    for line in text.getvalue().rstrip().splitlines():
        logger.info(line)
    counts = Counter(one["answer"] for one in answers)
    say(", ".join(f"{count} {answer}" for answer, count in counts.items()))
    if last:
        say(last)
    yield from ()


def report() -> None:
    undo, only = asked(host.data.dict())
    # Where nothing was put in place of the settings there is nothing to be reminded of.
    _report(name="hardening | Every control", last=reminder(_MEANT.get(host.name, "off"), undo, only))
