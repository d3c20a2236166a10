"""A real PostgreSQL as Portcullis configures it for TLS, asked by libpq, by the health app, and by our own check."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.config import Database
from portcullis_health.stores import DatabaseProbe

from deploys.components import postgres_tls
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.component import Here
from deploys.lib.scram import verifier
from tests.ports import free_port
from tests.unit import site
from tests.unit.test_postgres_tls import FOLDER, POSTGRES, texts, url

PROGRAMS = next((path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))), Path("/nowhere"))
pytestmark = pytest.mark.skipif(
    not (PROGRAMS / "initdb").exists(), reason="needs PostgreSQL: apt-get install postgresql"
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Here, Path]]:
    """A real PostgreSQL with the certificate of a site that exchanges its secret; its authorities lie beside it."""
    # Not below pytest's own folder, which it closes to others whenever it starts.
    folder = Path(tempfile.mkdtemp(prefix="portcullis-postgres-"))
    folder.chmod(0o755)
    data = {"postgres_port": free_port(), "postgres_tls": "site"}
    here = site.single(postgres_tls_secret_before="env:SITE_TLS_SECRET_BEFORE", **data)
    for name, secret in (("new", "SITE_TLS_SECRET"), ("old", "SITE_TLS_SECRET_BEFORE"), ("other", "REDIS_PASSWORD")):
        of = site.single(postgres_tls_secret=f"env:{secret}", **data)
        (folder / f"{name}.crt").write_text(texts(POSTGRES, of)[f"{FOLDER}/tls-ca.crt"])
    # Nobody starts it as root.
    owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    become = ["runuser", "-u", owner, "--"] if os.geteuid() == 0 else []

    def call(*words: object, **more: Any) -> None:
        subprocess.run([*become, *map(str, words)], check=True, capture_output=True, **more)

    if become:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
    call(PROGRAMS / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync")
    made = texts(POSTGRES, here)
    for path, text in made.items():
        if Path(path).name in ("tls.crt", "tls.key", "pg_hba.conf"):
            call("sh", "-c", f"umask 077; cat >{folder}/data/{Path(path).name}", input=text.encode())
    lines = [line for line in made[f"{FOLDER}/conf.d/portcullis.conf"].splitlines() if line.startswith(("ssl", "port"))]
    told = "\n".join([*lines, f"unix_socket_directories = '{folder}'", "shared_buffers = 16MB"])
    told = told.replace(FOLDER, f"{folder}/data")
    call("sh", "-c", f"cat >>{folder}/data/postgresql.conf", input=told.encode())
    # It lets no administrator in but its own.
    call("sh", "-c", f"sed -i 's/ peer$/ trust/' {folder}/data/pg_hba.conf")
    call(PROGRAMS / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "start")
    s: PostgresSettings = here.settings(PostgresSettings)
    roles = [("litellm", s.password), ("health", s.health_password)]
    statements = [f"CREATE ROLE {role} LOGIN PASSWORD '{verifier(role, it.get_secret_value())}'" for role, it in roles]
    try:
        for statement in (*statements, "CREATE DATABASE litellm OWNER litellm"):
            call("psql", "-h", folder, "-p", s.port, "-U", "postgres", "-qc", statement)
        yield here, folder
    finally:
        call(PROGRAMS / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def said(server: tuple[Here, Path], authority: str = "new", address: str = "", more: str = "") -> str:
    """What libpq gets of PostgreSQL, or what it says of it, with the gateway's own address of the database."""
    here, folder = server
    where = url(here).replace(postgres_tls.GATEWAY_AUTHORITY, f"{folder}/{authority}.crt")
    where = where.replace("127.0.0.1", address or "127.0.0.1") + more
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    words = ["psql", where, "-XAtc", query]
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    return done.stdout.strip() or done.stderr.strip()


def test_a_real_server_is_reached_with_either_authority_and_with_a_bound_proof(server: tuple[Here, Path]) -> None:
    assert said(server) == said(server, "old") == "t"
    assert said(server, more="&channel_binding=require") == "t", "SCRAM-SHA-256-PLUS"
    assert "certificate verify failed" in said(server, "other")


def test_a_real_server_lets_nobody_in_without_it(server: tuple[Here, Path]) -> None:
    assert said(server, more="&sslmode=disable").endswith('database "litellm", no encryption')
    # Gateways of before the run that brings it look at nothing, and are let in.
    assert said(server, more="&sslmode=prefer&sslrootcert=/nowhere") == "t"


def test_a_real_server_under_another_name_than_its_own_is_refused(server: tuple[Here, Path]) -> None:
    assert 'server certificate for "127.0.0.1"' in said(server, address="127.0.0.2", more="&hostaddr=127.0.0.1")


@pytest.mark.parametrize(("authority", "fine"), [("new", True), ("old", True), ("other", False)])
def test_the_health_app_and_our_check_agree(server: tuple[Here, Path], authority: str, fine: bool) -> None:
    here, folder = server
    s: PostgresSettings = here.settings(PostgresSettings)
    path = f"{folder}/{authority}.crt"
    probe = DatabaseProbe(
        Database("127.0.0.1", s.port, "litellm", "health", True, path), s.health_password.get_secret_value(), 3.0
    )

    async def ask() -> Any:
        found = await probe.probe()
        await probe.close()
        return found

    assert asyncio.run(ask()).ok is fine
    command = postgres_tls.check(s, "127.0.0.1").replace(postgres_tls.GATEWAY_AUTHORITY, path)
    assert (subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0) is fine
