"""References such as env:NAME to secret values: the only place that reads one."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import SecretStr

# What `make secrets` makes (scripts/make_secrets.py); any other value comes from a provider or from people.
MADE = frozenset(
    {
        *("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "SITE_TLS_SECRET"),
        *("POSTGRES_PASSWORD", "POSTGRES_HEALTH_PASSWORD", "REDIS_PASSWORD", "REDIS_HEALTH_PASSWORD"),
        *("BACKUPS_PASSPHRASE", "BACKUPS_CONFIGURATION_PASSPHRASE", "BACKUPS_TLS_SECRET"),
    }
)
FORMS = "env:NAME, file:PATH or cmd:COMMAND"
# A private key as it is kept in a file: the only value of several lines that is let through.
PEM = re.compile(r"(-----BEGIN [A-Z0-9 ]+-----\n[^\r\0]+?\n-----END [A-Z0-9 ]+-----\s*)+")
# A secret manager that waits for a person must not hang a run for ever.
COMMAND_SECONDS = 60


class SecretError(Exception):
    """A secret reference cannot be read; the message names the reference, never a value."""


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines of a secrets file made by ``make secrets``.

    Raises SecretError when others on the controlling machine may read the file.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecretError(f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    values = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.isidentifier():
            raise SecretError(f"{path} line {number}: expected NAME=value")
        value = value.strip()
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
        values[name] = value[1:-1] if quoted else value
    return values


@cache
def _run(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SecretError(f"cmd:{command}: {error}") from None
    if not words:
        raise SecretError("cmd: names no command")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True)
    except FileNotFoundError:
        raise SecretError(f"cmd:{command}: there is no such program on this machine") from None
    except subprocess.TimeoutExpired:
        raise SecretError(f"cmd:{command}: no answer after {COMMAND_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise SecretError(f"cmd:{command}: exit status {error.returncode}") from None
    except OSError as error:
        raise SecretError(f"cmd:{command}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"cmd:{command}: what it prints is not text") from None
    return done.stdout.rstrip("\n")


def _lookup(reference: str, stored: Mapping[str, str], hint: str) -> str:
    kind, colon, rest = reference.partition(":")
    if not colon or kind not in ("env", "file", "cmd") or not rest:
        # The text may be the secret itself, so it is not repeated.
        raise SecretError(f"a literal value is refused; give a reference: {FORMS}")
    if kind == "env":
        value = os.environ.get(rest, stored.get(rest))
        if value is None:
            mend = "`make secrets` creates it" if rest in MADE else f"export it, or add a line {rest}=... to that file"
            raise SecretError(f"env:{rest} is set neither in the environment nor in {hint}; {mend}")
        return value
    if kind == "file":
        path = Path(rest).expanduser()
        try:
            return path.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"file:{rest} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _run(rest)


def read_secret(reference: str, stored: Mapping[str, str], hint: str) -> SecretStr:
    """The value behind ``reference``.

    ``stored`` are values of the inventory's secrets file, asked after the environment; ``hint`` names that file.
    Raises SecretError for a literal, an unknown form, a missing or empty value, and several lines that are not PEM.
    """
    value = _lookup(reference, stored, hint)
    if not value:
        raise SecretError(f"{reference} is empty")
    if any(character in value for character in "\n\r\0") and not PEM.fullmatch(value):
        raise SecretError(f"{reference} has more than one line; a secret is one line of text")
    return SecretStr(value)
