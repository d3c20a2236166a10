"""Hosts to harden: one of a site without pyinfra, and a tree of files on which the program of a host runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from deploys.components.hardening.component import want
from deploys.components.hardening.plan import plan
from deploys.lib.component import Here
from deploys.lib.render import ROOT
from tests.unit import site


def here(release: str = "13", level: str = "baseline", **data: Any) -> Here:
    data = {f"hardening_{key}" if key != "runtime" else key: value for key, value in data.items()}
    member = site.look(site.host("gateway.example.org", release=release, hardening_level=level, **data))
    return Here(member[0], member)


def planned(release: str = "13", level: str = "baseline", **data: Any) -> dict[str, Any]:
    return plan(want(here(release, level, **data)))


PROGRAM = ROOT / "payload" / "hardening" / "harden.py"
SSH, SUDO, LOGIN = "/etc/ssh/sshd_config.d/00-portcullis.conf", "/etc/sudoers.d/portcullis", "/etc/login.defs"
# An sshd that takes everything but the word `wrong`, and says of its options what stands in its files.
SSHD = r"""#!/bin/sh
cd "$PORTCULLIS_ROOT/etc/ssh"
says() { awk '!/^#/ && NF { print tolower($1), $2 }' | sort -u -k 1,1 | sed s/prohibit-/without-/; }
[ "$2" != -f ] || { grep -q wrong "$3" && { echo "bad line"; exit 1; }; [ $1 = -t ] && exit
    while read -r option value; do [ "$option" = Match ] && break
        if [ "$option" = Include ]; then cat $value 2>/dev/null; else echo "$option $value"; fi
    done <"$3" | says; exit; }
if grep -qs wrong sshd_config sshd_config.d/*; then echo "line 1: wrong" >&2; exit 1; fi
[ "$1" = -t ] || cat sshd_config.d/* sshd_config 2>/dev/null | sed '/^Match/,$d; /^Include/d' | says
"""
VISUDO = r"""#!/bin/sh
file=$4; [ -n "$file" ] || exit 0
grep -q wrong "$file" && { echo "$file: syntax error" >&2; exit 1; }; exit 0
"""
SYSTEMCTL = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
case $1 in is-system-running) cat "$FAKE/state" ;; list-jobs) cat "$FAKE/jobs" 2>/dev/null ;; esac
true
"""


class Host:
    """A host's tree, and the programs that the hardening asks."""

    def __init__(self, folder: Path, container: str = "none") -> None:
        self.root, self.fake, self.state = folder / "root", folder / "fake", folder / "state"
        self.fake.mkdir(parents=True)
        scripts = {"sshd": SSHD, "visudo": VISUDO, "systemctl": SYSTEMCTL, "sudo": "#!/bin/sh\n"}
        scripts["systemd-detect-virt"] = f"#!/bin/sh\necho {container}\n"
        for name, script in scripts.items():
            (self.fake / name).write_text(script)
            (self.fake / name).chmod(0o755)
        (self.fake / "state").write_text("running\n")
        self.put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nLogLevel INFO\n", 0o644)
        self.put(LOGIN, "# UMASK of all\nUMASK\t\t022\nPASS_MAX_DAYS\t99999\n", 0o644)
        self.put("/etc/passwd", "root\n", 0o664)
        self.put("/etc/ssh/moduli", "# sizes\n1 2 6 100 2047 2 A\n1 2 6 100 3071 2 B\n", 0o644)
        for name, value in {
            "net/ipv4/conf/all/a": 1,
            "net/ipv4/conf/default/a": 1,
            "net/ipv4/conf/eth0.1/a": 1,
        }.items():
            self.put(f"/proc/sys/{name}", f"{value}\n", 0o644)

    def put(self, path: str, text: str, mode: int = 0o644) -> Path:
        where = self.at(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(mode)
        return where

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def run(self, *words: str, items: list[dict[str, Any]] | None = None, **more: str) -> tuple[int, str]:
        path = self.state / "plan.json"
        if items is not None:
            self.state.mkdir(exist_ok=True)
            named = [{"controls": [f"c-{number}"], **item} for number, item in enumerate(items)]
            controls = [{"id": name, "area": "x", "level": "baseline"} for item in named for name in item["controls"]]
            path.write_text(json.dumps({"controls": controls, "items": named}))
        variables = {
            "PATH": f"{self.fake}:/usr/bin:/bin", "PORTCULLIS_ROOT": str(self.root), "FAKE": str(self.fake),
            "PORTCULLIS_STATE": str(self.state), "PORTCULLIS_PLAN": str(path), **more,
        }  # fmt: skip
        done = subprocess.run(
            [str(PROGRAM), *words], env=variables, capture_output=True, text=True, timeout=30, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def tree(self) -> dict[str, tuple[str, str]]:
        return {
            str(path.relative_to(self.root)): (oct(path.stat().st_mode), path.read_text() if path.is_file() else "")
            for path in sorted(self.root.rglob("*"))
        }

    def calls(self) -> list[str]:
        path = self.fake / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in found if not line.startswith(("is-", "list-", "show "))]


def file(path: str, *lines: str, mode: str = "0600", **more: Any) -> dict[str, Any]:
    return {"kind": "file", "path": path, "mode": mode, "lines": [*lines], **more}


def entry(name: str, value: str, between: str = " ", path: str = LOGIN) -> dict[str, Any]:
    return {"kind": "entry", "path": path, "name": name, "value": value, "between": between}


def mode(path: str, bits: str) -> dict[str, Any]:
    return {"kind": "mode", "path": path, "mode": bits, "owner": ""}


def sysctl(name: str, value: int) -> dict[str, Any]:
    return {"kind": "sysctl", "name": name, "value": value}


ALL = [
    file(SSH, "LogLevel VERBOSE", service="ssh"),
    {"kind": "sshd", "option": "loglevel", "value": ["VERBOSE"]},
    file(SUDO, "Defaults use_pty", mode="0440", service="sudo"),
    file("/etc/new/folder/file", "x"),
    entry("UMASK", "027"),
    entry("LOGIN_RETRIES", "3"),
    mode("/etc/passwd", "0644"),
    sysctl("net.ipv4.conf.default.a", 0),
    {"kind": "moduli", "path": "/etc/ssh/moduli", "bits": 3071, "service": "ssh"},
]
RELOAD = "try-reload-or-restart ssh.service"
