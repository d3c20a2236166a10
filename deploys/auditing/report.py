"""An audit's result as data: what was looked at, what was not, what was found; and as JSON and SARIF."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deploys.auditing.findings import Finding, Severity
from deploys.auditing.rules import rules

SCHEMA = "portcullis-audit/1"
SARIF = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json"
LEVELS = {Severity.P0: "error", Severity.P1: "warning", Severity.P2: "note"}
SCORES = {Severity.P0: "9.0", Severity.P1: "6.0", Severity.P2: "3.0"}


@dataclass(frozen=True)
class Report:
    """The findings about one deployment; ``notes`` say what could not be judged, and why.

    It is ``broken`` when a rule ended in an error: what it would have found is then unknown.
    """

    subject: str
    version: str
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    broken: bool = False

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line."""
        if not self.findings:
            return f"{self.subject}: nothing found (LiteLLM {self.version}, {len(rules())} rules)"
        parts = [f"{self.count(severity)} {severity.name} ({severity.meaning})" for severity in Severity]
        return f"{self.subject}: {', '.join(parts)} (LiteLLM {self.version}, {len(rules())} rules)"


def fails(reports: Iterable[Report], fail_on: str) -> bool:
    """Whether something was found at or above the severity ``fail_on``: p0, p1, p2 or never."""
    if fail_on == "never":
        return False
    limit = Severity[fail_on.upper()]
    return any(finding.severity <= limit for report in reports for finding in report.findings)


def fingerprint(finding: Finding) -> str:
    """The same for the same thing found again, wherever its line has moved to."""
    words = "\0".join([finding.rule, finding.place.source, finding.detail])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def as_data(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.name,
        "title": finding.title,
        "detail": finding.detail,
        "evidence": {"file": finding.place.source, "line": finding.place.line, "text": finding.place.text},
        "effect": finding.effect,
        "advice": finding.advice,
        "fix": finding.fix,
        "source": finding.source,
        "fingerprint": fingerprint(finding),
    }


def to_json(reports: Sequence[Report]) -> str:
    """All reports as JSON with a schema that carries its version; a change of meaning gets a new one."""
    made = {
        "schema": SCHEMA,
        "reports": [
            {
                "subject": report.subject,
                "litellm": report.version,
                "summary": {severity.name: report.count(severity) for severity in Severity},
                "notes": list(report.notes),
                "findings": [as_data(finding) for finding in report.findings],
            }
            for report in reports
        ],
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _uri(name: str) -> str:
    """A file's name as SARIF wants it: relative, with slashes; a host's name as it is."""
    return name.lstrip("./").replace(" ", "%20") or "config.yaml"


def _result(finding: Finding, index: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.place.source)}}
    if finding.place.line:
        location["region"] = {"startLine": finding.place.line, "snippet": {"text": finding.place.text}}
    text = f"{finding.title}: {finding.detail}. {finding.effect} {finding.advice}"
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"portcullisAudit/v1": fingerprint(finding)},
        "properties": {"priority": finding.severity.name, "diff": finding.fix},
    }


def to_sarif(reports: Sequence[Report]) -> str:
    """All findings as SARIF 2.1.0, for code scanning; every rule with its help, whether it found something or not."""
    known = rules()
    index = {id: position for position, id in enumerate(known)}
    described = [
        {
            "id": rule.id,
            "name": f"{rule.title}",
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.effect},
            "help": {
                "text": f"{rule.effect} {rule.advice} Source: {rule.source}",
                "markdown": f"{rule.effect}\n\n**What to do:** {rule.advice}\n\n**Source:** {rule.source}",
            },
            "defaultConfiguration": {"level": LEVELS[rule.severity]},
            "properties": {"security-severity": SCORES[rule.severity], "tags": ["litellm", rule.severity.name]},
        }
        for rule in known.values()
    ]
    run = {
        "tool": {"driver": {"name": "portcullis-audit", "version": SCHEMA.rpartition("/")[2], "rules": described}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(found, index[found.rule]) for report in reports for found in report.findings],
    }
    return json.dumps({"$schema": SARIF, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"
