"""Packages of hardening that are undone one by one: each goes with what came with it, and with nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.hardened import SSH, Host, file

# Each package brings a library and a file in /etc. What is in `users` would go with what it names.
APT_GET = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
etc=$PORTCULLIS_ROOT/etc
[ ! -x "$FAKE/keeper" ] || "$FAKE/keeper"
for name; do :; done
asked=${*##* purge }
case "$*" in
*" -s "*) for one in $asked; do echo "Remv $one"; sed -n "s/^$one /Purg /p" "$FAKE/users" 2>/dev/null; done ;;
*" install "*) [ ! -e "$FAKE/down" ] || exit 100
    printf '%s\t1\n' "$name" "lib$name" >>"$FAKE/packages"
    echo shipped >"$etc/$name.conf"; echo "$name" >>"$FAKE/manual" ;;
*" purge "*) for one in $asked; do sed -i "/^$one\t/d" "$FAKE/packages"; rm -f "$etc/$one.conf"; done ;;
esac
[ ! -x "$FAKE/keeper" ] || "$FAKE/keeper"
"""
SCRIPTS = {
    "apt-get": APT_GET,
    "apt-mark": '#!/bin/sh\ncat "$FAKE/manual" 2>/dev/null\ntrue\n',
    "apt-cache": "#!/bin/sh\necho 'Candidate: 1'\n",
    "dpkg-query": '#!/bin/sh\n[ "$1" = -L ] || sed "s/^/installed\\t/" "$FAKE/packages"\n',
    "dpkg": "#!/bin/sh\n",
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    for name, script in SCRIPTS.items():
        (made.fake / name).write_text(script)
        (made.fake / name).chmod(0o755)
    (made.fake / "packages").write_text("base\t1\n")
    return made


def packages(*names: str) -> list[dict[str, Any]]:
    return [{"kind": "package", "name": name, "stage": 0, "controls": [name]} for name in names]


def there(host: Host) -> set[str]:
    return {line.split("\t")[0] for line in (host.fake / "packages").read_text().splitlines()}


def test_one_package_goes_and_those_of_others_stay_with_what_was_edited_in_them(host: Host) -> None:
    host.run("apply", items=packages("a", "b", "c"))
    host.put("/etc/a.conf", "edited\n")
    before = there(host)
    host.run("apply", items=packages("a", "b"))
    assert there(host) == before - {"c", "libc"} and host.at("/etc/a.conf").read_text() == "edited\n"
    host.run("apply", items=packages("b"))
    assert there(host) == {"base", "b", "libb"}
    host.run("undo")
    assert there(host) == {"base"}


def test_a_package_that_cannot_go_does_not_keep_the_next_one(host: Host) -> None:
    host.run("apply", items=packages("a", "b", "c"))
    (host.fake / "users").write_text("a theirs [1]\n")
    assert "package a: cannot be undone: theirs would go with a liba" in host.run("undo")[1]
    assert there(host) == {"base", "a", "liba"}


def test_what_the_program_of_before_has_noted_is_undone_one_by_one_too(host: Host) -> None:
    """It noted what was there once, ahead of the first package, so that the third one had brought the other two."""
    host.run("apply", items=packages("a", "b", "c"))
    noted = host.state / "hardening" / "first.json"
    said = json.loads(noted.read_text())
    for name in ("a", "b", "c"):
        said["items"][f"package {name}"]["before"]["all"] = ["base"]
        del said["items"][f"package {name}"]["after"]["came"]
    said["items"]["package c"]["after"]["etc"].append(
        {"path": "/etc/.git/index", "was": {"kind": "absent", "missing": []}, "is": "", "added": []}
    )
    noted.write_text(json.dumps(said))
    host.run("apply", items=packages("a", "c"))
    assert there(host) == {"base", "a", "liba", "c", "libc"}
    host.run("apply", items=packages("a", "b", "c"))
    host.run("apply", items=packages("a", "b"))
    assert there(host) == {"base", "a", "liba", "b", "libb"}
    host.run("undo")
    assert there(host) == {"base"}


def test_what_somebody_has_asked_for_by_name_since_stays(host: Host) -> None:
    host.run("apply", items=packages("a"))
    with (host.fake / "manual").open("a") as manual:
        manual.write("liba\n")
    host.run("undo")
    assert there(host) == {"base", "liba"}


def test_what_comes_between_two_attempts_is_somebody_elses(host: Host) -> None:
    (host.fake / "down").touch()
    host.run("apply", items=packages("a"))
    assert there(host) == {"base"}
    (host.fake / "down").unlink()
    with (host.fake / "packages").open("a") as listed:
        listed.write("theirs\t1\n")
    host.run("apply")
    host.run("undo")
    assert there(host) == {"base", "theirs"}


@pytest.mark.parametrize("word", ["apply", "back", "undo"])
def test_an_installation_that_was_cut_off_is_undone_whole_whatever_comes_next(host: Host, word: str) -> None:
    before = host.tree()
    (host.fake / "apt-get").write_text(APT_GET + 'case "$*" in *" install a") kill -9 $PPID ;; esac\n')
    host.run("apply", items=[file(SSH, "LogLevel VERBOSE", service="ssh"), *packages("a")])
    assert "a" in there(host)
    (host.fake / "apt-get").write_text(APT_GET.replace('rm -f "$etc/$one.conf"', ":"))
    host.run(word)
    host.run("undo")
    assert host.tree() == before and there(host) == {"base"} and not list((host.state / "hardening").iterdir())


def test_the_repository_of_etckeeper_is_left_alone(host: Host) -> None:
    etc = host.at("/etc")

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=r", "-c", "user.email=r@x", "-c", "gc.auto=0", "-C", str(etc), *words],
            env={"HOME": str(host.fake), "PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"},
            capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    keep = "git -c user.name=r -c user.email=r@x -c gc.auto=0"
    (host.fake / "keeper").write_text(
        f'#!/bin/sh\ncd "$PORTCULLIS_ROOT/etc"; export HOME="$FAKE" GIT_CONFIG_GLOBAL=/dev/null\n'
        f"echo $$ >.etckeeper; {keep} add -A; {keep} commit -q -m saved >/dev/null || true\n"
    )
    (host.fake / "keeper").chmod(0o755)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "initial")
    host.put("/etc/theirs", "not committed yet\n")
    host.run("apply", items=packages("a"))
    host.run("undo")
    assert there(host) == {"base"}
    assert git("fsck") == "" and git("status", "--short") == ""
    assert git("show", "HEAD:theirs") == "not committed yet\n" and len(git("log", "--oneline").splitlines()) > 2
