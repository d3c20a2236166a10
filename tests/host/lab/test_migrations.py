"""LiteLLM goes up by a release with data in its database, dumped and rehearsed first; and back, with that dump."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploys.components.litellm.database import migrations, program
from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import DEFAULT_VERSION
from deploys.components.postgres_install import as_postgres
from deploys.lib.rewinding import CANNOT
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_killed import KILL
from tests.host.lab.test_refusals import told
from tests.host.support_http import Gateway
from tests.host.support_lab import INVENTORY, SITE, VERIFY, cut_off, run, say, until
from tests.host.support_ledger import ROLLBACK, last_run, runs, state, torn
from tests.host.support_older import CONTENT, IN_THE_WAY, OLD, SPEND, Older, databases, writes_itself
from tests.host.support_watch import differences
from tests.unit.test_postgres_guard import sealed

# The host before it went up: the last run, rows of each table, files; and then the same of after, with a new key.
SEEN: dict[str, Any] = {}


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
    whole = [one["run"] for one in runs(older.server) if one["outcome"] == "done"]
    SEEN.update(older=whole[-1], rows=older.rows, files=state(older.server))
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
    assert about["migrations"] == list(migrations(OLD))
    dumped = {name: about["tables"][f"public.{name}"] for name in SEEN["rows"] if not writes_itself(name)}
    # The spend of the last requests is written some time after them.
    assert dumped.pop("LiteLLM_SpendLogs") >= SEEN["rows"]["LiteLLM_SpendLogs"]
    assert dumped == {name: SEEN["rows"][name] for name in dumped}
    modes = older.server.out(f"stat -c '%a %U' {made} {made.replace('.json', '.dump')} {made.rpartition('/')[0]}")
    assert modes.splitlines() == ["600 root", "600 root", "700 root"]
    second = run(trixie.name)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem


def test_a_deploy_does_not_go_back_over_a_schema_and_says_what_does(trixie: Deployed, older: Older) -> None:
    done = run(trixie.name, SITE, litellm_version=OLD)
    told(done, "nothing was changed", f"the database has 18 migrations that {OLD} lacks", "deploys/rollback.py")
    folder = older.server.out(f"ls -d /opt/litellm/{OLD}-*").split()[-1]
    reversible = program().replace("database.py", "migrations.py")
    asked = f"/opt/litellm/current/venv/bin/python {reversible} reversible /etc/litellm/.env {folder}"
    verdict = json.loads(older.server.out(asked))
    assert verdict["needed"] is True and "add_mcp_catalog_revision_trigger does more than add" in verdict["why"]


def is_as_after(older: Older) -> None:
    """The newer version serves, with what was stored since it came."""
    assert (older.version, older.finished) == (DEFAULT_VERSION, list(migrations(DEFAULT_VERSION)))
    assert older.serves() and older.serves(SEEN["key"])
    assert differences(SEEN["newer files"], state(older.server)) == []


def is_as_before(older: Older) -> None:
    """Keys, spend, credentials and files are those of before it went up; what was stored since is not there."""
    assert (older.version, older.finished) == (OLD, list(migrations(OLD)))
    assert older.sql(CONTENT) == older.content
    now = older.rows
    assert set(now) == set(SEEN["rows"])
    more = {name: now[name] - rows for name, rows in SEEN["rows"].items() if not writes_itself(name)}
    assert more.pop("LiteLLM_SpendLogs") >= 0 and not any(more.values()), more
    assert differences(SEEN["files"], state(older.server)) == []
    assert older.serves() and not older.serves(SEEN["key"])


def test_going_back_over_it_says_first_what_it_takes_and_what_is_lost(trixie: Deployed, older: Older) -> None:
    server = older.server
    SEEN["key"] = older.gateway.new_key(key_alias="since")
    assert older.serves(SEEN["key"])
    until(lambda: int(older.sql(SPEND)) > SEEN["rows"]["LiteLLM_SpendLogs"], 90, "its spend is written")
    SEEN.update({"newer": last_run(server), "newer files": state(server)})
    told(
        run(trixie.name, ROLLBACK, run=SEEN["older"]),
        f"nothing was changed: litellm: {CANNOT}: the migration 20260923000000_add_mcp_catalog_revision_trigger does "
        "more than add: CREATE OR REPLACE FUNCTION",
        f"It needs the dump that run {SEEN['newer']} made (",
        "keys (1). The present database is dumped first",
        f"To go on: .venv/bin/pyinfra -y {INVENTORY} deploys/rollback.py --data run={SEEN['older']} "
        "--data restore_dump=true",
    )
    dry = run(trixie.name, ROLLBACK, "--dry", run=SEEN["older"], restore_dump=True)
    assert dry.status == 0 and f"the dump that run {SEEN['newer']} made (" in dry.log, dry.problem
    is_as_after(older)
    assert older.databases() == {"litellm"}


def test_it_goes_back_with_the_dump_of_before_and_forward_again(trixie: Deployed, older: Older) -> None:
    back = {"run": SEEN["older"], "restore_dump": True}
    done = run(trixie.name, ROLLBACK, **back)
    assert done.status == 0, done.problem
    say(f"      back to {OLD}, with its database, in {done.seconds:.0f} s")
    is_as_before(older)
    went = last_run(older.server)
    assert older.databases() == {"litellm", f"litellm_before_{went}"}
    for _ in range(2):
        again = run(trixie.name, ROLLBACK, **back)
        assert again.status == 0 and again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
        back.pop("restore_dump", None)
    refused = run(trixie.name, ROLLBACK, run=SEEN["newer"])
    told(refused, "the database lacks 18 migrations of it", f"the dump that run {went} made (")
    forward = run(trixie.name, ROLLBACK, run=SEEN["newer"], restore_dump=True)
    assert forward.status == 0, forward.problem
    is_as_after(older)
    assert older.databases() == {"litellm", f"litellm_before_{last_run(older.server)}"}, "one is kept"
    assert torn(older.server) == [] and run(trixie.name, VERIFY).status == 0


def test_with_a_damaged_dump_or_none_nothing_changes(trixie: Deployed, older: Older) -> None:
    server, root = older.server, older.server.here.member.host.backup_root
    for harm, why in (
        ("printf x | dd of=$f/database.dump bs=1 seek=99 conv=notrunc status=none", "its SHA-256 is another; nothing"),
        ("rm -rf $f", "none of the 0 dumps in"),
    ):
        server.out(f"for f in {root}/*/database; do cp -a $f $f.kept; {harm}; done")
        try:
            done = run(trixie.name, ROLLBACK, run=SEEN["older"], restore_dump=True)
        finally:
            server.out(f"for f in {root}/*/database.kept; do rm -rf ${{f%.kept}}; mv $f ${{f%.kept}}; done")
        told(done, "nothing was changed", why)
    is_as_after(older)


def test_when_the_older_version_does_not_serve_everything_is_taken_back(trixie: Deployed, older: Older) -> None:
    server = older.server
    part = server.out(f"ls -d /opt/litellm/{OLD}-*/venv/lib/python3*/site-packages/gunicorn")
    server.out(f"mv {part} {part}.away")
    try:
        done = run(trixie.name, ROLLBACK, run=SEEN["older"], restore_dump=True)
    finally:
        server.out(f"mv {part}.away {part}")
    assert done.status == 1, done.problem
    assert "the data is what it was before, and litellm serves as before" in done.log, done.problem
    is_as_after(older)
    assert older.databases() == {"litellm"} and runs(server)[-1]["outcome"] == "failed" and torn(server) == []


def test_a_way_back_that_is_killed_once_the_dump_is_in_place_is_gone_again(trixie: Deployed, older: Older) -> None:
    server, began = older.server, older.databases()
    moment = "systemctl is-active --quiet portcullis-transact-litellm"
    cut_off(trixie.name, server, moment, KILL, deploy=ROLLBACK, run=SEEN["older"], restore_dump=True)
    server.out(KILL)
    assert older.finished == list(migrations(OLD)) and older.databases() > began
    done = run(trixie.name, ROLLBACK, run=SEEN["older"])
    assert done.status == 0, done.problem
    is_as_before(older)
    assert run(trixie.name, SITE).status == 0, "a deploy goes up again, with the data of before"
    assert older.version == DEFAULT_VERSION and older.serves() and not older.serves(SEEN["key"])
    server.out(as_postgres(server.here, f'DROP DATABASE "{(older.databases() - began).pop()}"'))
