#!/opt/litellm/current/venv/bin/python
"""What a gateway's host asks of its database, by the Python of one installation of LiteLLM.

database.py schema     ENVIRONMENT    exit 0 when the database has every migration of this installation
database.py salt       ENVIRONMENT    exit 0 unless what is stored there was encrypted with another salt key
database.py keep       ENVIRONMENT    store a text encrypted with the salt key, for later questions
database.py rehearsed  ENVIRONMENT    exit 0 when this installation may migrate the database: nothing to lose or to do,
                                      or the same was done to a copy of it before
database.py rehearse   ENVIRONMENT    do that, to the copy that is there

ENVIRONMENT is a file with DATABASE_URL and LITELLM_SALT_KEY, as the gateway's own; - is this process's environment.
After it may come the file with the authority above the database's certificate, when it is not yet where that says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.dont_write_bytecode = True  # this folder is what was put there, and nothing else
from migrations import finished, installed  # noqa: E402

# What is digested and what is encrypted. Never changed: every database in use has them.
LABEL = b"portcullis: the salt key of this database"
PROBE = "portcullis: whoever can read this has the salt key of this database"
STORED = Path(__file__).with_name("stored.sql")
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
OTHER_KEY = (
    "litellm_salt_key: the database was encrypted with another salt key than the one offered; what is stored there "
    "would become unreadable. Offer the old one, or drop the database when nobody needs what is in it"
)


def fail(sentence: str) -> None:
    print(f"portcullis: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)


def value(environment: Path, name: str) -> str:
    """A value of the environment file, its quoting undone."""
    if str(environment) == "-":
        return os.environ[name]
    line = next(line for line in environment.read_text().splitlines() if line.startswith(f"{name}="))
    return re.sub(r"\\(.)", r"\1", line.partition("=")[2][1:-1])


def connect(url: str) -> Any:
    import psycopg

    try:
        return psycopg.connect(url, connect_timeout=10, autocommit=True)
    except psycopg.Error as error:
        # Its text may have the database's URL in it.
        reason = "it refuses this role" if "no pg_hba.conf entry" in str(error) else type(error).__name__
        fail(f"the database {name_of(url)} cannot be asked: {reason}")


def name_of(url: str) -> str:
    return re.sub(r"[?].*", "", url).rpartition("/")[2]


def trusting(url: str, authority: str) -> str:
    """The same database, known by the authority in another file."""
    return re.sub(r"(?<=[?&]sslrootcert=)[^&]*", lambda _: quote(authority), url) if authority else url


def copy_of(url: str) -> str:
    """The address of the copy that migrations are rehearsed on; payload/postgres/database names it the same way."""
    before, name = url.split("?", 1)[0].rpartition("/")[0], name_of(url)
    options = url[len(before) + 1 + len(name) :]
    return f"{before}/{name[:50]}_rehearsal{options}"


def lacking(connection: Any) -> list[str]:
    have = set(finished(connection))
    return [name for name in installed(Path(sys.prefix)) if name not in have]


def schema(url: str) -> None:
    with connect(url) as connection:
        if missing := lacking(connection):
            fail(f"the database lacks {len(missing)} migrations, the last of them {missing[-1]}")


def cipher() -> Any:
    """LiteLLM's own module that encrypts, without the package around it: that takes seconds, and asks the internet."""
    if "litellm" not in sys.modules:
        package = types.ModuleType("litellm")
        package.__path__ = [str(path) for path in Path(sys.prefix).glob("lib/python3*/site-packages/litellm")]
        sys.modules["litellm"] = package
    from litellm.proxy.common_utils import encrypt_decrypt_utils

    return encrypt_decrypt_utils


def opens(text: str, salt: str) -> str | None:
    """What LiteLLM reads in an encrypted text with this salt key; None when it cannot."""
    text, utils = text.removeprefix("litellm_enc::"), cipher()
    try:
        if text.startswith("v2:gcm:"):
            return str(utils._decrypt_aes_gcm(text, salt))
        return str(utils.decrypt_value(base64.urlsafe_b64decode(text), salt))
    except Exception:  # nacl, base64 and AES-GCM each have their own; an installation may not know one of the formats
        return None


def salt(url: str, key: str) -> None:
    """Refuse a salt key that does not open what the database has."""
    with connect(url) as connection:
        found = json.loads(connection.execute(STORED.read_text()).fetchone()[0])
    own = hmac.digest(key.encode(), LABEL, "sha256").hex()
    if found["mark"] not in (None, own):
        fail(OTHER_KEY)
    if found["probe"]:
        if opens(found["probe"], key) != PROBE:
            fail(OTHER_KEY)
    elif found["samples"] and not any(opens(sample, key) is not None for sample in found["samples"]):
        fail(OTHER_KEY)


