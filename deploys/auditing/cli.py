"""The audit of files from a command line, without a host: python -m deploys.audit FILE."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from deploys.auditing.load import Files, report_on, subject_of
from deploys.auditing.report import Report, fails, to_json, to_sarif
from deploys.auditing.show import show, to_html
from deploys.auditing.sources import Unauditable

FAIL_ON = ("p0", "p1", "p2", "never")
# 0: nothing at or above --fail-on; 1: something; 2: it could not be audited.
FOUND, CANNOT = 1, 2


def positive(text: str) -> int:
    """A number of at least 1. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m deploys.audit",
        description="Find what is wrong with a LiteLLM deployment's files. Nothing is changed, and no secret is shown.",
        epilog="Exit: 0 when nothing is at or above --fail-on, 1 when something is, 2 when it could not be audited.",
    )
    made.add_argument("config", metavar="FILE", type=Path, help="LiteLLM's config.yaml")
    made.add_argument("--env", metavar="FILE", type=Path, help="the environment file")
    made.add_argument("--unit", metavar="FILE", type=Path, help="the systemd unit that starts the gateway")
    made.add_argument("--compose", metavar="FILE", type=Path, help="the compose file with the gateway")
    made.add_argument("--redis-conf", metavar="FILE", type=Path, help="redis.conf")
    made.add_argument(
        "--also",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a probe script, monitoring rules, nginx.conf, requirements.txt, output of --validate_config; repeatable",
    )
    made.add_argument("--version", metavar="X.Y.Z", default="", help="LiteLLM's version")
    made.add_argument("--max-connections", metavar="N", type=positive, help="max_connections of PostgreSQL")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    form.add_argument("--html", metavar="OUT", type=Path, help="write a page to OUT")
    made.add_argument("--fail-on", choices=FAIL_ON, default="p1", help="exit 1 from this severity on (default: p1)")
    return made


def written(reports: Sequence[Report], form: str) -> str:
    """All reports in one of the forms that are text: json, sarif or html."""
    return {"json": to_json, "sarif": to_sarif, "html": to_html}[form](reports)


def save(path: Path, text: str) -> None:
    """Write a report for its owner: it has no secrets, but what is wrong with a gateway is nobody else's business."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unauditable(f"{path} cannot be written: {error.strerror or type(error).__name__}") from None


def as_files(given: argparse.Namespace) -> Files:
    return Files(
        config=given.config,
        env=given.env,
        unit=given.unit,
        compose=given.compose,
        redis_conf=given.redis_conf,
        also=tuple(given.also),
        version=given.version,
        max_connections=given.max_connections,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit what the command line names; the exit code."""
    given = parser().parse_args(arguments)
    try:
        report = report_on(*subject_of(as_files(given)))
        if given.json or given.sarif:
            sys.stdout.write(written([report], "json" if given.json else "sarif"))
        elif given.html:
            save(given.html, written([report], "html"))
            sys.stdout.write(f"{report.summary}\n")
        else:
            # A pipe has no width: what is read from a file is not broken after 80 signs.
            width = None if sys.stdout.isatty() else 120
            show(Console(width=width, highlight=False), [report])
    except Unauditable as error:
        sys.stderr.write(f"portcullis audit: {error}\n")
        return CANNOT
    except Exception as error:
        # Only its kind: the words of an error could quote the files.
        sys.stderr.write(f"portcullis audit: {given.config} could not be read to its end ({type(error).__name__})\n")
        return CANNOT
    return CANNOT if report.broken else FOUND if fails([report], given.fail_on) else 0
