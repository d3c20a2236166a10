"""The one jinja environment: templates get their settings and nothing else, and an unrevealed secret stops the run."""

from __future__ import annotations

import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import SecretStr

ROOT = Path(__file__).resolve().parents[2]


class UnrevealedSecret(Exception):
    """A template printed a secret without ``| reveal``; its stars would have gone into the file."""


def _finalize(value: object) -> object:
    if isinstance(value, SecretStr):
        raise UnrevealedSecret("a template prints a secret without `| reveal`")
    return value


def _reveal(value: SecretStr) -> str:
    return value.get_secret_value()


def quote_env(value: object) -> str:
    """``value`` as systemd's EnvironmentFile= and a POSIX shell both read it: in double quotes, specials escaped."""
    text = str(value)
    for special in ("\\", '"', "$", "`"):
        text = text.replace(special, "\\" + special)
    return f'"{text}"'


def quote_conf(value: object) -> str:
    """``value`` as a single-quoted string of postgresql.conf and SQL: quotes doubled."""
    return "'" + str(value).replace("'", "''") + "'"


def to_yaml(value: object) -> str:
    """``value`` as block YAML in the order given, with long lines left alone."""
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=1000, allow_unicode=True)


@cache
def environment() -> Environment:
    """The environment every file is rendered with."""
    made = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=_finalize,
    )
    made.filters.update(
        reveal=_reveal,
        env=quote_env,
        conf=quote_conf,
        sh=shlex.quote,
        yaml=to_yaml,
        json=lambda value: json.dumps(value, indent=2),
    )
    return made


def render(template: str, s: Any, **more: Any) -> str:
    """The text of ``templates/<template>`` for settings ``s``.

    ``managed`` is the first line every file carries: no date, run or host in it, or every run would change the file.
    """
    managed = f"Managed by Portcullis from templates/{template}; edits are overwritten by the next run."
    return environment().get_template(template).render(s=s, managed=managed, **more)


def render_page(template: str, **context: Any) -> str:
    """The text of ``templates/<template>`` as HTML: whatever is put in is escaped, because it is text from anywhere."""
    return environment().overlay(autoescape=True).get_template(template).render(context)
