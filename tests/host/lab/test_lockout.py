"""Changes that lock the operator out, made by a toolkit that is wrong: the host lets us in again in time, by itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.lib.render import ROOT
from tests.host.lab.conftest import Site, lab
from tests.host.support import Server
from tests.host.support_hardened import difference, looks
from tests.host.support_lab import Running, run, say, until
from tests.host.support_network import inside

HARDEN = "deploys/harden.py"
CONFIRM = 60
UNDO = "/etc/systemd/system/portcullis-undo-hardening.service"
PENDING = "/var/lib/portcullis/pending/hardening"
# What a revision of ours could get wrong, in the words of the host's own programs, which take it: area, file, lines.
WRONG = {
    "a wrong port": ("ssh", "ssh.py", '"LogLevel VERBOSE",', '"LogLevel VERBOSE", "Port 2222",'),
    "a broken sudoers": (
        "sudo", "sudo.py", '"Defaults use_pty")', '"Defaults use_pty", "operator ALL=(ALL:ALL) !ALL")',
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["trixie", "bookworm"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A host whose operator becomes root with sudo, with what every host gets first but hardening."""
    for name in lab(f"ht-{request.param}-lockout", "single", request.param, "operator"):
        done = run(name, HARDEN, hardening_level="off")
        assert done.status == 0, done.problem
        yield Site(name)


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """A copy of this toolkit, to be made wrong."""
    made = tmp_path / "toolkit"
    shutil.copytree(ROOT, made, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache"))
    return made


def spoil(toolkit: Path, file: str, right: str, wrong: str) -> None:
    path = toolkit / "deploys" / "components" / "hardening" / file
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))


def comes_in(server: Server) -> bool:
    """Whether the operator connects anew and becomes root."""
    alone = ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ConnectTimeout=2"]
    program, *words = server._way.shell
    done = subprocess.run([program, *alone, *words, "true"], capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    return done.returncode == 0


@pytest.mark.parametrize("dies", [False, True], ids=["the run goes on", "our machine dies"])
@pytest.mark.parametrize("what", WRONG)
def test_the_operator_is_let_in_again(site: Site, toolkit: Path, what: str, dies: bool) -> None:
    server = site.server
    area, *how = WRONG[what]
    before = looks(server)
    spoil(toolkit, *how)
    going = Running(site.name, HARDEN, cwd=toolkit, hardening_level="baseline", only=area)
    log = f"[ ! -e {UNDO} ] || tail -q -n 1 /var/lib/portcullis/switched/hardening.*/log | tail -n 1"
    until(lambda: "for a new connection" in inside(server, log), 120, "the host waits")
    assert not comes_in(server), "the drill is one"
    if dies:
        going.kill()
    seconds = until(lambda: comes_in(server), CONFIRM + 30, "the operator comes in again")
    say(f"      {what}{', and our machine dies' if dies else ''}: let in again after {seconds:.0f} s")
    until(lambda: not inside(server, f"cat {PENDING} 2>/dev/null || true"), 60, "all of it is undone")
    if not dies:
        done = going.finish()
        assert done.status == 1 and f"nobody could connect anew within {CONFIRM} s" in done.log, done.problem
    assert difference(before, looks(server)) == []
    assert inside(server, f"ls {UNDO} 2>/dev/null || true") == ""


def test_the_right_toolkit_goes_on_after_that(site: Site) -> None:
    before = looks(site.server)
    for area in ("ssh", "sudo"):
        done = run(site.name, HARDEN, hardening_level="baseline", only=area)
        assert done.status == 0 and "connected anew: the change stays" in done.log, done.problem
    assert comes_in(site.server)
    undone = run(site.name, HARDEN, undo=True)
    assert undone.status == 0, undone.problem
    assert difference(before, looks(site.server)) == []


def test_a_port_that_somebody_has_changed_and_not_used_yet_is_not_put_to_use_by_us(site: Site) -> None:
    conf = "/etc/ssh/sshd_config.d/60-lab.conf"
    site.server.out(f"echo 'Port 2222' >{conf}")
    try:
        before = looks(site.server)
        refused = run(site.name, HARDEN, hardening_level="baseline", only="ssh")
        said = " ".join(refused.log.split())
        assert refused.status == 1 and "nothing was changed: " in said, refused.problem
        assert "this run has come in at port 22, and from its next reload on sshd listens at 2222" in said
        assert difference(before, looks(site.server)) == [] and comes_in(site.server)
    finally:
        site.server.out(f"rm {conf}")