def keep(url: str, key: str) -> None:
    """Encrypt the probe with LiteLLM's own code, unless the database has one."""
    with connect(url) as connection:
        if connection.execute("SELECT to_regclass('portcullis.probe')").fetchone()[0] is not None:
            return
        text = base64.urlsafe_b64encode(cipher().encrypt_value(PROBE, key)).decode()
        with connection.transaction():
            connection.execute("CREATE SCHEMA IF NOT EXISTS portcullis")
            connection.execute("CREATE TABLE portcullis.probe (ciphertext text NOT NULL)")
            connection.execute("INSERT INTO portcullis.probe VALUES (%s)", (text,))


def seal(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def may_migrate(connection: Any) -> bool:
    """Whether there is nothing to lose or to do, or a copy in the same state went through the same."""
    if not connection.execute(TABLES).fetchone()[0] or not lacking(connection):
        return True
    if connection.execute("SELECT to_regclass('portcullis.rehearsals')").fetchone()[0] is None:
        return False
    query = "SELECT count(*) FROM portcullis.rehearsals WHERE wanted = %s AND before = %s"
    seals = (seal(installed(Path(sys.prefix))), seal(finished(connection)))
    return bool(connection.execute(query, seals).fetchone()[0])


def rehearsed(url: str) -> None:
    with connect(url) as connection:
        if not may_migrate(connection):
            number = len(lacking(connection))
            fail(
                f"the database lacks {number} migrations of this version and no copy of it went through them; "
                "nothing was migrated"
            )


def migrate_copy(copy: str, number: int) -> None:
    """Let LiteLLM migrate the copy as it would the database; one sentence when that fails."""
    print(f"rehearsing {number} migrations on {name_of(copy)}", flush=True)
    environment = {**os.environ, "DATABASE_URL": copy, "LITELLM_LOG": "WARNING"}
    environment.pop("DISABLE_SCHEMA_UPDATE", None)
    run = [sys.executable, "-c", "from litellm import run_server; run_server()", "--skip_server_startup"]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    with connect(copy) as connection:
        left = lacking(connection)
    if done.returncode or left:
        output = re.sub(r"\x1b\[[0-9;]*m", "", re.sub(r"postgres\w*://\S+", "[address]", done.stdout + done.stderr))
        print(output, flush=True)
        at = f" at {left[0]}" if left else ""
        fail(
            f"the migration failed on a copy of the database{at}: {reason(output)}; nothing was migrated, and the "
            "version in use was left alone"
        )


def rehearse(url: str) -> None:
    """Migrate the copy as the database would be, and note in the database that it went well."""
    with connect(url) as connection:
        if may_migrate(connection):
            return
        before, missing, copy = finished(connection), lacking(connection), copy_of(url)
        if not connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name_of(copy),)).fetchone()[
            0
        ]:
            fail(
                f"the database lacks {len(missing)} migrations of this version, and there is no copy of it to rehearse "
                "them on: its host has made no dump in this run; nothing was migrated"
            )
    try:
        with connect(copy) as connection:
            if finished(connection) != before:
                fail(f"{name_of(copy)} is not a copy of what {name_of(url)} has now; nothing was migrated")
        migrate_copy(copy, len(missing))
    finally:
        with connect(url) as connection:
            # Its owner may; what it is worth is known, and it takes as much room as the database.
            connection.execute(f'DROP DATABASE IF EXISTS "{name_of(copy)}" WITH (FORCE)')
    with connect(url) as connection, connection.transaction():
        connection.execute("CREATE SCHEMA IF NOT EXISTS portcullis")
        connection.execute("CREATE TABLE IF NOT EXISTS portcullis.rehearsals (wanted text, before text)")
        connection.execute("DELETE FROM portcullis.rehearsals")
        seals = (seal(installed(Path(sys.prefix))), seal(before))
        connection.execute("INSERT INTO portcullis.rehearsals VALUES (%s, %s)", seals)


def reason(output: str) -> str:
    """The line that says why: PostgreSQL's own where it is shown, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ERROR: ", "Database error:"))]
    return (told or lines or ["no reason given"])[-1][:300]


def main() -> int:
    word, *arguments = sys.argv[1:] or [""]
    if len(arguments) not in (1, 2) or word not in ("schema", "salt", "keep", "rehearsed", "rehearse"):
        print(__doc__, file=sys.stderr)
        return 2
    environment = Path(arguments[0])
    url = trusting(value(environment, "DATABASE_URL"), "".join(arguments[1:]))
    try:
        if word in ("salt", "keep"):
            {"salt": salt, "keep": keep}[word](url, value(environment, "LITELLM_SALT_KEY"))
        else:
            {"schema": schema, "rehearsed": rehearsed, "rehearse": rehearse}[word](url)
    except Exception as error:  # a traceback of psycopg may have the database's URL in it
        fail(f"the database cannot be asked: {type(error).__name__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
