"""The firewall on its host: rules that would shut out the run are refused, a table of others' making is loaded anew."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components.firewall import FIREWALL, NFTABLES, RULES, UNIT, shut_out
from deploys.components.firewall_settings import FirewallSettings
from tests.unit import site
from tests.unit.test_firewall import CLOSED


def settings(**data: Any) -> FirewallSettings:
    found: FirewallSettings = site.single(**{**CLOSED, **data}).settings(FirewallSettings)
    return found


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ("203.0.113.9 50000 192.0.2.1 22", ""),
        ("fd00:1::9 50000 fd00:1::1 22", ""),
        ("fd00:1::9%eth0 50000 fd00:1::1 22", ""),
        ("", ""),
        ("yes 0 1", ""),
        (
            "198.51.100.4 50000 192.0.2.1 22",
            "firewall_operator_networks: this run comes from 198.51.100.4, which is in none of 203.0.113.0/24, "
            "fd00:1::/64; it would shut itself out. Name its network too",
        ),
        (
            "203.0.113.9 50000 192.0.2.1 2222",
            "firewall_ssh_ports: this run came in at port 2222, which would be closed; name it",
        ),
    ],
)
def test_rules_that_would_shut_out_the_run_itself_are_refused(connection: str, why: str) -> None:
    assert shut_out(settings(), connection) == why
    (refusal,) = FIREWALL.refusals(site.single(**CLOSED))
    assert refusal.judge is not None and refusal.judge(connection) == why


NFT = """#!/bin/sh
case "$*" in *list*) cat {0}/kernel ;; *--check*) cat {0}/said; exit $(cat {0}/code) ;; esac
"""


@pytest.mark.parametrize(("kernel", "touched"), [("as it should be", False), ("something else", True)])
def test_a_table_that_somebody_changed_is_loaded_anew(tmp_path: Path, kernel: str, touched: bool) -> None:
    box = Box(tmp_path, kernel)
    assert box.check().returncode == 0
    assert (box.file.stat().st_mtime > 1000) is touched, "the unit is older than its file then, and reloaded"


def test_rules_that_nft_does_not_understand_are_told_in_its_first_line(tmp_path: Path) -> None:
    box = Box(tmp_path, "as it should be", said="/etc/x:12:3-9: Error: syntax error\n  tcp dprt 22\n  ^^^^\n", code=1)
    done = box.check()
    assert (done.returncode, done.stdout.strip()) == (1, "/etc/x:12:3-9: Error: syntax error")


@pytest.mark.parametrize("option", ["ExecStartPost", "ExecReload", "ExecStopPost"])
def test_whenever_debians_unit_empties_all_tables_ours_is_loaded_again(tmp_path: Path, option: str) -> None:
    text = next(file.text for file in FIREWALL.files(site.single(**CLOSED)) if file.path == NFTABLES)
    (line,) = [line for line in text.splitlines() if line.startswith(f"{option}=")]
    words = shlex.split(line.removeprefix(f"{option}=-"))
    (tmp_path / "nft").write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/loaded\n')
    # Inactive, it is being stopped, or the host starts and a change that nobody has confirmed may lie there.
    for code, loaded in ((3, ""), (0, f"-f {RULES}\n")):
        (tmp_path / "systemctl").write_text(
            f'#!/bin/sh\n[ "$*" = "is-active --quiet {UNIT}" ] && exit {code}\nexit 9\n'
        )
        for name in ("nft", "systemctl"):
            (tmp_path / name).chmod(0o755)
        assert subprocess.run(words, env={"PATH": f"{tmp_path}:/bin"}).returncode == 0
        there = tmp_path / "loaded"
        assert (there.read_text() if there.exists() else "") == loaded


class Box:
    """A folder with an nft that plays a kernel; in a network of its own that has what the file says."""

    def __init__(self, root: Path, kernel: str, said: str = "", code: int = 0) -> None:
        self.root, self.file = root, root / "rules.nft"
        self.file.write_text("rules\n")
        os.utime(self.file, (1000, 1000))
        for name, text in (("kernel", kernel), ("said", said), ("code", str(code))):
            (root / name).write_text(text)
        for name, text in (("nft", NFT.format(root)), ("unshare", "#!/bin/sh\necho 'as it should be'\n")):
            (root / name).write_text(text)
            (root / name).chmod(0o755)

    def check(self) -> subprocess.CompletedProcess[str]:
        script = "\n".join(["set -e", *FIREWALL.check(site.single(**CLOSED))]).replace(RULES, str(self.file))
        env = {"PATH": f"{self.root}:/usr/bin:/bin"}
        return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True)
