"""From files to a subject: what belongs together is read, and what is missing is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploys.auditing.document import parse_yaml, with_includes
from deploys.auditing.inputs import Directive, Launch, Variable, read_compose, read_conf, read_env, read_unit
from deploys.auditing.known import assumed, standing_in
from deploys.auditing.report import Report
from deploys.auditing.rules import judge
from deploys.auditing.sources import Place, Source, Unauditable, read_source
from deploys.auditing.subject import Subject

# As releases and the tags of images are called: 1.82.8, v1.82.8-stable, 1.82.8rc1.
VERSION = re.compile(r"v?(\d+\.\d+\.\d+)(?:[-.+]?[A-Za-z][\w.-]*)?")


@dataclass(frozen=True)
class Files:
    """What a person gives to an audit without a host."""

    config: Path
    env: Path | None = None
    unit: Path | None = None
    compose: Path | None = None
    redis_conf: Path | None = None
    also: tuple[Path, ...] = ()
    version: str = ""
    max_connections: int | None = None


def _stated_version(launches: Sequence[Launch], others: Sequence[Source]) -> Variable | None:
    """A version that a requirements file or an image's tag states."""
    for source in others:
        for number, line in enumerate(source.lines, 1):
            found = re.search(r"\blitellm(?:\[[\w,\s-]*\])?\s*==\s*(\d+\.\d+\.\d+)", line)
            if found:
                return Variable(found.group(1), Place(source.name, number, line.strip()))
    for launch in launches:
        found = re.search(r":(?:main-)?v?(\d+\.\d+\.\d+)", launch.image.value) if launch.image else None
        if found and launch.image:
            return Variable(found.group(1), launch.image.place)
    return None


def _notes(subject: Subject, given: str) -> list[str]:
    notes = []
    if subject.live is None:
        if not subject.knows_environment:
            notes.append("keys, levels and references of the environment; give --env FILE")
        if not subject.launches:
            notes.append("workers, ports and how the gateway is started; give --unit FILE or --compose FILE")
        if not subject.redis:
            notes.append("what Redis does when it is full, and who can reach it; give --redis-conf FILE")
    if not given:
        notes.append(f"the version; {subject.version} was assumed, give --version")
    if note := standing_in(subject.version):
        notes.append(note)
    return notes


def subject_of(files: Files) -> tuple[Subject, list[str]]:
    """The subject, and what cannot be judged. Raises Unauditable with one sentence."""
    config = with_includes(parse_yaml(read_source(files.config, is_yaml=True)), files.config.parent)
    launches: list[Launch] = []
    redis: list[Directive] = []
    postgres: list[Directive] = []
    if files.unit:
        launches.append(read_unit(read_source(files.unit)))
    if files.compose:
        started, redis, postgres = read_compose(parse_yaml(read_source(files.compose, is_yaml=True)))
        launches += started
    if files.redis_conf:
        redis = [*redis, *read_conf(read_source(files.redis_conf))]
    others = [read_source(path, is_yaml=path.suffix in (".yaml", ".yml")) for path in files.also]
    given = VERSION.fullmatch(files.version)
    if files.version and not given:
        raise Unauditable(f"--version {files.version!r} is not a release such as {assumed()}")
    stated = Variable(given.group(1), Place(f"--version {files.version}")) if given else None
    stated = stated or _stated_version(launches, others)
    subject = Subject(
        config=config,
        version=stated.value if stated else assumed(),
        version_place=stated.place if stated else None,
        env=read_env(read_source(files.env)) if files.env else None,
        launches=launches,
        redis=redis,
        postgres=postgres,
        others=others,
        max_connections=files.max_connections,
    )
    return subject, _notes(subject, stated.value if stated else "")


def report_on(subject: Subject, notes: Sequence[str], name: str = "") -> Report:
    """The report about ``subject``, under ``name`` or the configuration's own."""
    found, failed = judge(subject)
    return Report(name or subject.config.source.name, subject.version, found, (*failed, *notes), bool(failed))
