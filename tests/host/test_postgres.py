"""PostgreSQL: reachable by whom it should be, sized as planned, and never with more connections than the plan."""

from __future__ import annotations

from deploys.components import postgres
from deploys.lib.sizing import connections_needed
from tests.host.support import Server


def sql(server: Server, statement: str, database: str = "postgres") -> str:
    """One statement as the superuser; its rows, columns separated by a bar."""
    return server.out(
        f"runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1 -d {database} <<'SQL'\n{statement};\nSQL"
    )


def test_answers_with_the_planned_sizes(postgres_server: Server) -> None:
    here = postgres_server.here
    assert sql(postgres_server, "SHOW max_connections") == str(postgres.max_connections(here))
    assert sql(postgres_server, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert sql(postgres_server, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"


def test_runs_the_planned_major_version(postgres_server: Server) -> None:
    version = int(sql(postgres_server, "SHOW server_version_num")) // 10000
    assert version == postgres.major(postgres_server.here)


def test_connections_stay_within_the_plan(postgres_server: Server) -> None:
    here = postgres_server.here
    pools = {
        member.name: pool.connections for member, pool in zip(here.of("litellm"), postgres.pools(here), strict=True)
    }
    user = postgres_server.here.member.settings["postgres"].user  # type: ignore[attr-defined]
    used = int(sql(postgres_server, f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'"))
    assert 0 < used <= sum(pools.values()), f"{used} connections of {user}; the pools are {pools}"
    needed, written = connections_needed(postgres.pools(here), postgres.reserves(here))
    assert needed <= postgres.max_connections(here), written


def test_has_checksums_and_only_scram_passwords(postgres_server: Server) -> None:
    assert sql(postgres_server, "SHOW data_checksums") == "on"
    other = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'"
    assert sql(postgres_server, other) == "0"


def test_gateways_role_is_no_superuser(postgres_server: Server) -> None:
    user = postgres_server.here.member.settings["postgres"].user  # type: ignore[attr-defined]
    rights = f"SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname IN ('{user}', 'health')"
    assert sql(postgres_server, rights).splitlines() == ["f|f|f", "f|f|f"]


def test_listens_only_where_planned(postgres_server: Server) -> None:
    port = postgres_server.here.member.settings["postgres"].port  # type: ignore[attr-defined]
    found = postgres_server.out(f"ss -Hltn 'sport = :{port}' | awk '{{print $4}}' | sed 's/:[0-9]*$//' | sort -u")
    assert found.split() == sorted(postgres.listen(postgres_server.here))


def test_refuses_a_connection_nobody_planned(postgres_server: Server) -> None:
    """pg_hba.conf rejects the superuser over TCP, before a password is asked for."""
    done = postgres_server.sh(
        "PGPASSWORD=x psql -X -w 'host=127.0.0.1 user=postgres dbname=postgres connect_timeout=5' -c 'SELECT 1'"
    )
    assert done.status != 0
    assert "pg_hba.conf rejects" in done.err


def test_refuses_a_wrong_password(postgres_server: Server) -> None:
    s = postgres_server.here.member.settings["postgres"]
    address = "127.0.0.1" if postgres_server.has("litellm") else None
    if address is None:
        done = postgres_server.sh(f"PGPASSWORD=x psql -X -w 'host=127.0.0.1 user={s.user} dbname={s.database}' -c ''")  # type: ignore[attr-defined]
        assert "pg_hba.conf rejects" in done.err
        return
    done = postgres_server.sh(f"PGPASSWORD=x psql -X -w 'host={address} user={s.user} dbname={s.database}' -c ''")  # type: ignore[attr-defined]
    assert "password authentication failed" in done.err


def test_the_schema_is_complete(postgres_server: Server) -> None:
    database = postgres_server.here.member.settings["postgres"].database  # type: ignore[attr-defined]
    unfinished = 'SELECT count(*) FROM "_prisma_migrations" WHERE finished_at IS NULL AND rolled_back_at IS NULL'
    assert sql(postgres_server, unfinished, database) == "0"
    assert int(sql(postgres_server, 'SELECT count(*) FROM "_prisma_migrations"', database)) > 100
