"""PostgreSQL: golden files, who may connect, tuning numbers, and how roles get their passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import pytest

from deploys.components import postgres, postgres_extra, postgres_install, postgres_salt
from deploys.components.postgres import POSTGRES, PostgresSettings
from deploys.components.postgres_tuning import tuning
from deploys.lib.component import Here
from deploys.lib.scram import verifier
from deploys.lib.settings import SettingsError
from tests.unit import golden, site


def test_rendered_files(pytestconfig: pytest.Config) -> None:
    golden.check(
        POSTGRES,
        pytestconfig,
        {
            "repository.sh": postgres_install.repository_script(PostgresSettings.model_fields["repository"].default)
            + "\n"
        },
    )


def admitted(here: Here) -> list[str]:
    """Addresses that pg_hba.conf lets in over the network, in order."""
    text = next(file.text for file in POSTGRES.files(here) if file.path.endswith("pg_hba.conf"))
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert rows[-1] == ["host", "all", "all", "all", "reject"]
    assert rows[0] == ["local", "all", "postgres", "peer"]
    assert rows[-2] == ["local", "all", "all", "reject"]
    hosts = rows[1:-2]
    assert all(row[0] == "host" and row[4:] == ["scram-sha-256"] for row in hosts)
    each = [('"litellm"', '"litellm"'), ('"litellm_rehearsal"', '"litellm"'), ('"litellm"', '"health"')]
    assert [(row[1], row[2]) for row in hosts] == each * (len(hosts) // 3)
    return [row[3] for row in hosts[::3]]


def listens(here: Here) -> str:
    text = next(file.text for file in POSTGRES.files(here) if file.path.endswith("portcullis.conf"))
    found = re.search(r"^listen_addresses = '(.*)'$", text, re.M)
    assert found
    return found[1]


def test_only_the_gateway_on_the_same_host_may_connect() -> None:
    assert admitted(site.single()) == ["127.0.0.1/32"]
    assert listens(site.single()) == "127.0.0.1"


def test_exactly_the_gateways_of_a_spread_out_site_may_connect() -> None:
    here = site.place(site.split(), "db")
    assert admitted(here) == ["192.0.2.21/32", "192.0.2.22/32"]
    assert listens(here) == "127.0.0.1,192.0.2.10"


def test_gateways_may_have_ipv6_addresses() -> None:
    here = site.place(site.split({"db": "2001:db8::10", "gw-1": "2001:db8::21"}), "db")
    assert admitted(here) == ["2001:db8::21/128", "192.0.2.22/32"]
    assert listens(here) == "127.0.0.1,2001:db8::10"


def test_a_gateway_beside_the_database_is_admitted_over_loopback_and_the_other_by_its_address() -> None:
    members = site.look(
        site.host("one", private_address="192.0.2.1", litellm_workers=1),
        site.host("two", ("litellm",), private_address="192.0.2.2", litellm_workers=1),
    )
    assert admitted(site.place(members, "one")) == ["127.0.0.1/32", "192.0.2.2/32"]


def test_two_databases_are_refused() -> None:
    with pytest.raises(SettingsError, match="there is more than one host in the group 'postgres'"):
        site.look(
            site.host("a", private_address="192.0.2.1"), site.host("b", ("postgres",), private_address="192.0.2.2")
        )


def test_tuning_of_a_small_share_can_be_checked_by_hand() -> None:
    made = tuning(972, 4, 55)
    # 972 - 243 buffers - 16 WAL - 2 x 60 maintenance - 55 x 5 processes = 318, over 55 connections: 5
    assert (made.shared_buffers, made.maintenance_work_mem, made.work_mem) == (243, 60, 5)
    assert (made.effective_cache_size, made.wal_buffers, made.max_connections) == (729, 16, 55)
    assert (made.max_parallel_workers, made.max_parallel_workers_per_gather) == (2, 1)
    assert made.promised == 243 + 16 + 55 * 10 + 120 == 929


def test_tuning_has_ceilings() -> None:
    made = tuning(65536, 16, 100)
    assert (made.work_mem, made.maintenance_work_mem, made.shared_buffers) == (64, 1024, 16384)


def test_a_stated_share_is_the_one_that_is_tuned_for() -> None:
    here = site.single(postgres_memory_mb=1536)
    text = next(file.text for file in POSTGRES.files(here) if file.path.endswith("portcullis.conf"))
    assert "shared_buffers = 384MB" in text


def test_the_major_version_is_debians_unless_one_is_stated() -> None:
    assert postgres.major(site.single()) == 17
    assert postgres.major(site.single(release="12")) == 15
    assert postgres.major(site.single(postgres_version=18)) == 18


def test_a_verifier_lets_the_password_in_and_no_other() -> None:
    made = verifier("litellm", "the password")
    algorithm, iterations, salt, stored, server = re.split(r"[$:]", made)
    assert (algorithm, iterations) == ("SCRAM-SHA-256", "4096")
    # RFC 5802, as the server does it with what a client proves.
    salted = hashlib.pbkdf2_hmac("sha256", b"the password", base64.b64decode(salt), 4096)
    client = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client).digest() == base64.b64decode(stored)
    assert hmac.digest(salted, b"Server Key", "sha256") == base64.b64decode(server)


def test_verifiers_are_the_same_every_time_and_differ_by_role_and_password() -> None:
    made = {verifier(role, password) for role in ("litellm", "health") for password in ("one", "two") for _ in range(2)}
    assert len(made) == 4
    assert len({re.split(r"[$:]", text)[2] for text in made}) == 4, "no two share a salt"


def test_a_role_gets_its_verifier_over_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = site.recorded(POSTGRES, site.single(), monkeypatch)
    roles = [arguments for _, arguments in calls if arguments["name"].startswith("postgres | Role")]
    names = [("litellm", "POSTGRES_PASSWORD"), ("health", "POSTGRES_HEALTH_PASSWORD")]
    assert len(roles) == len(names)
    for arguments, (role, key) in zip(roles, names, strict=True):
        made = verifier(role, site.SECRETS[key])
        assert f"PASSWORD '{made}'" in arguments["secret_stdin"].get_secret_value()
        assert made not in repr(arguments), "pyinfra may show the arguments of an operation"
        assert site.SECRETS[key] not in repr(arguments), "not even the server is told the password"
        assert made not in arguments["test"] + arguments["command"]
        assert hashlib.sha256(made.encode()).hexdigest() in arguments["test"]


def test_the_package_repository_is_used_for_a_stated_version_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def scripts(here: Here) -> str:
        calls = site.recorded(POSTGRES, here, monkeypatch)
        return next(a["script"] for _, a in calls if a["name"] == "postgres | Package repository")

    assert scripts(site.single()).startswith("rm -f /etc/apt/sources.list.d/")
    assert "$VERSION_CODENAME-pgdg" in scripts(site.single(postgres_version=18))


def test_a_word_of_sql_is_a_name_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    here = site.single(postgres_user="order", postgres_database="grant")
    calls = site.recorded(POSTGRES, here, monkeypatch)
    (role,) = [a["secret_stdin"].get_secret_value() for _, a in calls if a["name"] == "postgres | Role order"]
    assert 'CREATE ROLE "order" LOGIN;' in role and 'ALTER ROLE "order" LOGIN' in role
    (rights,) = [a["command"] for _, a in calls if a["name"].startswith("postgres | Only its own roles")]
    assert 'REVOKE ALL ON DATABASE "grant" FROM PUBLIC; GRANT CONNECT ON DATABASE "grant" TO health' in rights
    hba = next(file.text for file in POSTGRES.files(here) if file.path.endswith("pg_hba.conf"))
    assert [line.split()[1:3] for line in hba.splitlines() if line.startswith("host ")][:3] == [
        ['"grant"', '"order"'],
        ['"grant_rehearsal"', '"order"'],
        ['"grant"', '"health"'],
    ]


@pytest.mark.parametrize("name", ["postgres", "health", "all", "replication", "public", "none", "pg_monitor"])
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="has a meaning of its own in PostgreSQL or here; choose another name"):
        site.single(postgres_user=name)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("max_connections = 500", "max_connections is not for these lines; use postgres_max_connections"),
        ("  PORT=5433", "port is not for these lines; use postgres_port"),
        ("work_mem\t'1GB'", "work_mem is not for these lines; use postgres_memory_mb"),
        ("listen_addresses '*'", "listen_addresses is not for these lines; it follows from private_address"),
        ("shared_buffers'8GB'", "the line \"shared_buffers'8GB'\" does not begin with a plain name of a setting"),
        ("include 'more.conf'", "include is not for these lines; what another file sets cannot be checked"),
    ],
)
def test_extra_lines_cannot_undo_the_plan(line: str, instead: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(postgres_extra_config=f"wal_compression = off\n{line}\n# port = 1\n")
    (problem,) = caught.value.problems
    assert problem.startswith(f"gateway.example.org: postgres_extra_config: {instead}")


def test_every_line_of_the_template_is_kept_or_a_matter_of_taste() -> None:
    text = next(f.text for f in POSTGRES.files(site.single()) if f.path.endswith("portcullis.conf"))
    written = set(re.findall(r"^([a-z_]+) = ", text, re.M))
    kept = set(postgres_extra.KEPT)
    assert written - kept == postgres_extra.TASTE and not kept & postgres_extra.TASTE


def test_the_mark_of_a_salt_key_is_keyed_with_it_and_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = site.SECRETS["LITELLM_SALT_KEY"]
    mark = postgres_salt.digest(salt)
    assert mark == hmac.new(salt.encode(), postgres_salt.LABEL, "sha256").hexdigest()
    assert mark != hashlib.sha256(salt.encode()).hexdigest(), "anyone could try values against a plain digest"
    for here in (site.single(), site.home(site.split(), "postgres")):
        calls = site.recorded(POSTGRES, here, monkeypatch)
        (kept,) = [a for _, a in calls if a["name"] == "postgres | Mark of the salt key"]
        assert calls[-1][1] == kept, "the database must be there"
        assert f"grep -qx {mark}" in kept["test"]
        assert kept["command"].index("exit 1") < kept["command"].index("COMMENT ON SCHEMA"), "another mark stops it"
        assert "-d litellm " in kept["command"] and salt not in repr(kept)
