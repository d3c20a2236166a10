"""A host that loses its power at any step of transact: the next run ends it, or restores what was there before it."""

from __future__ import annotations

import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from deploys.lib.bundle import Change
from tests.unit.sandbox import UNIT, Sandbox
from tests.unit.test_transact_units import swapped, units, version, with_timers
from tests.unit.thorough import stride, thorough

pytestmark = thorough
STRIDE = stride(13)
# Of a part of a run, which has fewer.
EVERY = stride(7)


def start(box: Sandbox) -> Change:
    return box.change(
        box.file(UNIT, "unit\n"), box.file("main.conf", "one\n", mode="0600"), box.link("current", "/opt/1"),
        box.file("old.timer", "timer\n", "none"), extra_units=("old.timer",), ready=box.serves("one"),
    )  # fmt: skip


def change(box: Sandbox, main: str = "two", note: str = "new\n", **how: str) -> Change:
    """One file that was there, one that was not, one link; a timer goes. ``how`` may break it."""
    return box.change(
        box.file(UNIT, "unit\n"),
        box.file("main.conf", f"{main}\n", mode="0640"),
        box.file("new/note.conf", note),
        box.link("current", "/opt/2"),
        **{"ready": box.serves("two"), **how},  # type: ignore[arg-type]
    )


def snapshot(box: Sandbox, name: str) -> Path:
    place = box.root.parent / name
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(box.root, place, symlinks=True))


def restore(box: Sandbox, whole: Path) -> None:
    """Make ``whole`` what the sandbox holds, with a service that started just now: after its files, as after R0."""
    shutil.rmtree(box.root)
    shutil.copytree(whole, box.root, symlinks=True)
    now = datetime.now(UTC).strftime("%a %Y-%m-%d %H:%M:%S.%f UTC")
    for name in ("started", "moved"):
        (box.fake / name).write_text(now)


def ticks(box: Sandbox) -> bool:
    """Whether the timer that the change removes is enabled and runs; not something in between."""
    enabled, active = (box.fake / "enabled.old.timer").exists(), (box.fake / "active.old.timer").read_text()
    assert enabled == (active == "active\n")
    return enabled


def at_rest(box: Sandbox) -> None:
    """No run's traces are left beside the copies it is meant to keep."""
    assert not list(box.root.glob(".portcullis-*"))
    assert not list((box.state / "pending").iterdir()), "nothing is noted as unfinished"
    assert not [path.name for path in (box.state / "staged").iterdir() if path.name != "x.R1"]


def kill_at(root: Path, begin: int, every: int) -> int:
    """Kill a run before step ``begin``, then ``every`` further; how often there was such a step."""
    box = Sandbox(root / "box")
    assert box.run(start(box), "R0").code == 0
    before, base = box.tree(), snapshot(box, "base")
    assert box.run(change(box)).code == 0
    wanted = box.tree()
    for killed, step in enumerate(itertools.count(begin, every)):
        restore(box, base)
        done = box.run(change(box), kill_before=step)
        if done.code == 0:
            return killed
        assert done.code == -9, done
        cut = snapshot(box, "cut")

        # The same again: it ends as if it had not been killed, the service with the new files too.
        again = box.run(change(box), "R2")
        assert (again.code, again.sentence) == (0, ""), f"step {step}"
        assert box.tree() == wanted and box.running() == "two\n" and not ticks(box), f"step {step}"
        at_rest(box)

        # A broken one: it goes back to before the first, not to the half of it that was done. Only where that was kept
        # and nothing is noted as unfinished, traces alone were left: the first was done, and is what is gone back to.
        restore(box, cut)
        done_with = not (box.state / "pending/x").exists() and "R1" in (box.state / "served/x").readlink().parts
        goal, serves = (wanted, "two\n") if done_with else (before, "one\n")
        broken = box.run(change(box, "dies", "bad\n"), "R2")
        assert broken.code == 1 and box.tree() == goal, f"step {step}: {broken.sentence}"
        assert box.running() == serves and ticks(box) != done_with, f"step {step}"
        at_rest(box)

        # The earlier one, because somebody thought better of it: no half-written file lies about.
        restore(box, cut)
        if not list(box.root.glob(".portcullis-*")):
            continue
        earlier = box.run(start(box), "R2")
        assert earlier.code == 0 and before.items() <= box.tree().items(), f"step {step}: {earlier.sentence}"
        at_rest(box)
    raise AssertionError


