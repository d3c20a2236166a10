"""What people read of a host's ledger: its runs, and what going back to one would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploys.lib import history
from deploys.lib.render import ROOT
from tests.unit.ledger_box import LedgerBox, run_id
from tests.unit.test_ledger_entries import failed

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))


def entry(run: str, **other: Any) -> dict[str, Any]:
    """A run as the ledger lists it: a deploy that ended well and changed nothing that is kept, with ``other``."""
    made = {"run": run, "kind": "deploy", "who": "ada@desk", "revision": "0123456789ab", "command": "deploys/site.py"}
    times = {"began": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:15+00:00", "outcome": "done"}
    found = {"problem": "", "changed": [], "began_with": [], "packages": 0, "touches": {}, "damage": ""}
    return {**made, **times, **found, **other}


def test_the_runs_of_a_host_are_listed_with_the_newest_first() -> None:
    lines = history.table(
        "gw-1",
        [
            entry(ONE, changed=["base", "litellm"], packages=12, touches={"litellm": 3, "health": 1}),
            entry(
                TWO, outcome="failed", problem="litellm | Write: not ready after 60 s", command="", changed=["redis"]
            ),
            entry(THREE, outcome="cut off", began_with=["packages-curl", "litellm-1.2", "litellm-1.2"]),
            entry(FOUR, kind="rollback", changed=["litellm"], command="deploys/rollback.py --data run"),
        ],
    )
    assert lines == [
        "gw-1: 4 runs have changed something, the newest first",
        f"{FOUR}  rollback in 75 s, by ada@desk, Portcullis 0123456789ab",
        "    done",
        "    deploys/rollback.py --data run",
        "    changed: litellm",
        "    it is how the host is now",
        f"{THREE}  deploy, by ada@desk, Portcullis 0123456789ab",
        "    cut off",
        "    deploys/site.py",
        "    changed: began packages-curl, litellm-1.2",
        "    it is nothing to go back to",
        f"{TWO}  deploy in 75 s, by ada@desk, Portcullis 0123456789ab",
        "    failed: litellm | Write: not ready after 60 s",
        "    changed: redis",
        "    it is nothing to go back to",
        f"{ONE}  deploy in 75 s, by ada@desk, Portcullis 0123456789ab",
        "    done",
        "    deploys/site.py",
        "    changed: base, litellm, 12 Debian packages",
        "    going back to it touches litellm (3 files), health (1 files)",
    ]


def test_what_is_open_or_damaged_is_said_so() -> None:
    running = entry(ONE, outcome="open", began_with=["base"])
    running.pop("ended")
    assert history.table("db", [running])[1:3] == [
        f"{ONE}  deploy, by ada@desk, Portcullis 0123456789ab",
        "    at work, or killed since",
    ]
    damaged = history.table("db", [entry(ONE, damage="its manifest is missing or torn")])
    assert (damaged[2], damaged[-2], damaged[-1]) == (
        "    done, but its manifest is missing or torn",
        "    changed: nothing that was kept",
        "    it is nothing to go back to",
    )


def test_a_host_without_a_ledger_is_said() -> None:
    assert history.table("db", []) == [
        "db: no run has changed anything here, or its ledger is elsewhere (see backup_root)"
    ]


def test_everything_that_the_ledger_itself_lists_can_be_shown(tmp_path: Path) -> None:
    box = LedgerBox(tmp_path)
    box.deploy(ONE, box.version(1))
    failed(box, TWO)
    box.deploy(THREE, box.version(2), box.beside("y\n"))
    lines = history.table("gw-1", list(box.listed().values()))
    assert [line.strip() for line in lines if "touches" in line or "how the host" in line] == [
        "it is how the host is now",
        "going back to it touches x (3 files), y (1 files)",
    ]
    shown = history.way_back("gw-1", box.plan(ONE))
    assert shown[:2] == [f"gw-1: going back to how it was after run {ONE}", "  x, version 1.0 of x"]
    assert f"    {box.etc}/current changes" in shown and f"        +{box.root}/opt/1" in shown
    assert shown[-2:] == ["  y", f"    {box.etc}/y.conf is removed"]
    assert "secret-value" not in "\n".join(shown)
    assert history.way_back("gw-1", box.plan(THREE)) == [f"gw-1: is as it was after run {THREE}; nothing has to change"]


def test_what_going_back_would_change_is_shown_part_by_part() -> None:
    marked = {"path": "/etc/b", "what": history.MARKED, "lines": []}
    change = {"path": "/etc/a", "what": "changes", "lines": ["-old", "+new"]}
    part = {"component": "litellm", "version": "1.2", "pending": True, "stopped": "litellm.service"}
    plan = {"run": ONE, "components": [{**part, "changes": [change, marked, marked], "untold": ["Teams and keys"]}]}
    assert history.way_back("gw-1", plan) == [
        f"gw-1: going back to how it was after run {ONE}",
        "  litellm, version 1.2",
        "    /etc/a changes",
        "        -old",
        "        +new",
        "    2 files change only in the line that says what made them",
        "    Teams and keys: told again",
        "    litellm.service does not run, and is started",
        "    a run was cut off in the middle of it, which is put right",
    ]
    assert f'"{history.MARKED}"' in (ROOT / "payload" / "host" / "ledger_plan.py").read_text(), "the ledger's word"
