"""Hardening on its own: what it works on, an area of it, undone; and what is refused before anything changes."""

from __future__ import annotations

from collections.abc import Callable

from tests.plan.command import Ran
from tests.plan.test_plan import HOSTS, SWITCH, names

Runs = Callable[[str], Ran]
PLAN = "/var/lib/portcullis/hardening/plan.json"


def test_it_works_on_every_host_and_on_nothing_but_hardening(ran: Runs) -> None:
    done = ran("harden")
    assert done.code == 0, done.text
    worked_on = {one["name"]: set(one["hosts_with_change"]) for one in done.plan if one["hosts_with_change"]}
    assert {name.partition(" |")[0] for name in worked_on} == {"base", "hardening"}
    assert worked_on[f"hardening | {SWITCH}"] == HOSTS["base"]
    assert names(done)[-2:] == ["Summary", "hardening | Every control"]


def test_a_deploy_hardens_every_host_unless_its_settings_say_off(ran: Runs) -> None:
    for name, hardened in (("plan", HOSTS["base"]), ("one component", set())):
        (switch,) = [one for one in ran(name).plan if one["name"] == f"hardening | {SWITCH}"]
        assert set(switch["hosts_with_change"]) == hardened


def test_it_comes_after_everything_that_brings_files_it_is_about(ran: Runs) -> None:
    switched = [name for name in names(ran("plan")) if name.endswith(f"| {SWITCH}")]
    assert switched[-1] == f"hardening | {SWITCH}" and len(switched) > 5


def asked(done: Ran, host: str) -> list[str]:
    """What a host is asked about its plan, if anything."""
    return [line for line in done.executed if line.startswith(host) and f"look {PLAN}" in line]


def test_one_area_is_worked_on_and_the_others_stay_as_the_host_has_them(ran: Runs) -> None:
    more, less = ran("harden more"), ran("harden less")
    assert more.code == less.code == 0, more.text + less.text
    assert asked(more, "@fake/cache"), "ssh and sudo, and now modes"
    # Without ssh there is still sudo; hosts that were not hardened have nothing to undo.
    assert asked(less, "@fake/cache") and not asked(less, "@fake/db")
    again = "hardening_areas: leave out ssh, or the next deploy makes it true again"
    assert again in less.text and again not in more.text


def test_what_could_not_be_undone_is_said_at_the_end_of_every_run(ran: Runs) -> None:
    said = [line for line in ran("harden more").text.splitlines() if "cannot be undone" in line]
    assert len(said) == 1 and "[@fake/cache]" in said[0]
    assert said[0].endswith("hardening: package x: cannot be undone: y needs it")


def test_what_cannot_be_is_said_before_anything_changes(ran: Runs) -> None:
    wrong, off, site = ran("harden wrong"), ran("harden off"), ran("harden site")
    assert wrong.code == off.code == site.code == 1
    assert "nothing was changed: only: there is no area 'shh'; did you mean ssh?; there are ssh, sudo, " in wrong.error
    assert off.error.endswith("hardening_level: is off, so there is nothing to make true; set it to baseline or strict")
    assert "undo: unknown setting" in site.text, "it is for deploys/harden.py"
    for done in (wrong, off, site):
        assert "transact" not in done.text
