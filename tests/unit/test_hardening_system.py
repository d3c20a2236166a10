"""Hardening of what is no file: packages, units, modules, mounts and PAM, with programs that play the host's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.hardened import Host, file

# Packages are lines of a file. Installing `tool` brings `library`, an account, and things in /etc, and leaves some.
DPKG_QUERY = r"""#!/bin/sh
[ "$1" != -L ] || { [ "$2" != tool ] || echo /usr/lib/systemd/system/tool.service; exit 0; }
sed 's/^/installed\t/' "$FAKE/packages"
"""
APT_GET = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
etc=$PORTCULLIS_ROOT/etc
case "$*" in
*" -s "*) for name; do :; done; echo "Remv $name"; cat "$FAKE/users" 2>/dev/null; true ;;
*" install tool") printf 'library\t1\ntool\t2\n' >>"$FAKE/packages"
    mkdir -p "$etc/tool.d" && echo x >"$etc/tool.d/conf" && echo y >"$etc/tool.left"
    echo 'tool:x:9' >>"$etc/passwd"; chmod 640 "$etc/shadow" ;;
*" install "*) for name; do :; done; printf '%s\t1\n' "${name%%=*}" >>"$FAKE/packages" ;;
*" purge "*) sed -i '/^library\t/d; /^tool\t/d' "$FAKE/packages"; rm -r "$etc/tool.d/conf" ;;
*" remove "*) for name; do :; done; sed -i "/^$name\t/d" "$FAKE/packages" ;;
esac
"""
APT = " ".join(
    (
        "-q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold",
        "--no-install-recommends",
    )
)
PAM = r"""#!/bin/sh
echo "pam $*" >>"$FAKE/calls"
case "$*" in
*enable*) printf 'auth requisite pam_faillock.so preauth\nauth required pam_unix.so\n' ;;
*) echo 'auth required pam_unix.so' ;;
esac >"$PORTCULLIS_ROOT/etc/pam.d/common-auth"
"""
MOUNT = r"""#!/bin/sh
echo "mount $*" >>"$FAKE/calls"
options=${2#remount,} file=$PORTCULLIS_ROOT/proc/self/mountinfo
case $options in *noexec*) sed -i 's/rw,nosuid /rw,nosuid,noexec /' "$file" ;; *) sed -i 's/,noexec / /' "$file" ;; esac
"""
MODPROBE = r"""#!/bin/sh
echo "modprobe $*" >>"$FAKE/calls"
case $1 in -r) : >"$PORTCULLIS_ROOT/proc/modules" ;; *) echo "$1 1 0 - Live" >"$PORTCULLIS_ROOT/proc/modules" ;; esac
"""
SYSTEMCTL = r"""#!/bin/sh
echo "$*" >>"$FAKE/calls"
for unit; do :; done
case $1 in
is-system-running) cat "$FAKE/state" ;;
is-enabled) cat "$FAKE/enabled.$unit" 2>/dev/null ;;
is-active) cat "$FAKE/active.$unit" 2>/dev/null || echo inactive ;;
mask) echo masked >"$FAKE/enabled.$unit"; echo inactive >"$FAKE/active.$unit" ;;
unmask) echo static >"$FAKE/enabled.$unit" ;;
enable) echo enabled >"$FAKE/enabled.$unit"; echo active >"$FAKE/active.$unit" ;;
disable) echo disabled >"$FAKE/enabled.$unit" ;;
start) echo active >"$FAKE/active.$unit" ;;
stop) echo inactive >"$FAKE/active.$unit" ;;
esac
true
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    scripts = {"dpkg-query": DPKG_QUERY, "apt-get": APT_GET, "apt-cache": "#!/bin/sh\necho 'Candidate: 1'\n"}
    scripts["apt-mark"] = "#!/bin/sh\n"
    scripts |= {"pam-auth-update": PAM, "mount": MOUNT, "modprobe": MODPROBE, "systemctl": SYSTEMCTL}
    for name, script in scripts.items():
        (made.fake / name).write_text(script)
        (made.fake / name).chmod(0o755)
    (made.fake / "packages").write_text("base\t1\n")
    made.put("/etc/shadow", "secret\n", 0o600)
    made.put("/etc/pam.d/common-auth", "auth required pam_unix.so\n")
    made.put("/proc/self/mountinfo", "1 2 0:3 / / rw - ext4 x rw\n4 5 0:6 / /dev/shm rw,nosuid - tmpfs shm rw\n")
    made.put("/proc/modules", "usb_storage 1 0 - Live\n")
    return made


def package(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "package", "name": name, "stage": 0, **more}


def test_what_came_with_a_package_goes_with_it(host: Host) -> None:
    before = host.tree()
    # What the package brings is there when the second stage looks at it.
    host.run("apply", items=[package("tool"), {"kind": "mode", "path": "/etc/tool.d/conf", "mode": "0600"}])
    assert host.run("check")[0] == 0 and (host.fake / "packages").read_text() == "base\t1\nlibrary\t1\ntool\t2\n"
    assert host.at("/etc/tool.d/conf").stat().st_mode & 0o777 == 0o600
    host.run("undo")
    assert (host.fake / "packages").read_text() == "base\t1\n"
    assert host.tree() == before, "an account, a mode, and what was left behind, too"
    assert [line for line in host.calls() if line.startswith("stop") or " -s " in line or " purge " in line] == [
        f"{APT} -s purge library tool", "stop tool.service", f"{APT} purge library tool",
    ]  # fmt: skip


def test_what_others_have_done_since_stays(host: Host) -> None:
    host.run("apply", items=[package("tool")])
    host.put("/etc/passwd", host.at("/etc/passwd").read_text() + "postgres:x:8\n", 0o664)
    host.put("/etc/tool.d/theirs", "kept\n")
    host.put("/etc/tool.left", "edited\n")
    host.run("undo")
    assert host.at("/etc/passwd").read_text() == "root\npostgres:x:8\n"
    assert host.at("/etc/tool.d/theirs").exists() and host.at("/etc/tool.left").read_text() == "edited\n"


def test_a_package_that_is_installed_again_leaves_no_old_picture_of_etc(host: Host) -> None:
    """A later undo would put /etc back as it was on the day of the first one, passwords and all."""
    host.run("apply", items=[package("tool")])
    (host.fake / "packages").write_text("base\t1\n")
    host.run("apply", items=[package("tool")])
    assert "tool" in (host.fake / "packages").read_text()
    assert [path for path in host.state.rglob("etc.json.gz")] == []
    host.put("/etc/tool.left", "edited\n")
    host.run("undo")
    assert host.at("/etc/tool.left").read_text() == "edited\n"


def test_a_package_that_somebody_needs_by_now_stays_and_is_named(host: Host) -> None:
    host.run("apply", items=[package("tool")])
    (host.fake / "users").write_text("Purg theirs [1]\n")
    assert "package tool: cannot be undone: theirs would go with library tool" in host.run("undo")[1]
    assert "tool" in (host.fake / "packages").read_text()


def test_a_package_that_was_there_is_left(host: Host) -> None:
    host.run("apply", items=[package("base")])
    host.run("undo")
    assert (host.fake / "packages").read_text() == "base\t1\n" and not [
        line for line in host.calls() if "install" in line
    ]


def test_a_package_that_should_go_goes_and_comes_back(host: Host) -> None:
    host.run("apply", items=[package("base", absent=True)])
    assert (host.fake / "packages").read_text() == "" and host.run("check")[0] == 0
    host.run("undo")
    assert (host.fake / "packages").read_text() == "base\t1\n"
    assert host.calls()[-1].endswith("install base=1"), "the version that was there"
    (host.fake / "users").write_text("Remv theirs [1]\n")
    host.run("apply", items=[package("base", absent=True)])
    assert host.run("check")[1].startswith("c-0: base is installed; theirs would go with base")


def test_an_installation_that_was_cut_off_is_undone_from_what_was_before_it(host: Host) -> None:
    before = host.tree()
    apt = (host.fake / "apt-get").read_text()
    # Killed when the package is there, before anything was noted of that.
    (host.fake / "apt-get").write_text(apt + 'case "$*" in *" install tool") kill -9 $PPID ;; esac\n')
    host.run("apply", items=[package("tool")])
    (host.fake / "apt-get").write_text(apt)
    host.run("apply")
    host.run("undo")
    assert host.tree() == before and (host.fake / "packages").read_text() == "base\t1\n"
    assert not list((host.state / "hardening").iterdir())


def test_units_are_as_they_were(host: Host) -> None:
    for name, enabled, active in (("a.target", "static", "inactive"), ("b.service", "disabled", "inactive")):
        (host.fake / f"enabled.{name}").write_text(f"{enabled}\n")
        (host.fake / f"active.{name}").write_text(f"{active}\n")
    units = [
        {"kind": "unit", "name": "a.target", "state": "masked"},
        {"kind": "unit", "name": "b.service", "state": "enabled"},
    ]
    host.run("apply", items=units)
    assert host.run("check") == (0, "2 hold\n")
    (host.fake / "state").write_text("starting\n")
    host.calls()
    host.run("undo")
    found = {path.name: path.read_text().strip() for path in host.fake.glob("*abled.*")}
    assert found == {"enabled.a.target": "static", "enabled.b.service": "disabled"}
    assert (host.fake / "active.b.service").read_text() == "inactive\n"
    assert "stop --no-block b.service" in host.calls(), "what waits for a host that starts waits for ever"


def test_modules_and_mounts_are_as_they_were(host: Host) -> None:
    before = host.tree()
    mount = {"kind": "mount", "path": "/dev/shm", "options": ["nosuid", "noexec"]}
    host.run("apply", items=[{"kind": "module", "name": "usb-storage"}, mount, {**mount, "path": "/tmp"}])
    assert host.run("check") == (0, "2 hold, 1 not applicable here\n")
    assert "/tmp is no file system of its own here" in host.run("report")[1]
    host.run("undo")
    assert host.calls() == [
        "modprobe -r usb-storage", "mount -o remount,nosuid,noexec /dev/shm", "mount -o remount,exec /dev/shm",
        "modprobe usb-storage",
    ]  # fmt: skip
    assert host.at("/proc/self/mountinfo").read_text() == before["proc/self/mountinfo"][1]


PROFILE = [
    file("/usr/share/pam-configs/x", "Name: x"),
    {"kind": "pam", "profiles": ["x"], "modules": ["pam_faillock.so"], "stage": 2},
]


def test_pam_is_as_it_was(host: Host) -> None:
    before = host.tree()
    host.run("apply", items=PROFILE)
    assert host.run("check")[0] == 0
    host.at("/etc/pam.d/common-auth").write_text("auth required pam_unix.so\n# pam_faillock.so\n")
    assert "pam_faillock.so is in none of /etc/pam.d/common-*; were they edited by hand?" in host.run("check")[1]
    host.run("apply")
    host.run("undo")
    assert host.tree() == before
    assert not [line for line in host.calls() if "--remove" in line]


def test_pam_that_somebody_has_changed_since_is_made_anew_without_ours(host: Host) -> None:
    host.run("apply", items=PROFILE)
    path = host.at("/etc/pam.d/common-auth")
    path.write_text(path.read_text() + "auth optional pam_theirs.so\n")
    host.run("undo")
    assert "pam --package --remove x" in host.calls() and "faillock" not in path.read_text()


def test_a_line_is_put_after_the_one_it_belongs_to_and_taken_out_again(host: Host) -> None:
    su = host.put("/etc/pam.d/su", "# su\nauth       sufficient pam_rootok.so\nsession required pam_env.so\n")
    before = host.tree()
    item = {
        "kind": "insert",
        "path": "/etc/pam.d/su",
        "line": "auth required pam_wheel.so",
        "after": "auth +sufficient",
    }
    host.run("apply", items=[item])
    assert su.read_text().splitlines()[1:3] == ["auth       sufficient pam_rootok.so", "auth required pam_wheel.so"]
    host.run("apply")
    assert su.read_text().count("pam_wheel") == 1
    host.run("undo")
    assert host.tree() == before
    host.run("apply", items=[{**item, "after": "account"}])
    assert "has no line to put it after" in host.run("check")[1]


def test_what_is_noted_is_for_root_alone(host: Host) -> None:
    host.run("apply", items=[package("tool")])
    folder = host.state / "hardening"
    assert folder.stat().st_mode & 0o777 == 0o700 and (folder / "first.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "first.json").read_text())["items"]["package tool"]["before"]["all"] == ["base"]
