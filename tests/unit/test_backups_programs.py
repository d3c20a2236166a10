"""The programs of backups that run on a host: what is restored, what a trial sees, what of pgBackRest is passed on."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploys.components.backups_files import backup_words
from deploys.components.backups_proof import sealed
from deploys.components.backups_site import backups
from deploys.lib.render import ROOT
from tests.unit import site


def load(name: str) -> ModuleType:
    """One of the programs that run on a host."""
    folder = str(ROOT / "payload" / "backups")
    sys.path.insert(0, folder)
    try:
        loader = importlib.machinery.SourceFileLoader(f"backups_{name}", f"{folder}/{name}")
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec
        made = importlib.util.module_from_spec(spec)
        loader.exec_module(made)
        return made
    finally:
        sys.path.remove(folder)


def backup(label: str, stop: float) -> dict[str, Any]:
    return {"label": label, "timestamp": {"start": stop - 9, "stop": stop}, "database": {"id": 1}}


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("latest", "20260102-000000F"),
        ("20260101-000000F", "20260101-000000F"),
        ("2026-01-01 12:00:00+00", "20260101-000000F"),
        ("2026-01-02 00:00:10+00", "20260102-000000F"),
        (
            "2025-12-31 00:00:00+00",
            "there is no backup from before 2025-12-31 00:00:00+00; the oldest ended",
        ),
        ("20250101-000000F", "there is no backup 20250101-000000F; the newest is 20260102-000000F"),
        ("2199-01-01 00:00:00+00", "is in the future"),
    ],
)
def test_what_a_target_is_restored_from(target: str, label: str) -> None:
    program = load("restore")
    found = [backup("20260101-000000F", 1767225600), backup("20260102-000000F", 1767312000)]
    try:
        said = program.set_of(target, found)["label"]
    except program.Refused as error:
        said = str(error)
    assert label in said


def test_a_trial_sees_rows_that_are_missing_or_too_many_and_takes_what_came_meanwhile() -> None:
    wrong = load("drill").wrong
    assert wrong({"a": 3, "b": 5}, {"a": 4, "b": 5}, {"a": 4, "b": 5}) == []
    assert wrong({"a": 3}, {"a": 2}, {"a": 4}) == ["a has 2 rows and not 3"]
    assert wrong({"a": 3}, {}, {"a": 3}) == ["a has 0 rows and not 3"]
    assert wrong({"a": 3}, {"a": 3, "b": 1}, {"a": 3}) == ["b has 1 rows and not 0"]


def test_a_trial_that_failed_or_is_old_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = load("drill")
    monkeypatch.setattr(program, "STATE", tmp_path)
    with pytest.raises(program.Refused, match="was ever restored"):
        program.last(8)
    about = {"label": "20260101-000000F", "rows": 3, "seconds": 2.0, "problem": "", "at": "2020-01-01T00:00:00+00:00"}
    (tmp_path / "drill.json").write_text(json.dumps(about))
    assert program.last(8) is True
    (tmp_path / "drill.json").write_text(json.dumps({**about, "at": program.now()}))
    assert program.last(8) is False
    (tmp_path / "drill.json").write_text(json.dumps({**about, "at": program.now(), "problem": "no rows"}))
    with pytest.raises(program.Refused, match="failed: no rows"):
        program.last(8)


def test_pgbackrests_own_sentence_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    program = load("repository.py")
    said = "2026-01-01 00:00:00.000 P00  ERROR: [055]: unable to load info file\n      HINT: does it exist?\n"
    assert program.reason(said) == "unable to load info file"
    assert program.reason("") == "no reason given"
    assert round(program.age_hours(backup("x", time.time() - 7200))) == 2


def test_a_proof_that_begins_with_a_dash_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = "a-salt-key-of-thirty-two-characters-64"
    assert sealed(salt).startswith("-"), "one of 64 does"
    monkeypatch.setitem(site.SECRETS, "LITELLM_SALT_KEY", salt)
    here = site.single()
    plan = backups(here)
    assert plan
    words = backup_words(plan, here, "auto")
    program, made = load("backup"), []
    monkeypatch.setattr(program, "make", lambda *given: made.append(given))
    monkeypatch.setattr(sys, "argv", words)
    program.main()
    assert made == [("gateway", "auto", 7, sealed(salt))]
