"""A folder in which payload/host/transact runs for real, with a systemctl that keeps a service in three files."""

from __future__ import annotations

import base64
import grp
import io
import os
import pwd
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploys.lib.bundle import Change, bundle
from deploys.lib.component import ConfigFile, Effect, Link
from deploys.lib.transaction import PROGRAM

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
UNIT = "x.service"

# One service: `active`, `enabled` and times are files. It dies of a main.conf that says so, and serves what it read.
SYSTEMCTL = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
# Dozens of calls are made for each run: what the shell can do itself is not left to other programs.
said() { if [ -e "$FAKE/$1" ]; then read -r text <"$FAKE/$1"; else text=$2; fi; }
told() { case $flags in *--quiet*) ;; *) echo "$1" ;; esac; }
now() { date -u '+%a %Y-%m-%d %H:%M:%S.%6N UTC'; }
for unit; do :; done
flags=$*
case "$*" in
*is-active*) said "active.$unit" inactive; told "$text"; [ "$text" = active ] ;;
*is-failed*) said "active.$unit"; [ "$text" = failed ] ;;
*is-enabled*) if [ -e "$FAKE/enabled.$unit" ]; then told enabled; else told disabled; exit 1; fi ;;
*enable*--now*) : >"$FAKE/enabled.$unit"; echo active >"$FAKE/active.$unit"; [ -e "$UNITS/$unit" ] ;;
disable*--now*|stop*) echo inactive >"$FAKE/active.$unit"; case "$*" in disable*) rm -f "$FAKE/enabled.$unit" ;; esac ;;
disable*) rm -f "$FAKE/enabled.$unit" ;;
start*) echo active >"$FAKE/active.$unit" ;;
*enable*) : >"$FAKE/enabled.$unit" ;;
show*ExecMainStart*) said started; echo "$text" ;;
show*StateChange*) said moved; echo "$text" ;;
show*NRestarts*) said restarts 0; echo "$text" ;;
restart*) rm -rf "$FAKE/running"; cp -a "$ETC" "$FAKE/running"; now >"$FAKE/started"; now >"$FAKE/moved"
    if grep -q dies "$ETC/main.conf" 2>/dev/null; then echo failed >"$FAKE/active.$unit"; echo 'it dies' >&2; exit 1; fi
    echo active >"$FAKE/active.$unit" ;;
reload*) cp -a "$ETC/users.conf" "$FAKE/running/"; now >"$FAKE/moved" ;;
esac
"""

# No power is lost here, and the real one waits for everything that the whole machine has yet to write.
SYNC = r"""#!/bin/sh
[ "$1" = -f ] && [ -e "$2" ]
"""

# Ends the whole run before its Nth call of a program that changes something: as a host that loses its power would.
KILLER = r"""#!/bin/sh
PATH=$FAKE/bin:/usr/sbin:/usr/bin:/sbin:/bin
case "$*" in is-*| show*) exec "${0##*/}" "$@" ;; esac
read -r n <"$FAKE/count"
n=$((n + 1))
echo "$n" >"$FAKE/count"
[ "$n" = "$KILL_BEFORE" ] && kill -9 "-$(cat "$FAKE/pid")"
exec "${0##*/}" "$@"
"""
CHANGING = ("mv", "cp", "ln", "rm", "mkdir", "chown", "chmod", "sync", "systemctl")


@dataclass
class Done:
    code: int
    out: str
    sentence: str


def unpack(change: Change, folder: Path) -> list[tarfile.TarInfo]:
    """Put what is sent for a change into ``folder``, and say what came."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(bundle(change)))) as archive:
        # Python 3.14 has it by itself; Debian 12's does not know it.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
        return archive.getmembers()


