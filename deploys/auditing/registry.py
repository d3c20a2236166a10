"""Rules: each a small pure function from a subject to hits, with the words that explain it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import Edit, Finding, Severity, diff
from deploys.auditing.masking import mask_tokens
from deploys.auditing.sources import Place
from deploys.auditing.subject import Subject

P0, P1, P2 = Severity.P0, Severity.P1, Severity.P2


@dataclass(frozen=True)
class Hit:
    """One place where a rule is broken. ``path`` is the key it is about, so that general rules leave it alone."""

    place: Place
    detail: str
    fix: tuple[Edit, ...] = ()
    severity: Severity | None = None
    path: KeyPath = ()


def clean(text: str) -> str:
    """``text`` as one line that a terminal shows and does not obey, without anything that looks like a secret."""
    return mask_tokens("".join(sign if sign.isprintable() else "?" for sign in text))


Check = Callable[[Subject], Iterable[Hit]]


@dataclass(frozen=True)
class Rule:
    """What is looked for, how bad it is, what comes of it, what to do, and where that is written."""

    id: str
    severity: Severity
    title: str
    effect: str
    advice: str
    source: str
    check: Check
    general: bool = False

    def findings(self, subject: Subject) -> Iterator[Finding]:
        for hit in self.check(subject):
            yield Finding(
                rule=self.id,
                severity=self.severity if hit.severity is None else hit.severity,
                title=self.title,
                place=hit.place,
                detail=clean(hit.detail),
                effect=self.effect,
                source=self.source,
                fix=diff(hit.fix),
                advice=self.advice,
                path=hit.path,
            )


RULES: dict[str, Rule] = {}


def rule(
    id: str, severity: Severity, title: str, *, effect: str, advice: str, source: str, general: bool = False
) -> Callable[[Check], Check]:
    """Make a function a rule. ``general`` rules say nothing about a key that another rule explains."""

    def register(check: Check) -> Check:
        assert id not in RULES, f"two rules are called {id}"
        RULES[id] = Rule(id, severity, title, effect, advice, source, check, general)
        return check

    return register


def at(subject: Subject, path: KeyPath, detail: str, fix: Iterable[Edit] = (), severity: Severity | None = None) -> Hit:
    """A hit on a key of the configuration."""
    return Hit(subject.config.place(*path), detail, tuple(fix), severity, path)