def test_a_run_that_is_killed_anywhere_is_finished_or_undone_by_the_next(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(kill_at, tmp_path / str(n), n, 2 * STRIDE) for n in (1, 2)]
        killed = sum(run.result() for run in runs)
    assert killed > 25 // STRIDE, "the run has that many steps at which it can be cut off"


def test_a_run_that_is_killed_while_it_puts_back_is_finished_by_the_next(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box")
    assert box.run(start(box), "R0").code == 0
    before, base = box.tree(), snapshot(box, "base")
    refused = f"cat {box.fake}/count >{box.fake}/at_check; exit 1"
    assert box.run(change(box, check=refused), kill_before=-1).code == 1
    begin = int((box.fake / "at_check").read_text())
    for step in itertools.count(begin + 1, EVERY):
        restore(box, base)
        done = box.run(change(box, check=refused), kill_before=step)
        if done.code == 1:
            break
        again = box.run(change(box, "dies", check="exit 1"), "R2")
        assert again.code == 1 and box.tree() == before, f"{step}: {again.sentence}"
        at_rest(box)
    assert step - begin > 6


def test_a_service_that_was_restarted_before_the_kill_runs_with_what_the_next_run_leaves(tmp_path: Path) -> None:
    # It got the new files, was not ready, and the host lost its power while the earlier ones were put back.
    box = Sandbox(tmp_path / "box")
    assert box.run(start(box), "R0").code == 0
    base = snapshot(box, "base")
    count = f"cat {box.fake}/count >{box.fake}/at_ready; exit 1"
    assert box.run(change(box, ready=count), kill_before=-1).code == 1
    begin = int((box.fake / "at_ready").read_text())
    for step in itertools.count(begin + 1, EVERY):
        restore(box, base)
        if box.run(change(box, "bad", ready="exit 1"), kill_before=step).code == 1:
            break
        assert box.run(start(box), "R2").code == 0, step
        assert box.running() == "one\n", f"step {step}: the file is the earlier one, and the service has the other"
        at_rest(box)
    assert step - begin > 6


def test_units_go_back_to_before_the_first_of_two_runs_that_failed(tmp_path: Path) -> None:
    box = with_timers(tmp_path)
    before, killed = units(box), 0
    for step in itertools.count(1, STRIDE):
        done = box.run(swapped(box, "two", ready="exit 1"), kill_before=step)
        if done.code != -9:
            break
        killed += 1
        again = box.run(version(box, "dies", check="exit 1"), "R2")
        assert again.code == 1 and units(box) == before, f"step {step}: {again.sentence}"
        assert (box.etc / "main.conf").read_text() == "one\n"
    assert killed > 25 // STRIDE


def test_copies_in_another_folder_than_the_present_one_are_still_found(tmp_path: Path) -> None:
    # backup_root was changed between the two runs.
    box = Sandbox(tmp_path / "box")
    assert box.run(start(box), "R0").code == 0
    before = box.tree()
    assert box.run(change(box), kill_before=20).code == -9
    assert box.tree() != before
    done = box.run(change(box, check="exit 1"), "R2", backups=tmp_path / "box" / "elsewhere")
    assert done.code == 1 and box.tree() == before, done.sentence


def test_a_copy_that_is_gone_is_said_and_tried_again(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box")
    assert box.run(start(box), "R0").code == 0
    spoil = f"mv {box.backups}/R1 {box.backups}/gone; exit 1"
    done = box.run(change(box, check=spoil))
    assert done.code == 1
    assert done.sentence.splitlines()[-1] == (
        f"x: the new files did not pass their check; not every file could be put back, the copies are named in "
        f"{box.state}/pending/x"
    )
    (box.backups / "gone").rename(box.backups / "R1")
    done = box.run(change(box, check="exit 1"), "R2")
    assert done.sentence.endswith(f"; the previous files were put back and {UNIT} serves with them")
    assert (box.etc / "main.conf").read_text() == "one\n"
