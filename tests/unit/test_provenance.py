"""What made a host's files: the revision and the input are noted, and neither by itself changes anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploys.components import COMPONENTS
from deploys.lib import provenance
from deploys.lib.bundle import Change
from deploys.lib.component import ConfigFile, Link
from deploys.lib.render import ROOT
from deploys.lib.transaction import differing, parse, question
from tests.unit import site
from tests.unit.sandbox import Sandbox

OLD = "# Portcullis revision 111111111111, input aaaaaaaaaaaa"
NEW = "# Portcullis revision 222222222222, input bbbbbbbbbbbb"
NOTE = {"revision": "111111111111", "input": "aaaaaaaaaaaa", "who": "ann@desk", "version": "echo 1.2.3; echo more"}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """A checkout of a toolkit with one file in each folder."""
    folder = tmp_path / "toolkit"
    for name in provenance.SOURCES:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(name)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_the_revision_is_the_commit_and_says_when_the_sources_are_others(toolkit: Path) -> None:
    clean = provenance.revision_of(toolkit)
    assert len(clean) == 12 and int(clean, 16)
    (toolkit / "README.md").write_text("what a host gets is not decided here")
    assert provenance.revision_of(toolkit) == clean
    (toolkit / "templates" / "new.j2").write_text("but here")
    assert provenance.revision_of(toolkit) == f"{clean}+changes"


@pytest.mark.parametrize("inside", [False, True])
def test_a_copy_without_a_repository_of_its_own_is_known_by_its_sources(
    toolkit: Path, tmp_path: Path, inside: bool
) -> None:
    copy = (toolkit if inside else tmp_path) / "copy"
    shutil.copytree(toolkit, copy, ignore=shutil.ignore_patterns(".git", "copy"))
    found = provenance.revision_of(copy)
    assert found.startswith("source-") and len(found) == 19
    (copy / "payload" / "__pycache__").mkdir()
    (copy / "payload" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert provenance.revision_of(copy) == found
    (copy / "payload" / "file").write_text("another")
    assert provenance.revision_of(copy) != found


def test_this_toolkits_revision_is_asked_once() -> None:
    assert provenance.revision() == provenance.revision() != ""
    assert provenance.revision.cache_info().misses <= 1


def test_the_digest_of_the_input_follows_every_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    before = provenance.input_digest(site.single().site)
    assert before == provenance.input_digest(site.single().site) and len(before) == 12
    assert before != provenance.input_digest(site.single(litellm_num_retries=2).site)
    assert before != provenance.input_digest(site.single(preset="large").site)
    monkeypatch.setitem(site.SECRETS, "REDIS_PASSWORD", "another-secret-0123456789")
    assert before == provenance.input_digest(site.single().site)


def test_every_file_that_says_who_made_it_has_the_line_and_still_says_the_same() -> None:
    here, found = site.whole(), 0
    for component in COMPONENTS:
        for item in component.files(here):
            made = provenance.stamped(item, OLD)
            assert isinstance(made, ConfigFile)
            if made != item:
                found += 1
                assert made.text.splitlines()[1] == OLD and item.text.startswith("# Managed by Portcullis from")
                assert (made.path, made.mode, made.effect) == (item.path, item.mode, item.effect)
            assert provenance.body(made.text) == item.text
            if item.path.endswith((".yaml", ".json")):
                assert yaml.safe_load(made.text) == yaml.safe_load(item.text)
    assert found > 10


def test_what_has_no_first_line_of_ours_is_left_as_it_is() -> None:
    for item in (Link("/opt/current", "/opt/1"), ConfigFile("/etc/a.json", '{"a": 1}'), ConfigFile("/etc/b", "")):
        assert provenance.stamped(item, OLD) == item


def managed(line: str, rest: str = "one\n") -> str:
    return f"# Managed by Portcullis from templates/x/main.conf.j2; edits are overwritten.\n{line}\n{rest}"


def test_another_revision_by_itself_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "main.conf"
    path.write_text(managed(OLD))
    path.chmod(0o644)

    def different(text: str) -> list[str]:
        change = Change("x", (ConfigFile(str(path), text, "0644", path.owner(), path.group()),))
        done = subprocess.run(["sh", "-c", question(change)], capture_output=True, text=True, check=True)
        return differing(change, parse(done.stdout.splitlines()))

    assert different(managed(NEW)) == []
    assert different(managed(NEW, "two\n")) == [str(path)]


class Served(Sandbox):
    """A sandbox with ``portcullis-version`` at work in it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        program = ROOT / "payload" / "host" / "portcullis-version"
        wrapped = f'#!/bin/sh\nPORTCULLIS_TOOLS={root}/tools exec /usr/bin/python3 {program} "$@"\n'
        (self.fake / "bin" / "portcullis-version").write_text(wrapped)
        (self.fake / "bin" / "portcullis-version").chmod(0o755)

    def deploy(self, line: str, run: str, rest: str = "one\n") -> list[str]:
        """Put main.conf, a secret and a link in place; returns what was written and asked of the service."""
        note = {**NOTE, "revision": line.split()[3].rstrip(",")}
        items = (
            self.file("main.conf", managed(line, rest)),
            self.file("secret.env", 'A="hush"\n', mode="0600", secret=True),
            self.link("current", "/opt/1"),
        )
        done = self.run(self.change(*items, note=json.dumps(note)), run)
        assert (done.code, done.sentence) == (0, ""), done
        return [text for text in done.out.splitlines() if text.startswith(("wrote", "start", "restart"))]

    def say(self, *words: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/usr/bin/python3", str(self.root / "program"), *words],
            env={
                "PATH": "/usr/bin:/bin",
                "PORTCULLIS_STATE": str(self.state),
                "PORTCULLIS_TOOLS": f"{self.root}/tools",
            },
            capture_output=True,
            text=True,
            user=user,
        )


