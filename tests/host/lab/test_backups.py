"""Backups on a host of their own: made, tried, restored to a moment; and the lost host that comes back from them."""

from __future__ import annotations

import json
import time

import docker
import pytest

from deploys.components.backups_files import as_postgres
from deploys.components.backups_site import STATE, program
from deploys.components.litellm.component import ENVIRONMENT
from deploys.components.litellm.config import SELFTEST
from deploys.components.postgres_install import as_postgres as sql
from deploys.lib.ledger import there
from tests.host.lab.conftest import Deployed, suite
from tests.host.lab.test_refusals import told
from tests.host.support import Server
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, VERIFY, cut_off, hosts_of, run, say, until
from tests.lab.lab import Lab

BACKUP, LIST, REBUILD = "deploys/backup.py", "deploys/backups.py", "deploys/rebuild.py"
REPOSITORY = "/var/lib/pgbackrest"
SPEND = 'SELECT count(*) FROM "LiteLLM_SpendLogs"'
NAMES = (
    "SELECT string_agg(key_alias, ',' ORDER BY key_alias) FROM \"LiteLLM_VerificationToken\" WHERE key_alias LIKE 'b-%'"
)


def gateway_of(site: Deployed) -> Server:
    return next(server for server in site.servers if server.has("litellm"))


def keeper_of(site: Deployed) -> Server:
    return next(server for server in site.servers if not server.has("litellm"))


def ask(server: Server, query: str) -> str:
    return server.out(sql(server.here, query, "litellm"))


def listed(site: Deployed) -> list[dict[str, object]]:
    found = json.loads(keeper_of(site).out(as_postgres(program("backup"), "list", "gateway")))
    backups: list[dict[str, object]] = found["backups"]
    return backups


def in_the_repository(server: Server) -> None:
    """Everything that is written now; it would be there after backups_archive_timeout_seconds by itself."""
    piece = ask(server, "SELECT pg_walfile_name(pg_switch_wal())")
    last = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"
    until(lambda: ask(server, last) >= piece, 60, "the log is in the repository")


def test_everything_asked_of_any_inventory_holds_with_a_backup_host(pair: Deployed) -> None:
    suite(pair.name)


def test_the_second_run_changes_nothing(pair: Deployed) -> None:
    second = run(pair.name)
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem


def test_a_backup_is_made_tried_and_listed_with_the_configuration_beside_it(pair: Deployed) -> None:
    server, keeper, before = gateway_of(pair), keeper_of(pair), listed(pair)
    done = run(pair.name, BACKUP)
    assert done.status == 0, done.problem
    after = listed(pair)
    assert len(after) == len(before) + 1 and after[-1]["kind"] == "diff"
    shown = run(pair.name, LIST)
    assert str(after[-1]["label"]) in shown.log and "the last trial of a restore: " in shown.log
    # As docs/backups.md opens the configuration; the salt key is in it.
    passphrase, salt = server.stored["BACKUPS_CONFIGURATION_PASSPHRASE"], server.stored["LITELLM_SALT_KEY"]
    folder = f"{REPOSITORY}/config/gateway/{server.name}"
    key = f"printf %s {server.name} | openssl dgst -sha256 -hmac '{passphrase}' -r | cut -c 1-64"
    opened = f"openssl enc -d -aes-256-cbc -pbkdf2 -pass env:pass -in {folder}/$(ls -t {folder} | head -n 1)"
    assert int(keeper.out(f"export pass=$({key}); {opened} | tar -xOf - | grep -ac '{salt}'")) >= 1
    assert keeper.sh(f"grep -rlaF '{salt}' {REPOSITORY}").out == ""
    assert passphrase not in done.log and salt not in done.log
    # A backup is nothing to go back over: the ledger does not count it.
    assert "backup" not in [entry["kind"] for entry in json.loads(server.out(_ledger(server)))]


def _ledger(server: Server) -> str:
    return f"{there()}; $ledger list {server.here.member.host.backup_root}"


