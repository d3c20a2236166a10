"""The audit of hosts: what becomes of a host's answer, and a run of pyinfra on hosts of paper."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploys.auditing.live import live_facts, subject_from
from deploys.auditing.load import report_on
from deploys.auditing.masking_text import mask_text
from deploys.auditing.sources import Unauditable
from tests.plan.command import Ran, pyinfra
from tests.unit.audit import bundle

ANSWER: dict[str, Any] = {
    "found": True,
    "running": True,
    "path": "/etc/litellm/config.yaml",
    "config": mask_text(bundle.parts(bundle.HERE / "everything.txt")["config.yaml"], yaml=True),
    "environment": {"LITELLM_LOG": "DEBUG", "LITELLM_MASTER_KEY": "<masked.7.sk.well-known>", "HOME": "(set)"},
    "words": "/opt/venv/bin/litellm --config /etc/litellm/config.yaml --num_workers 4",
    "unit": "",
    "packages": {"litellm": "1.106.2", "prisma": "0.15.0"},
    "pth": ["_virtualenv.pth", "litellm_init.pth"],
    "modes": {"/etc/litellm/litellm.env": "644"},
    "postgres": [100, 96],
    "redis": "allkeys-lru",
    "workers_mb": [300, 1700],
    "restarts": 4,
    "older": True,
    "listening": ["0.0.0.0:5432", "127.0.0.1:6379"],
    "backups": True,
    "backup_hours": None,
    "served": ["gpt-4o"],
    "metrics": {"requests": 1000, "failed": 100, "cache_hits": 1, "cache_misses": 2000},
    "statuses": {"metrics": 200},
}


def test_what_is_true_on_a_host_is_judged_too() -> None:
    report = report_on(*subject_from("gw", ANSWER), "gw")
    found = {finding.rule: finding for finding in report.findings}
    live = {"X01", "X02", "X03", "X04", "X05", "X06", "X07", "X08", "X09"}
    assert live | {"C01", "L16", "L28", "L36", "L37", "S04"} <= set(found)
    assert found["X01"].detail == "96 of 100 connections are in use" and found["X01"].severity == 0
    assert found["X05"].detail == "100 of 1000 requests failed since the start"
    assert found["L13"].detail == "4 workers x 50 + 10 = 210, and max_connections is 100"
    assert found["L16"].place.source.startswith("gw:")
    assert report.notes == ()


def test_an_answer_with_nothing_in_it_is_judged_as_little() -> None:
    live = live_facts("gw", {"found": True})
    assert (live.max_connections, live.served, live.metrics) == (None, None, {})
    with pytest.raises(Unauditable, match=r"gw:config\.yaml is empty"):
        subject_from("gw", {"found": True, "config": ""})


def run_on_paper(folder: Path, *words: str) -> Ran:
    """The real pyinfra on hosts that answer as they are told: one with a gateway, one without."""
    fails = {">&2; exit 1": {"success": False, "stderr": "the audit says no"}}
    hosts = []
    for name, answer in (("gw", json.dumps(ANSWER)), ("db", '{"found": false}')):
        responses = {"PORTCULLIS_AUDIT_ENDS": [answer], **fails}
        data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": responses}
        hosts.append((f"@fake/{name}", data))
    (folder / "paper.py").write_text(f"everyone = {hosts!r}\n")
    return pyinfra("deploys/audit.py", "-y", *words, inventory=folder / "paper.py")


def test_a_run_on_hosts_shows_its_findings_and_fails_by_their_severity(tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    ran = run_on_paper(tmp_path, "--data", "format=json", "--data", f"out={out}")
    assert ran.code == 1, ran.text
    assert "no LiteLLM on this host" in ran.text
    assert re.search(r"@fake/gw: \d+ P0 \(fix now\)", ran.text)
    (report,) = json.loads(out.read_text())["reports"]
    assert report["subject"] == "@fake/gw" and report["summary"]["P0"] > 5


def test_a_run_can_be_told_not_to_fail(tmp_path: Path) -> None:
    ran = run_on_paper(tmp_path, "--data", "fail_on=never")
    assert ran.code == 0, ran.text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["format=xml"], "format: 'xml' is none of table, json, sarif, html"),
        (["format=json"], "format=json needs a file: add --data out=FILE"),
        (["fail_on=p9"], "fail_on: 'p9' is none of p0, p1, p2, never"),
    ],
)
def test_a_run_that_is_told_nonsense_stops(words: list[str], sentence: str, tmp_path: Path) -> None:
    ran = run_on_paper(tmp_path, *(word for one in words for word in ("--data", one)), "--limit", "@fake/db")
    assert ran.code != 0 and sentence in ran.text
