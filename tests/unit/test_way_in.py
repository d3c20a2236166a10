"""How whoever deploys has come to a host: whom sshd let in, and over which connection, from the processes above."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploys.lib.way_in import came

SHOW = '; echo "$user|$connection"'
SEEN = "203.0.113.9 50000 192.0.2.1 22"


def status(name: str, above: int, uid: int) -> str:
    return f"Name:\t{name}\nState:\tS (sleeping)\nPPid:\t{above}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t0\t0\t0\t0\n"


def found(proc: Path, *above: tuple[str, int, str], more: tuple[str, ...] = ()) -> str:
    """What is found below ``above``: names of processes, their users, and the connection in their environment."""
    for number, (name, uid, seen) in enumerate(above):
        folder = proc / str(10 - number)
        folder.mkdir(parents=True)
        (folder / "status").write_text(status(name, 9 - number if number + 1 < len(above) else 1, uid))
        variables = ["PATH=/bin", *(more if seen else ()), *([f"SSH_CONNECTION={seen}"] if seen else []), ""]
        (folder / "environ").write_text("\0".join(variables))
    script = f"mkdir -p {proc}/$$; cat >{proc}/$$/status; {came(str(proc))}{SHOW}"
    done = subprocess.run(["sh", "-c", script], input=status("sh", 10, 0), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("above", "said"),
    [
        # Debian 13: the listener, a monitor as root, and the user's own; sudo in between, which hides the variable.
        (
            (("sudo", 0, ""), ("sh", 1, SEEN), ("sshd-session", 1, ""), ("sshd-session", 0, ""), ("sshd", 0, "")),
            "daemon",
        ),
        # Debian 12, and root itself.
        ((("sh", 0, SEEN), ("sshd", 0, ""), ("sshd", 0, "")), "root"),
        # A user that no file knows any more.
        ((("sh", 99999, SEEN), ("sshd", 99999, ""), ("sshd", 0, "")), "99999"),
    ],
)
def test_the_nearest_of_sshds_processes_is_the_users_own(
    tmp_path: Path, above: tuple[tuple[str, int, str], ...], said: str
) -> None:
    assert found(tmp_path, *above) == f"{said}|{SEEN}"


def test_who_has_not_come_over_ssh_is_nobody(tmp_path: Path) -> None:
    assert found(tmp_path, ("cron", 0, ""), ("systemd", 0, "")) == "|"
    assert found(tmp_path / "other") == "|", "what is above it has ended meanwhile"


def test_a_terminal_that_outlives_its_connection_is_still_its_users(tmp_path: Path) -> None:
    """It is where people work who run pyinfra on the host itself."""
    above = (("sudo", 0, ""), ("bash", 1, SEEN), ("tmux: server", 1, SEEN), ("systemd", 0, ""))
    assert found(tmp_path / "a", *above, more=("LOGNAME=ada",)) == f"ada|{SEEN}"
    assert found(tmp_path / "b", *above, more=("LOGNAME=root", "SUDO_USER=ada")) == f"ada|{SEEN}"
    assert found(tmp_path / "c", ("bash", 1, ""), more=("LOGNAME=ada",)) == "|", "and nobody's on the console"


def test_it_is_found_among_real_processes_with_little_on_the_host(tmp_path: Path) -> None:
    for name in ("env", "tr", "sed", "id", "sort"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    # A program of this name, so that the kernel says so; ours is started by it, and with an empty environment.
    shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "sshd-session")
    hidden = f'PATH={tmp_path} /usr/bin/env -i PATH={tmp_path} /bin/sh -c "$0"; true'
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    # Whoever runs the tests may have come over SSH, which is found as well.
    for seen in (SEEN, os.environ.get("SSH_CONNECTION", "")):
        done = subprocess.run(
            [tmp_path / "sshd-session", "-c", hidden, f"{came()}{SHOW}"],
            env={**environment, "SSH_CONNECTION": seen} if seen else environment, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == (f"{getpass.getuser()}|{seen}", "")
