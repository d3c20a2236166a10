"""LiteLLM goes up by a release with data in its database: dumped, rehearsed on a copy, and only then migrated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.database import migrations, program
from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import DEFAULT_VERSION
from deploys.components.postgres_install import as_postgres, copies
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_refusals import told
from tests.host.support import Server
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, run, say, until
from tests.unit.test_postgres_guard import sealed

OLD = "1.105.7"
# Made by a migration in between as one that returns a trigger: PostgreSQL does not change what a function returns.
IN_THE_WAY = (
    "CREATE FUNCTION litellm_bump_mcp_catalog_revision() RETURNS integer LANGUAGE sql AS 'SELECT 1'; "
    "ALTER FUNCTION litellm_bump_mcp_catalog_revision() OWNER TO litellm"
)
# What must be there afterwards, row by row; spend is checked by itself, because the gateway goes on writing it.
CONTENT = (
    "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t)) FROM (SELECT credential_name || credential_values::text AS t "
    'FROM "LiteLLM_CredentialsTable" UNION ALL SELECT model_id || litellm_params::text FROM "LiteLLM_ProxyModelTable" '
    'UNION ALL SELECT token || key_alias FROM "LiteLLM_VerificationToken") AS everything'
)
SPEND = 'SELECT count(*) FROM "LiteLLM_SpendLogs"'


@dataclass(frozen=True)
class Older:
    """The host with an older LiteLLM, and what was stored there by it."""

    server: Server
    gateway: Gateway
    key: str
    content: str
    others: frozenset[str]

    def sql(self, text: str) -> str:
        return self.server.out(as_postgres(self.server.here, text, "litellm"))

    @property
    def finished(self) -> list[str]:
        found: list[str] = json.loads(self.server.out(f"{copies(self.server.here)} migrations litellm"))
        return found

    @property
    def version(self) -> str:
        return self.server.out("readlink /opt/litellm/current").rpartition("/")[2].partition("-")[0]

    def databases(self) -> set[str]:
        """Databases of ours, without those that were there before, of other tests."""
        return databases(self.server) - self.others

    def serves(self) -> bool:
        return self.gateway.chat(SELFTEST, key=self.key).status == 200


def databases(server: Server) -> set[str]:
    names = as_postgres(server.here, "SELECT datname FROM pg_database WHERE datname LIKE 'litellm%'")
    return set(server.out(names).split())


@pytest.fixture(scope="module")
def older(trixie: Deployed) -> Iterator[Older]:
    server = trixie.server
    # The database of the present version cannot be taken back by hand: a new one, for as long as this takes.
    server.out(
        "systemctl stop litellm.service portcullis-health.service; "
        + as_postgres(server.here, "ALTER DATABASE litellm RENAME TO aside")
    )
    others = frozenset(databases(server))
    first = run(trixie.name, SITE, litellm_version=OLD)
    assert first.status == 0, first.problem
    say(f"      {OLD} and an empty database after {first.seconds:.0f} s")
    gateway = Gateway(server)
    credential = {"credential_name": "one", "credential_values": {"api_key": "sk-secret"}, "credential_info": {}}
    assert gateway.ask("/credentials", credential).status == 200
    key = str(gateway.ask("/key/generate", {"key_alias": "keeper"}).json()["key"])
    salt = gateway.settings.salt_key.get_secret_value()
    params = json.dumps({"model": sealed("openai/x", salt), "api_key": sealed("sk-other", salt)})
    made = Older(server, gateway, key, "", others)
    made.sql(
        'INSERT INTO "LiteLLM_ProxyModelTable" (model_id, model_name, litellm_params, model_info, created_by, '
        f"updated_by) VALUES ('m-1', 'stored', '{params}', '{{\"id\": \"m-1\", \"db_model\": true}}', 'test', 'test')"
    )
    for _ in range(3):
        assert made.serves()
    until(lambda: int(made.sql(SPEND)) >= 3, 90, "the spend is written")
    yield Older(server, gateway, key, made.sql(CONTENT), others)
    gateway.delete_key(key)
    server.out(as_postgres(server.here, "DROP DATABASE aside"))


def test_the_older_release_has_its_own_migrations_only(older: Older) -> None:
    """LiteLLM applies whatever lies in its folder of migrations, also what a newer version has left there."""
    assert older.version == OLD and older.finished == list(migrations(OLD))


def test_a_migration_that_fails_does_so_on_a_copy(trixie: Deployed, older: Older) -> None:
    older.sql(IN_THE_WAY)
    pid = older.server.out("systemctl show -p MainPID --value litellm.service")
    done = run(trixie.name, SITE)
    told(
        done,
        "the migration failed on a copy of the database at 20260923000000_add_mcp_catalog_revision_trigger: ERROR: "
        "cannot change return type of existing function; nothing was migrated, and the version in use was left alone",
    )
    assert (older.version, older.finished) == (OLD, list(migrations(OLD)))
    assert older.sql(CONTENT) == older.content and older.serves()
    assert older.server.out("systemctl show -p MainPID --value litellm.service") == pid, "not even restarted"
    assert older.databases() == {"litellm"}, "the copy is gone"
    assert older.server.out("cat /run/portcullis-rehearsal.env 2>/dev/null || true") == "", "and the password with it"
    # Whoever goes on without a rehearsal is stopped by the gateway's own check.
    folder = older.server.out(f"ls -d /opt/litellm/{DEFAULT_VERSION}-*").split()[-1]
    refused = older.server.sh(f"{folder}/venv/bin/python {program()} rehearsed /etc/litellm/.env")
    assert refused.status == 1 and "no copy of it went through them; nothing was migrated" in refused.err
    older.sql("DROP FUNCTION litellm_bump_mcp_catalog_revision()")


@pytest.mark.parametrize("known_by", ["mark and probe", "probe", "what is stored"])
def test_another_salt_key_stops_a_run_and_says_what_would_be_lost(
    trixie: Deployed, older: Older, known_by: str
) -> None:
    mark = older.sql("SELECT obj_description('portcullis'::regnamespace)")
    if known_by != "mark and probe":
        older.sql("COMMENT ON SCHEMA portcullis IS NULL")
    if known_by == "what is stored":
        older.sql("ALTER TABLE portcullis.probe RENAME TO hidden")
    try:
        done = run(trixie.name, SITE, environment={"LITELLM_SALT_KEY": "0123456789abcdef" * 4})
    finally:
        older.sql(f"COMMENT ON SCHEMA portcullis IS '{mark}'")
        older.sql("ALTER TABLE IF EXISTS portcullis.hidden RENAME TO probe")
    told(
        done,
        "nothing was changed",
        "litellm_salt_key: the database was encrypted with another salt key than the one offered; 1 credential and 1 "
        "model stored there would become unreadable",
    )


def test_it_goes_up_by_a_release_with_everything_in_it(trixie: Deployed, older: Older) -> None:
    before, began = older.sql(SPEND), time.time()
    done = run(trixie.name, SITE)
    assert done.status == 0, done.problem
    say(f"      {OLD} to {DEFAULT_VERSION} in {done.seconds:.0f} s")
    assert (older.version, older.finished) == (DEFAULT_VERSION, list(migrations(DEFAULT_VERSION)))
    assert older.sql(CONTENT) == older.content and int(older.sql(SPEND)) >= int(before)
    assert older.serves() and older.databases() == {"litellm"}
    salt = older.gateway.settings.salt_key.get_secret_value()
    stored = older.sql("SELECT credential_values->>'api_key' FROM \"LiteLLM_CredentialsTable\"")
    assert opens(stored, salt) == "sk-secret"
    root = older.server.here.member.host.backup_root
    (made,) = older.server.out(f"find {root}/*/database/database.json -newermt @{int(began)}").split()
    about = json.loads(older.server.out(f"cat {made}"))
    assert about["migrations"] == list(migrations(OLD)) and about["tables"]["public.LiteLLM_CredentialsTable"] == 1
    modes = older.server.out(f"stat -c '%a %U' {made} {made.replace('.json', '.dump')} {made.rpartition('/')[0]}")
    assert modes.splitlines() == ["600 root", "600 root", "700 root"]
    second = run(trixie.name)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, f"changed: {second.changed}"


def test_a_deploy_does_not_go_back_over_a_schema_and_says_what_does(trixie: Deployed, older: Older) -> None:
    done = run(trixie.name, SITE, litellm_version=OLD)
    told(done, "nothing was changed", f"the database has 18 migrations that {OLD} lacks", "deploys/rollback.py")
    folder = older.server.out(f"ls -d /opt/litellm/{OLD}-*").split()[-1]
    reversible = program().replace("database.py", "migrations.py")
    asked = f"/opt/litellm/current/venv/bin/python {reversible} reversible /etc/litellm/.env {folder}"
    verdict = json.loads(older.server.out(asked))
    assert verdict["needed"] is True and "add_mcp_catalog_revision_trigger does more than add" in verdict["why"]


def test_the_dump_of_before_comes_back_and_goes_again(older: Older) -> None:
    server, root = older.server, older.server.here.member.host.backup_root
    folder = server.out(f"ls -dt {root}/*/database").split()[0]
    restore = f"{copies(server.here)} restore"
    unit = LITELLM.unit_on(server.here)
    server.out(
        f"cp -a {folder} /root/torn && printf x | dd of=/root/torn/database.dump bs=1 seek=99 conv=notrunc status=none"
    )
    torn = server.sh(f"{restore} /root/torn litellm /root/keep BROKEN")
    assert torn.status == 2 and "its SHA-256 is another; nothing was restored" in torn.err
    assert older.databases() == {"litellm"}
    server.out(f"systemctl stop {unit}; {restore} {folder} litellm /root/keep BACK", 120)
    assert older.finished == list(migrations(OLD)) and older.sql(CONTENT) == older.content
    assert older.databases() == {"litellm", "litellm_before_BACK"}
    server.out(f"{restore} /root/keep litellm /root/again FORTH; systemctl start {unit}", 120)
    assert older.finished == list(migrations(DEFAULT_VERSION)) and older.sql(CONTENT) == older.content
    assert older.databases() == {"litellm", "litellm_before_FORTH"}, "one is kept"
    until(older.serves, 90, "the gateway serves with it")
    server.out(
        as_postgres(server.here, 'DROP DATABASE "litellm_before_FORTH"') + "; rm -rf /root/torn /root/keep /root/again"
    )