def test_the_database_goes_back_to_a_moment_and_the_gateway_with_it(pair: Deployed) -> None:
    server = gateway_of(pair)
    gateway = Gateway(server)
    assert gateway.ask("/key/generate", {"key_alias": "b-before"}).status == 200
    time.sleep(1.5)
    moment = ask(server, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
    time.sleep(1.5)
    assert gateway.ask("/key/generate", {"key_alias": "b-after"}).status == 200
    # A later transaction, so that the moment is known to be behind; and the mistake that is to be undone.
    ask(server, 'DROP TABLE "LiteLLM_SpendLogs" CASCADE')
    in_the_repository(server)
    refused = run(pair.name, SITE, restore=moment)
    told(refused, "restore: the host has a database already (litellm). To put it aside and restore in its place")
    done = run(pair.name, SITE, restore=moment, restore_over="replace")
    assert done.status == 0, done.problem
    say(f"      back at {moment} after {done.seconds:.0f} s")
    assert ask(server, NAMES) == "b-before"
    assert int(ask(server, SPEND)) >= 0, "the dropped table is there again"
    assert Gateway(server).chat(SELFTEST).status == 200
    assert run(pair.name, VERIFY).status == 0
    aside = server.out("ls -d /var/lib/postgresql/*/main.before-*").split()
    assert len(aside) == 1, "what was there lies beside it"
    assert listed(pair)[-1]["kind"] == "full", "the backups before it lead to what was undone"
    # What came after the restore can be restored as well: the log goes on in the repository.
    assert gateway.ask("/key/generate", {"key_alias": "b-later"}).status == 200
    in_the_repository(server)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("2020-01-01 00:00:00+00", "there is no backup from before 2020-01-01 00:00:00+00; the oldest ended at"),
        ("20200101-000000F", "there is no backup 20200101-000000F; the newest is"),
        ("2199-01-01 00:00:00+00", "2199-01-01 00:00:00+00 is in the future"),
    ],
)
def test_what_cannot_be_restored_leaves_the_database_as_it_is(pair: Deployed, target: str, words: str) -> None:
    server = gateway_of(pair)
    pid = server.out("head -n 1 /var/lib/postgresql/*/main/postmaster.pid")
    done = run(pair.name, SITE, restore=target, restore_over="replace")
    assert done.status != 0 and words in done.log, done.problem
    assert server.out("head -n 1 /var/lib/postgresql/*/main/postmaster.pid") == pid, "it was not even restarted"
    assert Gateway(server).chat(SELFTEST).status == 200


def test_a_repository_that_is_away_is_said_and_the_gateway_goes_on(pair: Deployed) -> None:
    server, keeper = gateway_of(pair), keeper_of(pair)
    keeper.out("systemctl stop portcullis-pgbackrest.service")
    try:
        pid = server.out("head -n 1 /var/lib/postgresql/*/main/postmaster.pid")
        done = run(pair.name, SITE, restore="latest", restore_over="replace")
        assert done.status != 0 and "the repository cannot be read: " in done.log, done.problem
        assert server.out("head -n 1 /var/lib/postgresql/*/main/postmaster.pid") == pid
        assert Gateway(server).chat(SELFTEST).status == 200
        ask(server, "SELECT pg_switch_wal()")
        failing = "SELECT failed_count > 0 FROM pg_stat_archiver"
        until(lambda: ask(server, failing) == "t", 60, "the database notices")
        wrong = run(pair.name, VERIFY, "--limit", server.name)
        assert wrong.status != 0 and "backups archives its log" in wrong.log, wrong.problem
    finally:
        keeper.out("systemctl start portcullis-pgbackrest.service")
    in_the_repository(server)


def test_a_restore_that_is_cut_off_is_begun_anew_and_nothing_else_is(pair: Deployed) -> None:
    server = gateway_of(pair)
    names = ask(server, NAMES)
    in_the_repository(server)
    # What says where a database's log begins is restored last.
    half = "cd /var/lib/postgresql/17 && [ -e main.restoring ] && [ -d main/base ] && [ ! -e main/global/pg_control ]"
    kill = "systemctl kill -s KILL portcullis-step-postgres-restore.service; pkill -KILL pgbackrest; true"
    again = {"restore": "latest", "restore_over": "replace"}
    assert "Restore latest" in cut_off(pair.name, server, half, kill, **again)
    told(run(pair.name), "an earlier restore was cut off and the database is in the middle of it")
    aside = server.out("ls -d /var/lib/postgresql/*/main.before-*").split()
    # Also by whoever forgets that it was to replace something: what was there is kept all the same.
    done = run(pair.name, SITE, restore="latest")
    assert done.status == 0, done.problem
    kept = server.out("ls -d /var/lib/postgresql/*/main.before-*").split()
    assert len(kept) == 1 and kept[0] in aside
    assert ask(server, NAMES) == names and Gateway(server).chat(SELFTEST).status == 200


def test_a_full_disk_of_backups_is_said_and_takes_nothing_along(pair: Deployed) -> None:
    keeper, before = keeper_of(pair), listed(pair)
    keeper.out(
        f"cp -a {REPOSITORY} /root/whole && size=$(($(du -sm /root/whole | cut -f 1) + 1)) && "
        f"mount -t tmpfs -o size=${{size}}m,mode=750,uid=$(id -u postgres),gid=$(id -g postgres) tmpfs {REPOSITORY} && "
        f"cp -a /root/whole/. {REPOSITORY}/ && dd if=/dev/zero of={REPOSITORY}/filler bs=64k 2>/dev/null; true"
    )
    try:
        done = run(pair.name, BACKUP)
        assert done.status != 0 and "No space left on device" in done.log, done.problem
        assert listed(pair) == before
        assert Gateway(gateway_of(pair)).chat(SELFTEST).status == 200
    finally:
        keeper.out(f"umount {REPOSITORY} && rm -rf /root/whole")


