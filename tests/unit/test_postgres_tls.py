"""TLS between gateways and PostgreSQL: what the server is told, that every client follows, and what is refused."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from portcullis_health.config import parse

from deploys import operations
from deploys.auditing import hostside
from deploys.components import postgres_tls
from deploys.components.health import HEALTH
from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.component import LITELLM
from deploys.components.postgres import POSTGRES
from deploys.lib.component import ConfigFile, Here
from deploys.lib.settings import SettingsError
from tests.unit import certificates, site
from tests.unit.test_litellm_database import program as program

FOLDER = "/etc/postgresql/17/main"


def texts(component: Any, here: Here) -> dict[str, str]:
    return {item.path: item.text for item in component.files(here) if isinstance(item, ConfigFile)}


def url(here: Here) -> str:
    found = litellm_config.environment(here)["DATABASE_URL"]
    assert not isinstance(found, str)
    return found.get_secret_value()


def test_without_it_nothing_is_other_than_before() -> None:
    plain, off = site.single(), site.single(postgres_tls="off")
    for component in (POSTGRES, LITELLM, HEALTH):
        assert component.files(off) == component.files(plain) and component.check(off) == component.check(plain)
    assert "ssl" not in texts(POSTGRES, plain)[f"{FOLDER}/conf.d/portcullis.conf"]
    assert "?" not in url(plain)
    # Lines that were anybody's stay so.
    assert site.single(postgres_extra_config="ssl_min_protocol_version = 'TLSv1.3'")


def test_nobody_comes_in_over_the_network_without_it_loopback_included() -> None:
    for here in (site.single(postgres_tls="site"), site.place(site.split(postgres_tls="site"), "db")):
        made = texts(POSTGRES, here)
        rows = [line.split() for line in made[f"{FOLDER}/pg_hba.conf"].splitlines() if line and line[0] != "#"]
        let_in = [row for row in rows if row[-1] not in ("reject", "peer")]
        assert let_in and {row[0] for row in let_in} == {"hostssl"}
        assert rows[0] == ["local", "all", "postgres", "peer"], "the administrator and backups ask over the socket"
        conf = made[f"{FOLDER}/conf.d/portcullis.conf"].splitlines()
        assert "ssl = on" in conf and "ssl_min_protocol_version = 'TLSv1.2'" in conf


def test_lines_that_would_undo_it_are_refused() -> None:
    with pytest.raises(SettingsError, match="use postgres_tls and what belongs to it"):
        site.single(postgres_tls="site", postgres_extra_config="ssl = off")


def test_the_gateways_address_of_the_database_says_so_in_libpqs_words() -> None:
    here = site.place(site.split(postgres_tls="site"), "gw-1")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url(here)).query)
    assert query == {"sslmode": ["verify-full"], "sslrootcert": [postgres_tls.GATEWAY_AUTHORITY]}


def test_the_health_app_looks_at_the_certificate() -> None:
    made = texts(HEALTH, site.single(postgres_tls="site"))
    parsed = parse(json.loads(made["/etc/portcullis/health.json"]), "x").database
    assert parsed is not None and parsed.tls and parsed.ca_file == postgres_tls.HEALTH_AUTHORITY
    assert made[postgres_tls.HEALTH_AUTHORITY].startswith("-----BEGIN CERTIFICATE-----")


def test_a_certificate_that_does_not_match_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        site.split(**certificates.postgres(tmp_path, ["127.0.0.1"]))
    assert caught.value.problems == [
        "db: postgres_tls_certificate: is not for 192.0.2.10; its subjectAltName must have IP:192.0.2.10"
    ]
    data = certificates.postgres(tmp_path, ["192.0.2.10"])
    assert site.split(**data)
    (tmp_path / "ca.crt").write_text(certificates.authority("somebody").text)
    with pytest.raises(SettingsError, match="postgres_tls_ca: has not signed the certificate"):
        site.split(**data)


def test_with_two_authorities_of_somebodys_own_another_certificate_restarts_the_gateway(tmp_path: Path) -> None:
    """LiteLLM picks one of the two for Prisma when it starts."""
    old, new = certificates.authority("old"), certificates.authority("new")
    data, seen = certificates.postgres(tmp_path, ["127.0.0.1"]), []
    for authorities, above in (
        (old.text, old),
        (old.text, old),
        (old.text + new.text, old),
        (old.text + new.text, new),
    ):
        certificate, key = above.sign(["127.0.0.1"])
        for name, text in (("redis.crt", certificate), ("redis.key", key), ("ca.crt", authorities)):
            (tmp_path / name).write_text(text)
        seen.append(litellm_config.restart_for(site.single(**data)))
    assert seen[0] == seen[1] == litellm_config.restart_for(site.single()), "with one there is nothing to pick"
    assert len(set(seen)) == 3


def test_a_gateway_does_not_come_to_it_while_its_database_does_not(tmp_path: Path) -> None:
    here = site.single(postgres_tls="site")
    command = next(line for line in LITELLM.check(here) if "s_client" in line)
    stub = tmp_path / "openssl"
    why = "PostgreSQL at 127.0.0.1 port 5432 does not answer with a certificate that postgres_tls_secret has signed\n"
    for status, said in ((0, ""), (1, why)):
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >{shlex.quote(str(tmp_path))}/asked\nexit {status}\n')
        stub.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (status, said)
    assert (tmp_path / "asked").read_text() == (
        "s_client -starttls postgres -connect 127.0.0.1:5432 -CAfile /etc/litellm/postgres-ca.crt "
        "-verify_return_error -verify_ip 127.0.0.1\n"
    )


def test_questions_before_any_file_is_there_are_told_where_the_authority_lies_meanwhile(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first deploy asks for the salt key before it writes, and a rehearsal comes before that."""
    here = site.single(postgres_tls="site")
    key, _ = LITELLM.guard(here)
    assert f' salt "$(new /etc/litellm/.env)" "$(new {postgres_tls.GATEWAY_AUTHORITY})" || exit 1' in key
    calls: list[dict[str, Any]] = []
    for name in ("step", "unless", "gate"):
        monkeypatch.setattr(operations, name, lambda **arguments: calls.append(arguments))
    monkeypatch.setattr("pyinfra.operations.files.put", lambda **arguments: None)
    LITELLM.before(here, "RUN")
    connects, rehearses = (next(c for c in calls if word in c["name"]) for word in ("connects", "Rehearse the"))
    assert f">{postgres_tls.REHEARSAL_AUTHORITY}; umask 077; cat >" in connects["command"]
    assert f"rehearse - {postgres_tls.REHEARSAL_AUTHORITY}\n" in rehearses["stdin"]
    assert f" {postgres_tls.REHEARSAL_AUTHORITY} /run/systemd" in rehearses["script"], "it is removed again"
    at = program.trusting(url(here), "/run/new ca.crt")
    assert at == url(here).replace(postgres_tls.GATEWAY_AUTHORITY, "/run/new%20ca.crt")
    assert program.trusting(url(here), "") == url(here)
    assert program.trusting(url(site.single()), "/run/x") == url(site.single())
    assert program.copy_of(url(here)) == url(here).replace("/litellm?", "/litellm_rehearsal?")


def test_the_audit_asks_the_database_as_the_gateway_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def run(*words: str, env: dict[str, str] | None = None) -> str:
        seen.append(env or {})
        return "100|7" if env else ""

    monkeypatch.setattr(hostside, "run", run)
    assert hostside.postgres(url(site.single(postgres_tls="site"))) == [100, 7]
    assert (seen[1]["PGSSLMODE"], seen[1]["PGSSLROOTCERT"]) == ("verify-full", postgres_tls.GATEWAY_AUTHORITY)
    assert hostside.postgres(url(site.single())) == [100, 7] and "PGSSLMODE" not in seen[3]
