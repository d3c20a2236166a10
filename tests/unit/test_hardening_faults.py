"""The program that hardens a host when something goes wrong: a refused file, a kill, a shutdown, an odd file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.hardened import ALL, LOGIN, RELOAD, SSH, SUDO, Host, entry, file, mode


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_file_that_its_program_does_not_take_is_found_before_and_taken_back_after(host: Host) -> None:
    before = host.tree()
    wrong = [file(SSH, "wrong", service="ssh"), mode("/etc/passwd", "0644")]
    assert host.run("test", items=wrong) == (1, f"{SSH}: bad line\n") and host.tree() == before
    assert host.run("test", items=[file(SUDO, "wrong", service="sudo")])[1].startswith(f"{SUDO}: ")
    assert host.run("test", items=ALL) == (0, "")
    host.run("apply", items=wrong)
    code, said = host.run("check")
    assert code == 1 and f"c-0: {SSH} is not there; sshd -t: line 1: wrong" in said, said
    assert host.calls() == [], "sshd is not told of what it would die of"
    assert host.at("/etc/passwd").stat().st_mode & 0o777 == 0o644, "the rest holds"
    host.run("undo")
    assert host.tree() == before


def test_a_program_that_was_not_told_is_told_by_the_next_run(host: Host) -> None:
    host.run("apply", items=ALL)
    host.calls()
    noted = host.state / "hardening" / "first.json"
    said = json.loads(noted.read_text())
    said["loaded"] = {}  # cut off in front of it
    noted.write_text(json.dumps(said))
    code, text = host.run("check")
    assert code == 1 and "ssh has not read its files as they are now" in text
    host.run("apply")
    assert host.calls() == [RELOAD] and host.run("check")[0] == 0


@pytest.mark.parametrize(
    ("state", "jobs"),
    [("stopping", ""), ("running", "71 portcullis-hardening.service restart running\n")],
    ids=["shutdown", "restart"],
)
def test_nothing_is_undone_while_the_system_stops_or_the_unit_starts_again(host: Host, state: str, jobs: str) -> None:
    host.run("apply", items=ALL)
    during = host.tree()
    (host.fake / "state").write_text(f"{state}\n")
    (host.fake / "jobs").write_text(f"12 other.service stop waiting\n{jobs}")
    host.run("undo")
    assert host.tree() == during


def test_what_cannot_be_undone_stays_noted(host: Host) -> None:
    host.run("apply", items=[file("/etc/new/file", "x"), mode("/etc/passwd", "0644")])
    host.at("/etc/new/file").unlink()
    host.at("/etc/new/file").mkdir()
    host.put("/etc/new/file/kept", "")
    assert "cannot be undone" in host.run("undo")[1]
    noted = (host.state / "hardening" / "first.json").read_text()
    assert "cannot be undone" in noted and "mode /etc/passwd" not in noted


def test_what_cannot_be_undone_is_said_until_it_is_or_somebody_decides_that_it_stays(host: Host) -> None:
    host.run("apply", items=[file("/etc/new/file", "x"), mode("/etc/passwd", "0644")])
    assert host.run("left") == (0, "")
    host.at("/etc/new/file").unlink()
    host.put("/etc/new/file/kept", "")
    host.run("apply", items=[mode("/etc/passwd", "0644")])
    assert host.run("check")[0] == 0, "what is asked for holds"
    code, said = host.run("left")
    assert code == 1 and said.startswith("file /etc/new/file: cannot be undone: ") and len(said.splitlines()) == 1
    assert host.run("left") == (code, said), "and the next time"
    # What is asked for is not to be forgotten: it would never be undone.
    assert host.run("forget", "mode /etc/passwd") == (
        1, "mode /etc/passwd: nothing of that name is left to be undone\n",
    )  # fmt: skip
    noted = host.state / "hardening" / "first.json"
    before = noted.read_text()
    assert host.run("forget", "file /etc/new/file") == (0, "") and host.run("left") == (0, "")
    noted.write_text(before)
    host.at("/etc/new/file/kept").unlink()
    host.at("/etc/new/file").rmdir()
    host.run("apply")
    assert host.run("left") == (0, "") and not host.at("/etc/new").exists(), "the way is free, and it is undone"


def test_somebody_elses_link_is_not_written_through(host: Host) -> None:
    target = host.put("/etc/target", "theirs\n")
    host.at("/etc/new").symlink_to(target)
    host.run("apply", items=[file("/etc/new", "ours")])
    assert target.read_text() == "theirs\n" and "somebody else has made" in host.run("check")[1]


@pytest.mark.parametrize("dies_at", range(1, 40, 3))
def test_a_run_that_is_killed_is_finished_or_undone_by_the_next(host: Host, dies_at: int) -> None:
    """Killed in front of its n-th change of the file system."""
    before = host.tree()
    killer = host.root.parent / "killer"
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(
        "import os, pathlib\nleft = [int(os.environ['DIES_AT'])]\n"
        "def counted(call):\n    def run(*words, **more):\n        left[0] -= 1\n"
        "        if left[0] == 0: os._exit(137)\n        return call(*words, **more)\n    return run\n"
        "for name in ('replace', 'chmod', 'unlink', 'mkdir', 'fsync', 'rmdir'):\n"
        "    setattr(os, name, counted(getattr(os, name)))\n"
        "for name in ('replace', 'chmod', 'unlink', 'mkdir'):\n"
        "    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))\n"
    )
    for second in ("apply", "undo"):
        host.run("apply", items=ALL, PYTHONPATH=str(killer), DIES_AT=str(dies_at))
        host.run(second)
        if second == "apply":
            assert host.run("check") == (0, "9 hold\n")
            host.run("undo", PYTHONPATH=str(killer), DIES_AT=str(dies_at))
            host.run("undo")
        assert host.tree() == before, dies_at


NAMES = st.sampled_from(["UMASK", "A", "B_1"])
LINES = st.lists(
    st.sampled_from(["# UMASK 1", "UMASK\t022", "A 1", "A=2", "B_1", "", "UMASKED 3", "  A  4"]), max_size=6
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.booleans(), st.lists(st.tuples(NAMES, st.sampled_from(["1", "x y"])), min_size=1, max_size=4))
def test_whatever_a_file_is_like_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool, changes: list[tuple[str, str]]
) -> None:
    host = Host(tmp_path_factory.mktemp("host"))
    text = "\n".join(lines) + ("\n" if ended and lines else "")
    path = host.put(LOGIN, text, 0o640)
    wanted = dict(changes)
    items = [entry(name, value) for name, value in wanted.items()]
    host.run("apply", items=items)
    assert host.run("check")[0] == 0, path.read_text()
    host.run("apply", items=items[1:])
    host.run("undo")
    assert path.read_text() == text


def test_what_cannot_be_noted_is_not_changed(host: Host) -> None:
    host.run(
        "apply", items=[{"kind": "insert", "path": "/etc/ssh", "line": "x", "after": "y"}, mode("/etc/passwd", "0644")]
    )
    code, said = host.run("check")
    assert code == 1 and "what is there cannot be noted" in said and "1 hold, 1 fail" in said


def test_somebody_elses_files_of_sshd_are_theirs(host: Host) -> None:
    host.run("apply", items=ALL)
    host.put("/etc/ssh/sshd_config.d/50-theirs.conf", "PrintMotd no\n")
    assert host.run("check") == (0, "9 hold\n"), "whether sshd has read them is not asked here"
