"""Hardening: controls as data, what a host's plan is made of, and what is refused before anything changes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from typing import Any

import pytest

from deploys.components import COMPONENTS
from deploys.components.hardening import component, registry
from deploys.components.hardening.component import HARDENING, PLAN, PROGRAM, PROGRAMS, UNIT, want
from deploys.components.hardening.plan import plan
from deploys.components.hardening.settings import AREAS
from deploys.lib.render import ROOT
from deploys.lib.settings import SettingsError
from tests.unit import golden, site
from tests.unit.hardened import here, planned

RELEASES, LEVELS = ("12", "13"), ("baseline", "strict")
EVERYWHERE = [
    (release, level, runtime) for release in RELEASES for level in LEVELS for runtime in ("systemd", "compose")
]


def lines(file: str, **data: Any) -> list[str]:
    found = [item["lines"] for item in planned(**data)["items"] if item["kind"] == "file" and item["path"] == file]
    return [line for line in found[0] if not line.startswith("#")] if found else []


def test_the_plans_are_as_they_were(pytestconfig: pytest.Config) -> None:
    texts = {
        f"plan.json.debian{release}.{level}": {item.path: item.text for item in HARDENING.files(here(release, level))}[
            PLAN
        ]
        for release in RELEASES
        for level in LEVELS
    }
    unit = golden.rendered(HARDENING, here())
    unit = {name: text for name, text in unit.items() if name.endswith(".service")}
    golden.compare(golden.FOLDER / "hardening", {**texts, **unit}, pytestconfig)


@pytest.mark.parametrize("nothing", [{"level": "off"}, {"areas": ""}])
def test_a_host_that_is_not_hardened_has_nothing_of_it(
    nothing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    off = here(**nothing)
    for declared in (
        HARDENING.files,
        HARDENING.check,
        HARDENING.probes,
        HARDENING.outdated,
    ):
        assert declared(off) == []
    monkeypatch.setattr(component, "noted", lambda: False)
    assert all(probe.command.startswith("grep -qs ") for probe in HARDENING.refusals(off)), "where something is undone"
    assert HARDENING.unit_on(off) == "" and site.recorded(HARDENING, off, monkeypatch) == []
    assert HARDENING.unit_on(site.single()) != "", "unless somebody asks for it"


def test_what_could_not_be_undone_is_told_after_every_run_and_verified_but_makes_no_run_do_something() -> None:
    (remark,) = HARDENING.remarks(here())
    assert remark.command == f"{PROGRAM} left" and remark in HARDENING.probes(here())
    assert not any("left" in probe.command for probe in HARDENING.outdated(here()))
    assert "left" not in HARDENING.ready(here()), "what is asked for is there, and no reason to take it back"
    assert f"{PROGRAM} left" in HARDENING.check(here())[-1], "tried again when there is something to do anyway"


def test_the_unit_goes_before_the_plan_that_its_stop_needs_and_the_program_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = HARDENING.files(here())
    assert [item.path for item in files] == [f"/etc/systemd/system/{UNIT}", PLAN]
    assert {item.effect for item in files} == {"reload"}, "a restart would undo everything meanwhile"
    put = [arguments["dest"] for name, arguments in site.recorded(HARDENING, here(), monkeypatch) if name == "put"]
    assert put == [f"{PROGRAM.rpartition('/')[0]}/{path.name}" for path in PROGRAMS] and PROGRAM in put
    assert HARDENING.back(here()) == f"{PROGRAM} back"


def test_every_control_says_what_why_and_who_says_so() -> None:
    names = [control.id for control in registry.CONTROLS]
    assert len(set(names)) == len(names) > 40
    for control in registry.CONTROLS:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", control.id) and control.area in AREAS, control.id
        assert control.what and not control.what.endswith(".") and control.why.endswith(".") and control.source
        assert re.fullmatch(r"(\d+(\.\d+)+(, \d+(\.\d+)+)*)?", control.cis), control.id
        assert re.fullmatch(r"((sshd|sysctl|os|package)-\d+\w?(, |$))*", control.devsec), control.id
    assert {control.area for control in registry.CONTROLS} == set(AREAS)


@pytest.mark.parametrize(("release", "level", "runtime"), EVERYWHERE)
def test_nothing_is_asked_for_twice_and_every_item_is_somebodys(release: str, level: str, runtime: str) -> None:
    made = planned(release, level, runtime=runtime)
    ids = {control["id"] for control in made["controls"]}
    about = ("path", "name", "option")
    keys = Counter((item["kind"], *(item.get(word) for word in about)) for item in made["items"])
    assert [key for key, times in keys.items() if times > 1] == []
    for item in made["items"]:
        assert item["controls"] and set(item["controls"]) <= ids, item
    for item in made["items"]:
        if item["kind"] == "file":
            lines = [line for line in item["lines"] if not line.startswith("#")]
            if item["path"].startswith(("/etc/ssh/", "/etc/sysctl.d/")):
                lines = [re.split(r"[ =]+", line)[0] for line in lines if not line.startswith("HostKey ")]
            assert [line for line, times in Counter(lines).items() if times > 1] == []


@pytest.mark.parametrize(("release", "level", "runtime"), EVERYWHERE)
def test_no_key_of_the_kernel_is_a_services_too(release: str, level: str, runtime: str) -> None:
    there = here(release, level, runtime=runtime)
    own = {item["name"] for item in plan(want(there))["items"] if item["kind"] == "sysctl"}
    assert len(own) > 25
    others = [
        item.text
        for component in COMPONENTS
        if component is not HARDENING and there.member.has(component.name)
        for item in component.files(there)
        if item.path.startswith("/etc/sysctl.d/")
    ]
    assert others and not [name for name in own for text in others if name in text]
    assert not own & {"net.ipv4.ip_forward", "user.max_user_namespaces", "kernel.modules_disabled"}


def test_an_area_alone_has_only_its_controls() -> None:
    for area in AREAS:
        assert {control["area"] for control in planned(level="strict", areas=area)["controls"]} == {area}
    assert planned(areas="sudo, ssh")["items"] == planned(areas=["ssh", "sudo"])["items"]
    assert [probe.name for probe in HARDENING.probes(here(areas="sudo,ssh"))][:-1] == ["ssh", "sudo"]


def test_baseline_is_part_of_strict() -> None:
    baseline, strict = ({one["id"] for one in planned(level=level)["controls"]} for level in LEVELS)
    assert baseline < strict


def test_a_waiver_takes_a_control_away_and_says_so() -> None:
    waiver = {"control": "ssh-forwarding", "until": "2999-12-31", "reason": "tunnels of the database's people"}
    made = planned(waivers=[waiver])
    (about,) = [one for one in made["controls"] if "waived" in one]
    assert about["id"] == "ssh-forwarding"
    assert about["waived"] == "until 2999-12-31: tunnels of the database's people"
    assert not [item for item in made["items"] if "ssh-forwarding" in item["controls"]]
    assert "X11Forwarding no" not in lines("/etc/ssh/sshd_config.d/00-portcullis.conf", waivers=[waiver])


GOOD = {"control": "ssh-log", "until": "2026-06-30", "reason": "a good reason"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"level": "high"}, "hardening_level: Input should be 'off', 'baseline' or 'strict' (given: 'high')"),
        ({"areas": "shh"}, "hardening_areas: there is no area 'shh'; there are ssh, sudo, "),
        (
            {"waivers": [{**GOOD, "control": "ssh-lock"}]},
            "hardening_waivers[0].control: there is no control 'ssh-lock'; did you mean ssh-log?",
        ),
        ({"waivers": [{"control": "ssh-log", "until": "2026-06-30"}]}, "hardening_waivers[0].reason: Field required"),
        ({"waivers": [{**GOOD, "reason": "because"}]}, "hardening_waivers[0].reason: String should have at least 10"),
        ({"waivers": [{**GOOD, "until": "soon"}]}, "hardening_waivers[0].until: must be a day, such as 2026-12-31"),
        ({"waivers": [{**GOOD, "until": "2026-02-30"}]}, "hardening_waivers[0].until: there is no such day"),
        (
            {"waivers": [{**GOOD, "until": "2026-06-29"}]},
            "hardening_waivers[0].until: the waiver for ssh-log was over on 2026-06-29; remove it",
        ),
        ({"waivers": [GOOD, GOOD]}, "hardening_waivers[1].control: ssh-log has a waiver already"),
        ({"ssh_users": ["a b"]}, "hardening_ssh_users[0]: must be a name of a user or group"),
        ({"sudo_timeout_minutes": 100}, "hardening_sudo_timeout_minutes: Input should be less than or equal to 60"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(
    data: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "today", lambda: date(2026, 6, 30))
    here(waivers=[GOOD])
    with pytest.raises(SettingsError) as caught:
        here(**data)
    assert caught.value.problems[0].startswith(f"gateway.example.org: {sentence}"), caught.value.problems


def test_pyinfras_own_ssh_still_gets_in() -> None:
    """What paramiko offers and what sshd takes must have something in common, or no run comes back."""
    from paramiko.transport import Transport

    for release in RELEASES:
        for level in LEVELS:
            said = dict(
                line.split(" ", 1)
                for line in lines("/etc/ssh/sshd_config.d/00-portcullis.conf", release=release, level=level)
            )
            for option, known in (
                ("KexAlgorithms", Transport._preferred_kex),
                ("Ciphers", Transport._preferred_ciphers),
                ("MACs", Transport._preferred_macs),
                ("HostKeyAlgorithms", Transport._preferred_keys),
            ):
                assert set(said[option].split(",")) & set(known), (release, level, option)


def test_the_plan_is_json_with_a_line_for_each_item() -> None:
    text = {item.path: item.text for item in HARDENING.files(here())}[PLAN]
    assert json.loads(text) == planned()
    assert sum(line.startswith('  {"kind"') for line in text.splitlines()) == len(planned()["items"])


def test_the_page_has_every_control_and_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/gen_hardening_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "hardening.md").read_text()
    assert [control.id for control in registry.CONTROLS if f"| `{control.id}` |" not in text] == []


def test_no_two_gateways_upgrade_or_restart_at_the_same_time() -> None:
    members = site.split(hardening_level="baseline", hardening_reboot="when-needed")
    said = {}
    for name in ("gw-1", "gw-2", "db"):
        text = {item.path: item.text for item in HARDENING.files(site.place(members, name))}[PLAN]
        said[name] = re.findall(
            r"OnCalendar=\*-\*-\* ([0-9:]+) UTC|Reboot-Time \\\"([0-9:]+)|(Automatic-Reboot \\\"\w+)", text
        )
        said[name] = ["".join(one) for one in said[name]]
    assert sorted(said["gw-1"]) == ["02:00:00", "02:30", 'Automatic-Reboot \\"true']
    assert sorted(said["gw-2"]) == ["03:00:00", "03:30", 'Automatic-Reboot \\"true']
    assert sorted(said["db"]) == ["01:00:00", "01:30", 'Automatic-Reboot \\"true'], "before any of its gateways"
    assert 'Automatic-Reboot \\"false' in json.dumps(planned())
