"""All rules, and the audit: every rule asked about one subject."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from deploys.auditing.findings import Finding
from deploys.auditing.registry import RULES, Rule
from deploys.auditing.subject import Subject

TOPICS = (
    "secrets",
    "keys",
    "shapes",
    "sections",
    "models",
    "fallbacks",
    "retries",
    "timeouts",
    "observe",
    "health",
    "process",
    "state",
    "practice",
    "live",
)

for topic in TOPICS:
    import_module(f"deploys.auditing.rules_{topic}")


def rules() -> Mapping[str, Rule]:
    """Every rule by its id, in the order of ids."""
    return {id: RULES[id] for id in sorted(RULES)}


def judge(subject: Subject) -> tuple[list[Finding], list[str]]:
    """What is wrong with ``subject``, worst first, and the rules that ended in an error of their own.

    Each thing is said once, by the rule that knows most about it. One rule that fails does not take the others' words.
    """
    failed = []
    special: dict[Finding, None] = {}
    general: dict[Finding, None] = {}
    for rule in rules().values():
        try:
            for finding in rule.findings(subject):
                (general if rule.general else special).setdefault(finding)
        except Exception as error:
            # Only the error's kind: its words could quote what is in the file.
            failed.append(f"rule {rule.id} could not judge this file ({type(error).__name__})")
    explained = {finding.path for finding in special if finding.path}
    found = [*special, *(finding for finding in general if finding.path not in explained)]
    return sorted(found, key=lambda finding: finding.order), failed


def audit(subject: Subject) -> list[Finding]:
    """What is wrong with ``subject``, worst first."""
    return judge(subject)[0]
