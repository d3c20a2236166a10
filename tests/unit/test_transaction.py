"""What is asked of a host, how the answer is read, and what follows from it."""

from __future__ import annotations

import dataclasses
import grp
import itertools
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploys.lib.bundle import Change, members
from deploys.lib.component import ConfigFile, Effect, Link, Provision
from deploys.lib.transaction import (
    KEPT,
    Found,
    State,
    differing,
    digest,
    effect,
    kept,
    parse,
    question,
    reasons,
)

FILE = ConfigFile("/etc/a", "text\n")
UNTOLD = "what it is told once it answers, or asked about its data, differs"


def on_host(item: ConfigFile = FILE, changed: float = 50.0, **other: str) -> Found:
    """What a host has at ``item``'s path when it is as wanted, with ``other`` fields."""
    fields = {"content": digest(item), "mode": item.mode.lstrip("0"), "owner": f"{item.user} {item.group}", **other}
    return Found("file", fields["content"], fields["mode"], fields["owner"], changed)


@pytest.mark.parametrize(
    ("found", "differs"),
    [
        (on_host(), False),
        (on_host(changed=0), False),
        (on_host(content="0" * 64), True),
        (on_host(mode="640"), True),
        (on_host(owner="root www-data"), True),
        (Found("absent"), True),
        (Found("link", "/etc/b"), True),
    ],
)
def test_a_file_differs_by_content_mode_and_owner(found: Found, differs: bool) -> None:
    change = Change("x", (FILE,))
    assert differing(change, State({"/etc/a": found})) == (["/etc/a"] if differs else [])


def test_what_was_not_answered_for_differs() -> None:
    assert differing(Change("x", (FILE,)), State({})) == ["/etc/a"]


def test_a_link_differs_by_kind_and_target() -> None:
    change = Change("x", (Link("/opt/current", "/opt/2"),))
    for found, differs in ((Found("link", "/opt/2"), False), (Found("link", "/opt/1"), True), (on_host(), True)):
        assert bool(differing(change, State({"/opt/current": found}))) is differs


BEFORE, AFTER = 50.0, 150.0  # the process starts at 100, and is reloaded at 100 or 200


@pytest.mark.parametrize(
    ("kinds", "reloaded", "expected"),
    [
        ([("restart", BEFORE)], 0, ""),
        ([("restart", AFTER)], 0, "restart"),
        ([("restart", AFTER)], 200, "restart"),
        ([("reload", BEFORE)], 0, ""),
        ([("reload", AFTER)], 0, "reload"),
        ([("reload", AFTER)], 200, ""),
        ([("none", AFTER)], 0, ""),
        ([("reload", AFTER), ("restart", AFTER)], 0, "restart"),
        ([("restart", AFTER), ("reload", AFTER)], 0, "restart"),
        ([("reload", AFTER), ("restart", BEFORE)], 0, "reload"),
        ([("reload", AFTER), ("none", AFTER)], 200, ""),
    ],
)
@pytest.mark.parametrize("active", [True, False])
def test_a_service_gets_what_the_age_of_its_files_asks_for(
    kinds: list[tuple[Effect, float]], reloaded: float, expected: str, active: bool
) -> None:
    items = tuple(ConfigFile(f"/etc/{n}", "", effect=kind) for n, (kind, _) in enumerate(kinds))
    files = {item.path: on_host(item, changed) for item, (_, changed) in zip(items, kinds, strict=True)}
    state = State(files, active=active, started=100, reloaded=reloaded)
    assert effect(Change("x", items, unit="x.service"), state) == (expected if active else "start")
    assert effect(Change("x", items), state) == "", "without a unit nothing has to be restarted"


def test_reasons_are_said_for_every_combination() -> None:
    change = Change("x", (FILE,), unit="x.service")
    said = {
        "differs": "/etc/a differs",
        "inactive": "x.service does not run",
        "older": "x.service is older than its files",
        "disabled": "a unit is not enabled, or runs and should not",
        "pending": "an earlier run was cut off",
        "obsolete": "/etc/b is no longer wanted",
        "told": UNTOLD,
    }
    as_told = kept(change)
    for chosen in itertools.product([False, True], repeat=len(said)):
        on = dict(zip(said, chosen, strict=True))
        found = on_host(changed=AFTER if on["older"] else BEFORE, content="0" * 64 if on["differs"] else digest(FILE))
        state = State({"/etc/a": found}, not on["inactive"], not on["disabled"], 100, 0, on["pending"])
        state = dataclasses.replace(
            state, obsolete=("/etc/b",) if on["obsolete"] else (), kept="" if on["told"] else as_told
        )
        wanted = [text for word, text in said.items() if on[word] and not (word == "older" and on["inactive"])]
        assert reasons(change, state) == wanted


@pytest.mark.parametrize(
    ("lines", "active", "enabled"),
    [
        (["active\tactive", "enabled\tenabled"], True, True),
        (["active\treloading", "enabled\tenabled-runtime"], True, True),
        (["active\tinactive", "enabled\tdisabled"], False, False),
        (["active\tfailed", "enabled\tmasked"], False, False),
        (["active\tactivating", "enabled\tstatic"], False, True),
        (["active\t", "enabled\t"], False, False),
        (["active\tactive", "enabled\tenabled", "enabled\tno"], True, False),
        (["active\tactive", "enabled\tno", "enabled\tenabled"], True, False),
        ([], True, True),
    ],
)
def test_a_units_state_is_read(lines: list[str], active: bool, enabled: bool) -> None:
    state = parse(lines)
    assert (state.active, state.enabled) == (active, enabled)