@pytest.fixture
def box() -> Iterator[Served]:
    """In a folder that everyone may enter, so that another user can ask too."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    shutil.copy(ROOT / "payload" / "host" / "portcullis-version", root / "program")
    yield Served(root)
    shutil.rmtree(root)


def test_a_new_revision_with_the_same_text_writes_nothing_and_restarts_nothing(box: Served) -> None:
    assert len(box.deploy(OLD, "20260131T000000Z-0001")) == 4
    assert box.deploy(NEW, "20260201T000000Z-0002") == []
    assert OLD in (box.etc / "main.conf").read_text()
    assert box.deploy(NEW, "20260202T000000Z-0003", "two\n")[0] == f"wrote {box.etc}/main.conf"
    assert NEW in (box.etc / "main.conf").read_text()


def test_a_host_says_what_made_each_file_and_whether_it_still_is_so(box: Served) -> None:
    box.deploy(OLD, "20260131T000000Z-0001")
    box.deploy(NEW, "20260202T000000Z-0003", "two\n")
    done = box.say("--json", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(done.stdout)["components"]
    assert {key: one[key] for key in ("component", "version", "revision", "who", "when", "cut_off")} == {
        "component": "x",
        "version": "1.2.3",
        "revision": "222222222222",
        "who": "ann@desk",
        "when": "2026-02-02 00:00:00+00:00",
        "cut_off": False,
    }
    files = {Path(entry["path"]).name: entry for entry in one["files"]}
    assert [(name, entry["run"][-4:], entry["revision"][0], entry["state"]) for name, entry in files.items()] == [
        ("main.conf", "0003", "2", "as written"),
        ("secret.env", "0001", "1", "as written"),
        ("current", "0001", "1", "as written"),
    ]
    assert files["main.conf"]["template"] == "templates/x/main.conf.j2"
    text = box.say().stdout
    assert "Portcullis 222222222222, last at work here 2026-02-02 00:00:00+00:00 by ann@desk" in text
    assert "not as written" not in text and "hush" not in text


def test_what_was_changed_by_hand_is_named(box: Served) -> None:
    box.deploy(OLD, "20260131T000000Z-0001")
    (box.etc / "main.conf").write_text("mine\n")
    (box.etc / "secret.env").chmod(0o644)
    (box.etc / "current").unlink()
    done = box.say("--check")
    assert done.returncode == 1
    assert f"not as written: {box.etc}/main.conf, {box.etc}/secret.env, {box.etc}/current" in done.stdout
    states = [entry["state"] for entry in json.loads(box.say("--json").stdout)["components"][0]["files"]]
    assert states == ["changed", "mode", "missing"]


def test_another_user_is_told_what_everyone_may_know(box: Served) -> None:
    box.deploy(OLD, "20260131T000000Z-0001")
    if os.getuid() != 0:
        box.state.chmod(0)
    done = box.say(user=65534 if os.getuid() == 0 else None)
    box.state.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "111111111111" in done.stdout and "1.2.3" in done.stdout
    assert "Files are shown to root only." in done.stdout and "main.conf" not in done.stdout


def test_a_host_that_nothing_was_put_on_says_so(box: Served) -> None:
    assert box.say().stdout == "Portcullis has put nothing in place on this host.\n"
