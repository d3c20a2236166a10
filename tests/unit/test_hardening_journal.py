"""The limits of the journal delete nothing that a host has; once in force they stay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.hardened import Host, file, planned

CONF = "/etc/systemd/journald.conf.d/portcullis.conf"
FOLDER = "/var/log/journal/0123456789abcdef0123456789abcdef"
MEGABYTE, DAY = 1024 * 1024, 86_400
OURS = [file(CONF, "[Journal]", "SystemMaxUse=2M", "MaxRetentionSec=90day", service="journald")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    (made.fake / "journalctl").write_text("#!/bin/sh\n")
    (made.fake / "journalctl").chmod(0o755)
    return made


def takes(host: Host, name: str, megabytes: int) -> Path:
    path = host.put(f"{FOLDER}/{name}", "")
    with path.open("wb") as opened:
        os.posix_fallocate(opened.fileno(), 0, megabytes * MEGABYTE)
    return path


def test_the_plan_has_the_lines_that_are_looked_for() -> None:
    (item,) = [item for item in planned()["items"] if item.get("path") == CONF]
    assert {"SystemMaxUse=1000M", "MaxRetentionSec=90day"} <= set(item["lines"])


def test_a_journal_that_is_larger_is_not_cut_down_and_it_is_said(host: Host) -> None:
    path = takes(host, "system.journal", 5)
    host.run("apply", items=OURS)
    assert host.at(CONF).read_text() == "[Journal]\nMaxRetentionSec=90day\n"
    assert host.run("check") == (0, "1 overruled\n")
    assert (
        "hardening_journal_max_mb: this host has 5 MB of journal, and 3 would be deleted; raise it, or remove them "
        "yourself (journalctl --vacuum-size=2M)\n"
    ) in host.run("report")[1]
    path.unlink()
    assert host.run("check")[0] == 1, "what is not in the way any more is made true"
    host.run("apply")
    assert "SystemMaxUse=2M\n" in host.at(CONF).read_text() and host.run("check") == (0, "1 hold\n")
    takes(host, "system.journal", 5)
    assert host.run("check") == (0, "1 hold\n"), "it has grown under the limit"


@pytest.mark.parametrize("name", ["system@{id}-{number}-{when}.journal", "user-1000@{when}-{number}.journal~"])
@pytest.mark.parametrize(("days", "spared"), [(80, False), (120, True)])
def test_a_journal_that_goes_back_further_is_kept(host: Host, name: str, days: int, spared: bool) -> None:
    when = f"{int((time.time() - days * DAY) * 1e6):016x}"
    host.put(f"{FOLDER}/{name.format(id='a' * 32, number='0' * 16, when=when)}", "")
    host.run("apply", items=OURS)
    assert ("MaxRetentionSec" not in host.at(CONF).read_text()) is spared
    assert ("goes back 120 days, and what is older than 90 would be deleted" in host.run("report")[1]) is spared