def test_times_and_pending_are_read() -> None:
    state = parse(["ExecMainStartTimestamp\t12.5", "StateChangeTimestamp\t13.000000001", "pending"])
    assert (state.started, state.pending) == (12.5, True) and state.reloaded > 13.0
    assert not parse(["active\tactive"]).pending


def ask(change: Change, tmp_path: Path, **units: str) -> State:
    """Run the question for real, with a systemctl that knows ``units``: active and enabled ones, and a start time."""
    fake = tmp_path / "bin"
    fake.mkdir(exist_ok=True)
    (fake / "systemctl").write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f"show*ExecMainStart*) echo '{units.get('started', '')}' ;;\n"
        f"show*StateChange*) echo '{units.get('moved', '')}' ;;\n"
        f"is-active*x.timer) exit {units.get('timer', '0')} ;;\nis-enabled*x.timer) exit 0 ;;\n"
        f"is-active*) echo {units.get('active', 'active')} ;;\n"
        f"is-enabled*) echo {units.get('enabled', 'enabled')} ;;\nesac\n"
    )
    (fake / "systemctl").chmod(0o755)
    text = question(change).replace("/var/lib/portcullis", str(tmp_path))
    environment = {"PATH": f"{fake}:/usr/bin:/bin", "TZ": "America/New_York", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True, env=environment)
    assert not done.stderr
    return parse(done.stdout.splitlines())


def mine(path: Path, text: str, mode: str = "0640") -> ConfigFile:
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return ConfigFile(str(path), text, mode, user, group)


def test_the_question_finds_on_a_real_disk_what_is_there(tmp_path: Path) -> None:
    file, link, gone = tmp_path / "it's a file", tmp_path / "link", tmp_path / "gone"
    file.write_text("text\n")
    file.chmod(0o640)
    link.symlink_to("/nowhere/2")
    wanted = Change("x", (mine(file, "text\n"), Link(str(link), "/nowhere/2"), mine(gone, "x")))
    state = ask(wanted, tmp_path)
    assert differing(wanted, state) == [str(gone)]
    os.utime(file, (1, 1_700_000_000))
    assert ask(wanted, tmp_path).files[str(file)].changed == 1_700_000_000, "when its content was made"
    file.chmod(0o600)
    assert differing(wanted, ask(wanted, tmp_path)) == [str(file), str(gone)]
    assert not state.pending
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "x").write_text("run\tpath\n")
    assert ask(wanted, tmp_path).pending


def test_the_question_finds_what_an_earlier_run_had_and_what_the_service_was_told(tmp_path: Path) -> None:
    told = Provision("Role", "true", "psql", SecretStr("a password"))
    wanted = Change("x", (mine(tmp_path / "a", "text\n"),), provisions=(told,))
    (tmp_path / "a").write_text("text\n")
    (tmp_path / "a").chmod(0o640)
    assert reasons(wanted, ask(wanted, tmp_path)) == [UNTOLD], "there is no ledger"
    served = tmp_path / "served" / "x"
    served.mkdir(parents=True)
    for name in KEPT:
        (served / name).write_text(members(wanted)[name])
    rows = [f"file\t0644\troot\troot\tnone\t{path}\t\n" for path in (tmp_path / "a", "/etc/it is old")]
    (served / "files.tsv").write_text("".join(rows))
    assert reasons(wanted, ask(wanted, tmp_path)) == ["/etc/it is old is no longer wanted"]
    other = dataclasses.replace(told, stdin=SecretStr("another password"))
    for one in (dataclasses.replace(wanted, provisions=(other,)), dataclasses.replace(wanted, store="find")):
        assert UNTOLD in reasons(one, ask(one, tmp_path))


def test_a_component_with_nothing_here_leaves_no_trace_unless_an_earlier_run_had_something(tmp_path: Path) -> None:
    nothing = Change("x", ())
    assert reasons(nothing, ask(nothing, tmp_path)) == []
    assert reasons(dataclasses.replace(nothing, store="find"), State({})) == [UNTOLD]
    (tmp_path / "served" / "x").mkdir(parents=True)
    (tmp_path / "served" / "x" / "provisions.json").write_text("[]")
    assert reasons(nothing, ask(nothing, tmp_path)) == []
    (tmp_path / "served" / "x" / "files.tsv").write_text("file\t0644\troot\troot\tnone\t/etc/it is old\t\n")
    assert reasons(nothing, ask(nothing, tmp_path)) == ["/etc/it is old is no longer wanted"]
    (tmp_path / "served" / "x" / "provisions.json").unlink()
    (tmp_path / "served" / "x" / "files.tsv").unlink()
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "x").write_text("run\tpath\n")
    assert "an earlier run was cut off" in reasons(nothing, ask(nothing, tmp_path))


def test_the_question_reads_systemds_times_in_any_zone(tmp_path: Path) -> None:
    change = Change("x", (), unit="x.service", extra_units=("x.timer",))
    state = ask(change, tmp_path, started="Fri 2025-11-21 03:13:40.250000 UTC", moved="Fri 2025-11-21 03:13:41.5 UTC")
    assert (state.started, state.reloaded) == (1763694820.25, 1763694821.5)
    assert (state.active, state.enabled) == (True, True)
    never = ask(change, tmp_path, active="inactive", enabled="disabled", timer="3")
    assert (never.started, never.active, never.enabled) == (0.0, False, False)
    assert not ask(change, tmp_path, timer="3").enabled, "a timer that does not run is noticed"
    off = Change("x", (), unit="x.service", stopped_units=("x.timer",))
    assert not ask(off, tmp_path).enabled, "and one that runs and should not"
    assert ask(off, tmp_path, timer="3").enabled