def test_a_damaged_backup_is_found_by_its_trial(pair: Deployed) -> None:
    server, keeper = gateway_of(pair), keeper_of(pair)
    label = str(listed(pair)[-1]["label"])
    bundle = keeper.out(f"find {REPOSITORY}/backup/gateway/{label[:16]} -path '*/bundle/*' -size +100k | head -n 1")
    keeper.out(f"cp -a {bundle} /root/good; printf broken | dd of={bundle} bs=1 seek=65536 conv=notrunc 2>/dev/null")
    try:
        trial = server.sh("systemctl start portcullis-restore-drill.service", 300)
        assert trial.status != 0
        assert json.loads(server.out(f"cat {STATE}/drill.json"))["problem"]
        assert "portcullis_drill_success 0" in server.out(f"cat {STATE}/metrics/drill.prom")
        wrong = run(pair.name, VERIFY)
        assert wrong.status != 0 and "has a backup that was restored for trial" in wrong.log
    finally:
        keeper.out(f"cp -a /root/good {bundle}")
    server.out("systemctl start portcullis-restore-drill.service", 300)
    assert run(pair.name, VERIFY).status == 0
    assert server.out("ls -d /var/lib/postgresql/*/portcullis-drill 2>/dev/null || true") == "", "nothing is left of it"


def test_a_lost_host_comes_back_with_everything_and_its_keys_still_work(pair: Deployed) -> None:
    server = gateway_of(pair)
    gateway = Gateway(server)
    key = str(gateway.ask("/key/generate", {"key_alias": "b-lost"}).json()["key"])
    credential = {"credential_name": "lost", "credential_values": {"api_key": "sk-secret"}, "credential_info": {}}
    assert gateway.ask("/credentials", credential).status == 200
    before = int(ask(server, SPEND))
    assert [gateway.chat(SELFTEST, key=key).status for _ in range(3)] == [200] * 3
    until(lambda: int(ask(server, SPEND)) >= before + 3, 90, "the spend is written")
    content = "SELECT md5(string_agg(token || spend::text, ',' ORDER BY token)) FROM \"LiteLLM_VerificationToken\""
    stored = "SELECT credential_values::text FROM \"LiteLLM_CredentialsTable\" WHERE credential_name = 'lost'"
    written = [ask(server, query) for query in (SPEND, content, stored, NAMES)]
    environment = server.out(f"grep -v '^#' {ENVIRONMENT}")
    timeline = "SELECT timeline_id FROM pg_control_checkpoint()"
    line = int(ask(server, timeline))
    in_the_repository(server)

    docker.from_env().containers.get(server.name).remove(force=True)
    Lab(pair.name).up("pair")
    # Whoever takes a plain deploy is stopped before the gateway, which would go on with an empty database.
    empty = run(pair.name)
    assert empty.status != 0 and "the repository has backups of another database as gateway" in empty.log
    docker.from_env().containers.get(server.name).remove(force=True)
    Lab(pair.name).up("pair")
    # With another salt key nothing is restored; the backup itself says that it is another's.
    wrong = run(pair.name, REBUILD, environment={"LITELLM_SALT_KEY": "another-salt-key-of-32-characters-xyz"})
    assert wrong.status != 0 and "the backup is of a database that was encrypted with another salt key" in wrong.log
    began = time.monotonic()
    done = run(pair.name, REBUILD)
    assert done.status == 0, done.problem
    say(f"      a lost host serves again after {time.monotonic() - began:.0f} s")
    server = next(one for one in hosts_of(pair.name) if one.has("litellm"))
    spend, *rest = [ask(server, query) for query in (SPEND, content, stored, NAMES)]
    assert rest == written[1:] and int(spend) >= int(written[0])  # timers ask on between the question and the loss
    assert server.out(f"grep -v '^#' {ENVIRONMENT}") == environment
    gateway = Gateway(server)
    assert gateway.chat(SELFTEST, key=key).status == 200, "a key that was issued before the loss"
    again = run(pair.name, REBUILD)
    assert again.status == 0, again.problem
    assert again.totals["no_change"] == again.totals["hosts"] > 0, again.problem
    assert run(pair.name, VERIFY).status == 0
    assert int(ask(server, timeline)) > line, "the log goes on where it ended"
