"""Hardening as a component: a plan, the program that makes it true, and the unit that starts and stops it.

Everything that changes is changed by that program on the host (payload/hardening), the files of ours too. Only it can
undo them and then have sshd read what is left, also when a first run fails: a service that is new is stopped before the
files of its component go, so files that the switching program had put there would still be read by then.
"""

from __future__ import annotations

from pathlib import Path

from pyinfra import host

from deploys import facts, operations
from deploys.components.hardening import registry
from deploys.components.hardening.controls import Want
from deploys.components.hardening.plan import text
from deploys.components.hardening.refusals import HAS_READ, refusals, undoing
from deploys.components.hardening.settings import HardeningSettings
from deploys.lib.component import Component, ConfigFile, Here, Link, Probe
from deploys.lib.programs import program_folder
from deploys.lib.render import ROOT, render
from deploys.lib.sizing import Demand, Machine
from deploys.lib.tools import put_programs
from deploys.lib.transaction import STATE

UNIT = "portcullis-hardening.service"
COMMAND = "/usr/local/sbin/portcullis-hardening"
PLAN = f"{STATE}/hardening/plan.json"
# What is there to be undone; on a host that should not be hardened, what could not be.
LEFT = f"{STATE}/hardening/first.json"
# What is left is said by the remarks. Were it a failure, one package that something else needs would bring back all.
UNDONE = f"[ ! -e {LEFT} ] || ! {{ systemctl is-active --quiet {UNIT} || systemctl is-failed --quiet {UNIT}; }}"
PROGRAMS = sorted((ROOT / "payload" / "hardening").glob("*.py"))
# It stays when a run is gone back from, for it is what undoes the rest.
PROGRAM = f"{program_folder('hardening', PROGRAMS)}/harden.py"


def want(here: Here) -> Want:
    gateways = [member.name for member in here.of("litellm")]
    own = here.member.name
    turn = gateways.index(own) if own in gateways else None
    return Want(here.settings(HardeningSettings), here.member.release, turn, local=own == "@local")


def is_on(here: Here) -> bool:
    s: HardeningSettings = here.settings(HardeningSettings)
    return s.level != "off" and bool(s.areas)


def demand(s: HardeningSettings, machine: Machine, tenants: frozenset[str]) -> Demand:
    """Nothing stays at work."""
    return Demand(0)


def files(here: Here) -> list[ConfigFile]:
    """The unit first: what is no longer wanted goes in this order, and its stop needs the plan.

    All of it is taken up by a reload. A restart would undo everything in between.
    """
    if not is_on(here):
        return []
    unit = render("hardening/portcullis-hardening.service.j2", None, program=PROGRAM)
    return [
        ConfigFile(f"/etc/systemd/system/{UNIT}", unit, effect="reload"),
        ConfigFile(PLAN, text(want(here)), mode="0600", effect="reload"),
    ]


def noted() -> bool:
    """Whether the host has something that is to be undone, or could not be: that needs the program."""
    return bool(host.get_fact(facts.Succeeds, command=f"[ -e {LEFT} ]"))


def install(here: Here) -> None:
    if is_on(here) or noted():
        put_programs("hardening | Its program", str(Path(PROGRAM).parent), PROGRAMS)


def provision(here: Here) -> None:
    """The command goes with the plan; what is left is tried again, or forgotten, with it."""
    if not is_on(here) and noted():
        operations.unless(
            name="hardening | Its command, while something is left",
            test=f"[ ! -e {LEFT} ] || [ -x {COMMAND} ]",
            command=f"ln -sfnT {PROGRAM} {COMMAND}",
        )


def check(here: Here) -> list[str]:
    """The host's own checkers look at the new files. What no longer holds is made true by the reload that a plan which
    is younger than it asks for."""
    if not is_on(here):
        return []
    return [
        f"{PROGRAM} test || exit 1",
        f"{{ {PROGRAM} check && {PROGRAM} left; }} >/dev/null 2>&1 || touch {PLAN}",
    ]


def probes(here: Here) -> list[Probe]:
    """A question per area, answered with how many of its controls hold, or the first that does not."""
    if not is_on(here):
        return []
    areas = dict.fromkeys(control.area for control in registry.asked_for(here.settings(HardeningSettings)))
    return [*(Probe(area, f"{PROGRAM} check {area}") for area in areas), *left(here)]


def left(here: Here) -> list[Probe]:
    """What could not be undone, such as a package that something else needs by now; said until it is, or is forgotten.

    It is tried again when something else is to be done. By itself it would make every run one that changes something.
    """
    command = f"{PROGRAM} left" if is_on(here) else f"[ ! -e {LEFT} ] || {PROGRAM} left"
    return [Probe("has undone what is no longer asked for", command)]


HARDENING = Component(
    name="hardening",
    settings=HardeningSettings,
    demand=demand,
    install=install,
    provision=provision,
    files=files,
    links=lambda here: [Link(COMMAND, PROGRAM, effect="none")] if is_on(here) else [],
    unit=lambda here: UNIT if is_on(here) else "",
    check=check,
    outdated=lambda here: [Probe("not every control holds", f"{PROGRAM} check")] if is_on(here) else [],
    ready=lambda here: f"{PROGRAM} check" if is_on(here) else UNDONE,
    problems=lambda here: registry.problems(here.settings(HardeningSettings)),
    refusals=lambda here: refusals(want(here)) if is_on(here) else undoing(),
    # Going back may bring hardening to where it was undone, so that nothing is noted of what sshd was told by us.
    back_refusals=(HAS_READ,),
    probes=probes,
    remarks=left,
    # A connection that hangs takes 10 s, and sshd may have many to end.
    confirm_seconds=60,
    # By the files alone sshd would go on with what it has read, and all that is no file of ours would stay.
    back=lambda here: f"{PROGRAM} back" if is_on(here) else "",
    group="all",
)
