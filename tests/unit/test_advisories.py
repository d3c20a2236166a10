"""No lock has a package with a known fault; and what is known is looked up, added to, and never taken for complete."""

from __future__ import annotations

import json
import subprocess
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from deploys.components.litellm.keys import supported
from deploys.components.litellm.settings import refusal
from scripts import advisories

KNOWN = advisories.load()


def test_no_lock_has_a_package_with_a_known_fault_that_is_not_accepted() -> None:
    assert advisories.affected(advisories.locked(), KNOWN) == []


def test_every_lock_is_read_whole() -> None:
    found = list(advisories.locked())
    locks = {lock for lock, _, _ in found}
    assert {"uv.lock", "payload/health/requirements.txt", "payload/host/uv.txt"} < locks
    assert {f"payload/litellm/{one.parent.name}/requirements.txt" for one in advisories.requirement_locks()
            if one.parent.parent.name == "litellm"} < locks  # fmt: skip
    for path in advisories.requirement_locks():
        name = str(path.relative_to(advisories.ROOT))
        pins = sum("==" in line and not line.startswith(" ") for line in path.read_text().splitlines())
        assert pins == sum(lock == name for lock, _, _ in found) > 0, name


def test_each_advisory_says_what_it_is_about_and_where_that_is_from() -> None:
    assert KNOWN["looked_up"] <= datetime.now(UTC).date() and KNOWN["by"] in ("hand", "pip-audit")
    ids = [(one["id"], one["package"]) for one in KNOWN["advisory"]]
    assert len(ids) == len(set(ids))
    for one in KNOWN["advisory"]:
        assert one["about"] and one["source"].startswith("https://"), one["id"]
        assert one.get("fixed", "").strip() != "" or "fixed" not in one
        if "fixed" in one:
            assert not SpecifierSet(one["affected"]).contains(one["fixed"]), one["id"]
    for one in KNOWN["accepted"]:
        assert len(one["why"]) > 40 and one["id"] in {name for name, _ in ids}
        assert one["until"] <= KNOWN["looked_up"] + timedelta(days=100), "nothing is accepted for ever"


def test_releases_of_litellm_with_a_fault_that_has_been_mended_are_refused() -> None:
    faults = [one for one in KNOWN["advisory"] if one["package"] == "litellm"]
    bad = [one for one in faults if "fixed" in one or one["affected"] != ">=0"]
    assert len(bad) >= 5
    for version in {*supported(), "1.74.2", "1.81.16", "1.82.7", "1.82.8", "1.83.6", "1.83.13", "1.83.14"}:
        if [one for one in bad if SpecifierSet(one["affected"]).contains(version)]:
            assert refusal(version), version


@pytest.mark.parametrize(
    ("lock", "name", "version", "said"),
    [
        ("payload/health/requirements.txt", "aiohttp", "3.14.2", "aiohttp 3.14.2 has CVE-2026-69244"),
        ("uv.lock", "cryptography", "48.0.0", "cryptography 48.0.0 has GHSA-537c-gmf6-5ccf"),
        ("payload/litellm/1.82.8/requirements.txt", "litellm", "1.82.8", "litellm 1.82.8 has MAL-2026-2144, malicious"),
        ("payload/litellm/1.106.2/requirements.txt", "paramiko", "4.0.0", "paramiko 4.0.0 has CVE-2026-44405"),
    ],
)
def test_an_affected_package_is_named_with_the_release_that_mends_it(
    lock: str, name: str, version: str, said: str
) -> None:
    assert any(line.startswith(f"{lock}: {said}") for line in advisories.affected([(lock, name, version)], KNOWN))


def test_what_is_accepted_is_accepted_for_one_lock_and_a_time() -> None:
    own = ("uv.lock", "paramiko", "4.0.0")
    assert advisories.affected([own], KNOWN) == []
    late = {**KNOWN, "accepted": [{**one, "until": date(2026, 1, 1)} for one in KNOWN["accepted"]]}
    (said,) = advisories.affected([own], late)
    assert said.endswith("; it was accepted until 2026-01-01")


def found(name: str, version: str, *faults: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": list(faults)}


FAULT = {"id": "GHSA-x", "aliases": ["CVE-2027-1"], "fix_versions": ["1.0", "2.1", "3.0"], "description": "Bad.\n\nSo."}


def test_what_the_service_finds_is_added_once_under_its_cve() -> None:
    packages = [found("Some_Package", "2.0", FAULT), found("some-package", "2.0", FAULT), found("other", "1", {
        "id": "PYSEC-1", "fix_versions": []})]  # fmt: skip
    new = advisories.entries(packages, KNOWN)
    assert [(one["id"], one["package"], one["affected"]) for one in new] == [
        ("CVE-2027-1", "some-package", "<2.1"),
        ("PYSEC-1", "other", ">=0"),
    ]
    text = advisories.written(advisories.KNOWN.read_text(), new, "2027-01-02")
    made = tomllib.loads(text)
    assert (made["looked_up"], made["by"]) == (date(2027, 1, 2), "pip-audit")
    assert made["advisory"] == [*KNOWN["advisory"], *new] and made["accepted"] == KNOWN["accepted"]
    assert advisories.entries(packages, made) == []


@pytest.mark.parametrize(
    ("out", "err", "said"),
    [
        ("", "ConnectionError: Could not resolve api.osv.dev\n", "Could not resolve api.osv.dev"),
        (
            json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found"}]}),
            "",
            "not asked about: a (not found",
        ),
    ],
)
def test_a_service_that_does_not_answer_for_everything_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, err: str, said: str
) -> None:
    known = tmp_path / "advisories.toml"
    known.write_text(advisories.KNOWN.read_text())
    monkeypatch.setattr(advisories, "KNOWN", known)
    answer = subprocess.CompletedProcess([], 1, out, err)
    monkeypatch.setattr(advisories.subprocess, "run", lambda *words, **more: answer)
    assert advisories.main() == 1
    told = capsys.readouterr().err
    assert told.startswith("not looked up, and nothing was written: ") and said in told
    assert known.read_text() == (advisories.ROOT / "scripts" / "advisories.toml").read_text()
