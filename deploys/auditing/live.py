"""The audit of hosts: pyinfra INVENTORY deploys/audit.py [--data format=json --data out=FILE --data fail_on=p0]."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import DeployError, StringCommand, operation
from pyinfra.api.command import QuoteString
from rich.console import Console

from deploys.auditing.cli import FAIL_ON, save, written
from deploys.auditing.document import parse_yaml
from deploys.auditing.facts import Deployment
from deploys.auditing.inputs import Launch, Variable, read_unit, split_words
from deploys.auditing.known import assumed
from deploys.auditing.load import report_on
from deploys.auditing.report import Report, fails
from deploys.auditing.show import show
from deploys.auditing.sources import Place, Unauditable, make_source
from deploys.auditing.subject import Live, Subject

FORMATS = ("table", "json", "sarif", "html")
# Of this run, by host: a file has all of them, whichever host answers last.
REPORTS: dict[str, Report] = {}


def live_facts(name: str, found: Mapping[str, Any]) -> Live:
    """What a host answered, as the rules know it."""
    most, used = (*(found.get("postgres") or ()), None, None)[:2]
    served = found.get("served")
    return Live(
        host=name,
        version=str(found.get("packages", {}).get("litellm", "")),
        packages=found.get("packages") or {},
        stray_pth=tuple(found.get("pth") or ()),
        modes=found.get("modes") or {},
        models=found["models"] if isinstance(found.get("models"), dict) else None,
        max_connections=most,
        connections=used,
        redis_policy=str(found.get("redis") or ""),
        workers_mb=tuple(found.get("workers_mb") or ()),
        restarts=found.get("restarts"),
        older_than_files=bool(found.get("older")),
        served=tuple(served) if isinstance(served, list) else None,
        statuses=found.get("statuses") or {},
        metrics=found.get("metrics") or {},
        listening=tuple(found.get("listening") or ()),
        backup_hours=found.get("backup_hours"),
        backups=bool(found.get("backups")),
    )


def subject_from(name: str, found: Mapping[str, Any]) -> tuple[Subject, list[str]]:
    """A host's answer as a subject, and what could not be judged. Raises Unauditable with one sentence."""
    path = f"{name}:{found.get('path', 'config.yaml')}"
    config = parse_yaml(make_source(path, str(found.get("config", "")).encode(), is_yaml=True))
    live = live_facts(name, found)
    place = Place(f"{name}:environment")
    env = {key: Variable(str(value), place) for key, value in (found.get("environment") or {}).items()}
    words = tuple(split_words(str(found.get("words") or "")))
    source = make_source(f"{name}:unit", str(found.get("unit") or "").encode(), is_yaml=False)
    launches = [read_unit(source)] if "ExecStart" in source.text else []
    if not launches and words:
        line = make_source(f"{name}:command line", " ".join(words).encode(), is_yaml=False)
        launches = [Launch("process", line, words, Place(line.name, 1, line.text[:160]))]
    version = live.version
    subject = Subject(
        config=config,
        version=version or assumed(),
        version_place=Place(name, 0, f"litellm {version}") if version else None,
        env=env if found.get("running") else None,
        launches=launches,
        live=live,
    )
    unknown = {
        "PostgreSQL's connections": live.max_connections is None,
        "what Redis does when it is full": not live.redis_policy,
        "which models are served": live.served is None,
        "rates of errors and cache hits": not live.metrics,
        "the environment; no LiteLLM is running": not found.get("running"),
        f"the version; {subject.version} was assumed": not version,
    }
    return subject, [note for note, missing in unknown.items() if missing]


@operation()
def examine(form: str, out: str, fail_on: str) -> Generator[StringCommand, None, None]:
    """Audit this host, show the findings, and fail by their severity. Changes nothing."""
    if not state.is_executing:
        return
    found = host.get_fact(Deployment)
    if found.get("found") is False:
        logger.info(f"{host.print_prefix}no LiteLLM on this host")
        return
    try:
        if "error" in found or not found:
            raise Unauditable(f"{host.name} cannot be asked: {found.get('error', 'it gave no answer')}")
        report = report_on(*subject_from(host.name, found), host.name)
        REPORTS[host.name] = report
        if form != "table":
            save(Path(out), written([REPORTS[name] for name in sorted(REPORTS)], form))
    except Unauditable as error:
        yield StringCommand("echo", QuoteString(str(error)), ">&2;", "exit", "1")
        return
    text = io.StringIO()
    show(Console(file=text, width=120, highlight=False), [report])
    for line in text.getvalue().rstrip().splitlines():
        logger.info(line)
    if report.broken or fails([report], fail_on):
        yield StringCommand("echo", QuoteString(report.summary), ">&2;", "exit", "1")


def audit_host() -> None:
    """The audit of one host, with what --data says about its form."""
    form, out = str(host.data.get("format", "table")), str(host.data.get("out", ""))
    fail_on = str(host.data.get("fail_on", "p1"))
    if form not in FORMATS:
        raise DeployError(f"format: {form!r} is none of {', '.join(FORMATS)}")
    if fail_on not in FAIL_ON:
        raise DeployError(f"fail_on: {fail_on!r} is none of {', '.join(FAIL_ON)}")
    if form != "table" and not out:
        raise DeployError(f"format={form} needs a file: add --data out=FILE")
    examine(name="Audit LiteLLM", form=form, out=out, fail_on=fail_on)