@dataclass
class Sandbox:
    """``etc`` is what a component wants to change; ``fake`` is the state of the fake service manager."""

    def __init__(self, root: Path) -> None:
        self.root, self.etc, self.fake = root, root / "etc", root / "fake"
        self.state, self.backups, self.units = root / "state", root / "backups", root / "units"
        for folder in (self.etc, self.fake / "bin", self.fake / "killers", self.units):
            folder.mkdir(parents=True)
        texts = {path.name: path.read_text() for path in PROGRAM}
        # What lies at a fixed place on a host lies in the sandbox: where a file is made ready, and versions.
        moved = {"/${top%%/*}/": f"{root}/", '"/$top/': f'"{root}/', '"/opt/"': f'"{root}/opt/"'}
        for place, inside in moved.items():
            assert sum(text.count(place) for text in texts.values()) == 1, place
            texts = {name: text.replace(place, inside) for name, text in texts.items()}
        self.program = root / "transact"
        scripts = {self.fake / "bin" / "systemctl": SYSTEMCTL, self.fake / "bin" / "sync": SYNC} | {
            root / name: text for name, text in texts.items()
        }
        scripts |= {self.fake / "killers" / name: KILLER for name in CHANGING}
        for path, script in scripts.items():
            path.write_text(script)
            path.chmod(0o755)

    def file(
        self, name: str, text: str, effect: Effect = "restart", mode: str = "0644", secret: bool = False
    ) -> ConfigFile:
        folder = self.units if name.endswith((".service", ".timer")) else self.etc
        return ConfigFile(f"{folder}/{name}", text, mode, USER, GROUP, effect, secret)

    def link(self, name: str, target: str) -> Link:
        return Link(f"{self.etc}/{name}", target)

    def change(
        self, *items: ConfigFile | Link, ready: str = "true", check: str = "", seconds: int = 0, **more: object
    ) -> Change:
        wanted = {"unit": UNIT, "check": (check,) if check else (), "ready": ready, "ready_seconds": seconds, **more}
        return Change("x", items, **wanted)  # type: ignore[arg-type]

    def serves(self, text: str) -> str:
        """A question that only a service which read ``text`` from main.conf answers with yes."""
        return f'grep -q -F {text} {self.fake}/running/main.conf || {{ echo "serves another"; exit 1; }}'

    def stage(self, change: Change, run: str = "R1") -> None:
        folder = self.state / "staged" / f"{change.component}.{run}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack(change, folder)

    def environment(self, **more: str) -> dict[str, str]:
        """Variables that move everything into the sandbox, for the programs and for the fake ones they call."""
        return {
            "PATH": f"{self.fake}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PORTCULLIS_STATE": str(self.state),
            "PORTCULLIS_UNITS": str(self.units),
            "PORTCULLIS_PACKAGED_UNITS": str(self.root / "packaged"),
            "PORTCULLIS_COMPOSE": str(self.etc),
            "PORTCULLIS_TOOLS": str(self.root / "tools"),
            "PORTCULLIS_LOCK": str(self.root / "lock"),
            "PORTCULLIS_RUN": str(self.root / "run"),
            "FAKE": str(self.fake),
            "ETC": str(self.etc),
            "UNITS": str(self.units),
            **more,
        }

    def run(
        self,
        change: Change | None = None,
        run: str = "R1",
        backups: Path | None = None,
        kill_before: int = 0,
        component: str = "x",
        word: str = "",
        waits: Callable[[], object] | None = None,
    ) -> Done:
        """Stage ``change`` and run transact to its end, or until before its changing step ``kill_before``.

        ``waits`` is called when it waits for a new connection.
        """
        if change is not None:
            self.stage(change, run)
            component = change.component
        (self.fake / "count").write_text("0\n")
        first = f"{self.fake}/killers:" if kill_before else ""
        environment = self.environment(KILL_BEFORE=str(kill_before))
        environment["PATH"] = first + environment["PATH"]
        command = ["sh", "-c", f'echo $$ >{self.fake}/pid; exec "$0" "$@"', str(self.program), component, run]
        command += [str(backups or self.backups), *([word] if word else [])]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        ) as process:
            said = ""
            if waits and process.stdout:
                for line in process.stdout:
                    said += line
                    if line.startswith("waiting ") and line.endswith(" s for a new connection\n"):
                        waits()
            out, sentence = process.communicate(timeout=30)
        return Done(process.returncode, said + out, sentence.strip())

    def calls(self) -> list[str]:
        """What systemctl was asked to do since the last time, without its questions."""
        path = self.fake / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith(("is-", "show", "daemon-reload", "reset-failed"))]

    def tree(self) -> dict[str, tuple[str, str, str]]:
        """Everything in ``etc`` and ``units``: kind, mode and content or target by name."""
        found = {}
        for path in sorted([*self.etc.rglob("*"), *self.units.rglob("*")]):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = ("link", "", os.readlink(path))
            elif path.is_file():
                found[name] = ("file", oct(path.stat().st_mode & 0o7777), path.read_text())
        return found

    def running(self) -> str:
        path = self.fake / "running" / "main.conf"
        return path.read_text() if path.exists() else ""
