"""The run ledger, kept by its real program: an entry is whole or not believed, closed to others, kept long enough."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.sandbox import UNIT

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))


@pytest.fixture
def box(tmp_path: Path) -> LedgerBox:
    return LedgerBox(tmp_path)


def entry(box: LedgerBox, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((box.backups / run / "run.json").read_text())
    return found


def test_an_entry_is_whole_when_its_run_is_over(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1), box.beside("y 1\n"))
    box.packages(curl="8.2-1", zstd="1-1")
    box.hold(TWO)
    for word in ("packages-curl", "tell it once it answers", "x"):
        assert box.ledger("begin", TWO, *word.split()).code == 0
    assert entry(box, TWO)["outcome"] == "open" and "ended" not in entry(box, TWO)
    assert box.listed()[TWO]["changed"] == [] and box.listed()[TWO]["damage"] == ""
    box.packages(curl="8.2-1", jq="3-1")
    assert box.run(box.version(2), TWO).code == 0
    box.end(TWO)

    found = box.listed()
    assert list(found) == [ONE, TWO]
    said = {key: found[TWO][key] for key in ("kind", "who", "revision", "outcome", "problem", "damage", "changed")}
    assert said == {
        "kind": "deploy", "who": "ada@desk", "revision": "abc", "outcome": "done", "problem": "", "damage": "",
        "changed": ["x"],
    }  # fmt: skip
    assert found[TWO]["began_with"] == ["packages-curl", "tell it once it answers", "x"]
    assert found[TWO]["began"] <= found[TWO]["ended"]
    assert (found[ONE]["touches"], found[TWO]["touches"]) == ({"x": 3}, {}), "the second is how the host is now"

    manifest = json.loads((box.backups / TWO / "manifest.json").read_text())
    assert manifest["run"] == TWO
    assert manifest["packages"] == {"jq": ["", "3-1"], "zstd": ["1-1", ""]}
    assert found[TWO]["packages"] == 2
    x, y = manifest["components"]["x"], manifest["components"]["y"]
    assert (x["changed"], x["version"], x["revision"], x["input"]) == (True, "2.0 of x", "000000000002", "abc")
    assert (y["changed"], y["units"]) == (False, {})
    assert x["units"] == {UNIT: "enabled active"}
    files = {Path(file["path"]).name: file for file in x["files"]}
    assert (files["main.conf"]["mode"], files["main.conf"]["before"]["mode"]) == ("0600", "0640")
    assert files["main.conf"]["content"] != files["main.conf"]["before"]["content"]
    assert files["current"] == {
        "path": f"{box.etc}/current", "kind": "link", "content": f"{box.root}/opt/2",
        "before": {"kind": "link", "content": f"{box.root}/opt/1"},
    }  # fmt: skip
    assert "before" not in files["note.conf"], "it differed in the line about its making only, and was not written"


def test_what_a_run_keeps_is_what_lies_on_the_host_and_not_what_it_wanted_to_write(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    on_disk = (box.etc / "note.conf").read_text()
    box.deploy(TWO, box.version(2))
    assert (box.etc / "note.conf").read_text() == on_disk, "another revision alone writes nothing"
    kept = box.backups / TWO / "components" / "x"
    numbers = {row.split("\t")[5]: n for n, row in enumerate((kept / "files.tsv").read_text().splitlines(), 1)}
    for name in ("note.conf", "main.conf"):
        assert (kept / "f" / str(numbers[f"{box.etc}/{name}"])).read_text() == (box.etc / name).read_text()
    assert box.plan(TWO)["components"] == [], "to go back to how it is now"


def test_what_a_run_did_not_change_is_kept_in_its_entry_as_well(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1), box.beside("y 1\n"))
    box.deploy(TWO, box.version(2))
    assert box.links() == {name: box.backups / TWO / "components" / name for name in ("x", "y")}
    shutil.rmtree(box.backups / ONE)
    assert box.listed()[TWO]["damage"] == "", "an entry is whole whatever becomes of the others"
    assert (box.backups / TWO / "components" / "y" / "f" / "1").read_text() == "y 1\n"


def test_a_run_that_was_cut_off_is_noted_by_the_next_one(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    box.hold(TWO)
    assert box.ledger("begin", TWO, "x").code == 0
    assert box.run(box.version(2), TWO, kill_before=30).code == -9
    assert box.listed()[TWO]["outcome"] == "open"
    box.deploy(THREE, box.version(3))
    found = box.listed()
    assert [one["outcome"] for one in found.values()] == ["done", "cut off", "done"] and found[TWO]["ended"]
    done = json.loads(box.ledger("plan", str(box.backups), TWO).out)
    assert done["problems"] == [f"run {TWO} is nothing to go back to: it ended as `cut off`"]


def test_the_end_is_said_once_and_what_failed_is_kept(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    box.hold(TWO)
    assert box.ledger("begin", TWO, "x").code == 0
    box.end(TWO, "failed", "x | Write: it's no good")
    box.end(TWO, "done")
    found = box.listed()[TWO]
    assert (found["outcome"], found["problem"], found["touches"]) == ("failed", "x | Write: it's no good", {})
    box.hold(THREE)
    box.end(THREE)
    assert list(box.listed()) == [ONE, TWO], "a run that changed nothing leaves no entry"


def test_a_run_without_the_lock_is_stopped_before_it_notes_anything(box: LedgerBox) -> None:
    done = box.ledger("begin", ONE, "x")
    assert (done.code, done.sentence) == (
        1, f"run {ONE} has lost the lock of this host: the host was restarted meanwhile; nothing more is changed"
    )  # fmt: skip
    box.hold(TWO)
    for words in (("begin", ONE, "x"), ("end", ONE, "done")):
        done = box.ledger(*words)
        assert (done.code, done.sentence) == (
            1,
            f"run {ONE} has lost the lock of this host: run {TWO} of ada@desk holds it now; nothing more is changed",
        )
    assert not box.backups.exists()
    os.utime(box.root / "lock", (1, 1))
    assert box.ledger("begin", TWO, "x").code == 0
    assert (box.root / "lock").stat().st_mtime > 1, "each change is a sign of life"


def test_a_folder_that_cannot_be_written_to_is_said_in_a_sentence(box: LedgerBox) -> None:
    box.backups.write_text("")
    box.hold(ONE)
    done = box.ledger("begin", ONE, "x")
    assert done.code == 1 and done.sentence == (
        f"the ledger cannot be used: Not a directory: {box.backups}/{ONE}; nothing was changed for it"
    )


def test_what_is_not_as_it_was_written_is_refused(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    box.deploy(TWO, box.version(2))
    manifest, bundle = box.backups / ONE / "manifest.json", box.backups / ONE / "components" / "x"
    whole = Path(shutil.copytree(box.backups / ONE, box.root / "whole"))
    text, first = manifest.read_text(), (bundle / "f" / "2").read_text()
    torn, other = "its manifest is missing or torn", "what it kept of x is not what it wrote"
    for spoil, why in (
        (manifest.unlink, torn),
        (lambda: manifest.write_text(text[:100]), torn),
        (lambda: manifest.write_text(""), torn),
        (lambda: (bundle / "f" / "2").write_text(first.replace("1", "2")), other),
        (lambda: (bundle / "probes.json").unlink(), other),
        (lambda: (bundle / "f" / "9").write_text(""), other),
        (lambda: (bundle / "f" / "2").rename(bundle / "f" / "8"), other),
        (lambda: shutil.rmtree(bundle), other),
    ):
        shutil.rmtree(box.backups / ONE)
        shutil.copytree(whole, box.backups / ONE)
        assert box.listed()[ONE]["damage"] == ""
        spoil()
        found = box.listed()
        assert (found[ONE]["outcome"], found[ONE]["damage"], found[ONE]["touches"]) == ("done", why, {})
        assert found[TWO]["damage"] == ""
        assert box.plan(ONE) == {"run": "", "components": [], "problems": [f"run {ONE} cannot be gone back to: {why}"]}


def test_copies_are_for_root_alone_and_secrets_lie_in_closed_files_only(box: LedgerBox) -> None:
    # The folder above did not exist either: that one is for everyone to pass.
    box.backups = box.root / "srv" / "backups"
    told = box.told("Role", "r1", stdin="secret-value-for-a-role")
    box.deploy(ONE, box.version(1, provisions=(told,)))
    box.deploy(TWO, box.version(2, provisions=(told,)), box.beside("y 1\n"))
    assert oct(box.backups.parent.stat().st_mode & 0o777) == "0o755"
    copies = {box.backups / ONE / f"files{box.etc}", box.backups / TWO / f"files{box.etc}"}
    secrets = 0
    for path in (box.backups, *box.backups.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode & 0o777
        if path.is_dir():
            assert mode == 0o700, path
        elif b"secret-value" in path.read_bytes():
            secrets += 1
            assert mode == 0o600, path
        elif path.parent not in copies:  # a copy has the mode of what it is a copy of
            assert mode == 0o600, path
    assert secrets == 5, "two versions of a file, the copy of one, and twice what the service is told"


def test_no_secret_is_in_what_the_ledger_says_of_itself(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1, provisions=(box.told("Role", "r1", stdin="secret-value-for-a-role"),)))
    box.deploy(TWO, box.version(2))
    for name in ("run.json", "manifest.json", "log", "packages.json"):
        assert "secret-value" not in (box.backups / TWO / name).read_text()
    assert "secret-value" not in box.ledger("list", str(box.backups)).out
    assert "secret-value" not in box.ledger("plan", str(box.backups), ONE).out


def failed(box: LedgerBox, run: str, keep_runs: int = 30) -> None:
    box.hold(run, keep_runs=keep_runs)
    assert box.ledger("begin", run, "x").code == 0
    box.end(run, "failed")


def test_entries_beyond_the_count_go_and_the_last_two_good_ones_stay(box: LedgerBox) -> None:
    box.deploy(ONE, box.version(1))
    box.deploy(TWO, box.version(2))
    box.deploy(THREE, box.version(3), keep_runs=3)
    for number in range(4, 8):
        failed(box, run_id(number), keep_runs=3)
    assert list(box.listed()) == [TWO, THREE, *(run_id(number) for number in range(5, 8))]
    assert not [path.name for path in box.backups.iterdir() if path.name.startswith(".")]


def test_entries_beyond_an_age_go_but_not_what_the_host_has_now(box: LedgerBox) -> None:
    age = {days: f"{datetime.now(UTC) - timedelta(days=days):%Y%m%dT%H%M%SZ}-abcd" for days in (50, 40, 30, 20, 0)}
    for number, days in enumerate((50, 40, 30), 1):
        box.deploy(age[days], box.version(number))
    # The last one to have changed something ended badly: what is served lies in its entry.
    failed(box, age[20])
    assert {path.parent.parent.name for path in box.links().values()} == {age[20]}
    box.hold(age[0], keep_days=10)
    box.end(age[0])
    assert list(box.listed()) == [age[40], age[30], age[20]]
    assert all(path.is_dir() for path in box.links().values())


def test_versions_go_with_the_last_run_that_points_at_them_and_no_sooner(box: LedgerBox) -> None:
    def left() -> list[str]:
        return sorted(path.name for path in (box.root / "opt").iterdir())

    for run, number in ((ONE, 1), (TWO, 2), (THREE, 1)):
        box.deploy(run, box.version(number))
    box.deploy(FOUR, box.version(3), keep_runs=3)
    assert list(box.listed()) == [TWO, THREE, FOUR] and left() == ["1", "2", "3"], "the third one points at 1 as well"
    # What a run that was cut off has switched to is there although no run that is kept had it.
    box.deploy(run_id(5), box.version(3), keep_runs=3)
    (box.etc / "current").unlink()
    (box.etc / "current").symlink_to(box.root / "opt" / "1")
    failed(box, run_id(6), keep_runs=2)
    assert list(box.listed()) == [FOUR, run_id(5), run_id(6)] and left() == ["1", "3"]
