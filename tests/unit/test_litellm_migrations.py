"""What a migration does to a database, read from its SQL; and whether an older version can go on beside it."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from deploys.components.litellm import database
from deploys.components.litellm.settings import PAYLOAD, locked_versions
from deploys.lib.settings import SettingsError
from tests.unit import site
from tests.unit.gateway_database import Database


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("migrations", PAYLOAD / "migrations.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


ADDS = """
CREATE TABLE IF NOT EXISTS "A" ("id" TEXT NOT NULL, "n" INTEGER NOT NULL, UNIQUE ("n"));
CREATE TABLE "A" ("id" TEXT, "b" TEXT NOT NULL REFERENCES "B"("id") ON DELETE CASCADE, PRIMARY KEY ("id"));
CREATE TABLE "A" ("t" TEXT NOT NULL DEFAULT ';', "u" TEXT /* and; a comment */);
CREATE INDEX CONCURRENTLY IF NOT EXISTS "i" ON "A" USING GIN ((data->'x') jsonb_path_ops) WHERE data @> '{"r": 1}';
CREATE TABLE "A" ("id" TEXT); CREATE UNIQUE INDEX "i" ON "A"("id")
ALTER TABLE "A" ADD COLUMN IF NOT EXISTS "t" TEXT
ALTER TABLE "A" ADD COLUMN "t" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[], ADD COLUMN "u" JSONB DEFAULT '{"a": [1, 2]}'
CREATE TYPE "S" AS ENUM ('ON', 'OFF')
SELECT 1
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM c WHERE n = f(1)) THEN ALTER TABLE "A" ADD COLUMN "t" TEXT; END IF; END $$
"""
MORE = """
ALTER TABLE "A" ADD COLUMN "t" TEXT NOT NULL
ALTER TABLE "A" ADD COLUMN "t" TEXT UNIQUE
ALTER TABLE "A" ADD COLUMN "t" TEXT REFERENCES "B"("id")
ALTER TABLE "A" ADD COLUMN "t" TEXT, DROP COLUMN "u"
ALTER TABLE "A" ALTER COLUMN "t" DROP NOT NULL
ALTER TABLE "A" ALTER COLUMN "t" SET DATA TYPE BIGINT
ALTER TABLE "A" RENAME COLUMN "t" TO "u"
ALTER TABLE "A" ADD CONSTRAINT "c" UNIQUE ("t")
CREATE UNIQUE INDEX "i" ON "A"("id")
CREATE TABLE "A" ("b" TEXT REFERENCES "B"("id"))
CREATE TABLE "A" ("b" TEXT REFERENCES "B"("id") ON DELETE RESTRICT)
DROP INDEX IF EXISTS "i"
DROP TABLE "A"
UPDATE "A" SET "t" = 'ADD COLUMN'
CREATE OR REPLACE FUNCTION f() RETURNS TRIGGER AS $$ BEGIN SELECT 1; END; $$ LANGUAGE plpgsql
DO $$ BEGIN IF EXISTS (SELECT 1) THEN ALTER TABLE "A" DROP COLUMN "t"; END IF; END $$
DO $$ DECLARE x int; BEGIN SELECT 1; END $$
CREATE INDEX "i" ON "A"("id"); TRUNCATE "A"
CREATE EXTENSION "pg_trgm"
something new
"""


@pytest.mark.parametrize("text", ADDS.strip().splitlines())
def test_what_only_adds(program: ModuleType, text: str) -> None:
    assert program.problem(text) == ""


def test_comments_and_quoted_separators_are_no_end_of_a_statement(program: ModuleType) -> None:
    text = 'CREATE TABLE "A" (\n"t" TEXT DEFAULT \';\', -- no; DROP TABLE "A"\n/* ; DROP */ "u" TEXT\n);\nSELECT 1;'
    assert program.problem(text) == ""
    assert len(program.pieces(text, ";")) == 2


@pytest.mark.parametrize("text", MORE.strip().splitlines())
def test_what_does_more_than_add_or_is_not_understood(program: ModuleType, text: str) -> None:
    assert program.problem(text), text


@pytest.mark.parametrize(
    ("version", "adds", "more"), [("1.105.7", 164, 31), ("1.106.2", 180, 33), ("1.106.12", 180, 33)]
)
def test_every_migration_of_a_locked_release_has_a_verdict(version: str, adds: int, more: int) -> None:
    rows = database.migrations(version)
    assert (sum(not why for why in rows.values()), sum(bool(why) for why in rows.values())) == (adds, more)
    assert list(rows) == sorted(rows)


def test_what_the_pinned_releases_migrations_do_beside_adding() -> None:
    words = Counter(" ".join(why.split()[:2]) for why in database.migrations("1.106.2").values() if why)
    assert words == {"ALTER TABLE": 21, "DROP INDEX": 9, 'UPDATE "LiteLLM_ShadowEvalJob"': 2, "CREATE OR": 1}


def test_every_lock_comes_with_its_migrations() -> None:
    assert len(locked_versions()) > 1, "going up and down needs two"
    for version in locked_versions():
        assert (PAYLOAD / version / "migrations.txt").is_file(), f"{version}: make lock VERSION={version}"


@pytest.mark.parametrize(
    ("finished", "needed", "words"),
    [
        (["1", "2"], False, "no migration that the older version lacks"),
        (["1", "2", "3"], False, "the migration in between only adds"),
        (["1", "2", "3", "4"], False, "the 2 migrations in between only add"),
        (["1", "2", "3", "5"], True, "the migration 5 does more than add: DROP TABLE"),
        (["1", "2", "9"], True, "nothing is known of the database's migration 9"),
    ],
)
def test_whether_going_back_needs_the_dump(program: ModuleType, finished: list[str], needed: bool, words: str) -> None:
    found, why = program.verdict(finished, {"1", "2"}, {"1": "", "2": "", "3": "", "4": "", "5": "DROP TABLE x"})
    assert found is needed and words in why


def test_a_database_without_a_schema_has_no_migrations_and_takes_any_version(program: ModuleType) -> None:
    assert program.finished(Database([])) == [] and program.finished(Database(["1"])) == ["1"]
    assert program.verdict([], {"1"}, {"1": "", "2": "DROP TABLE x"})[0] is False


def test_an_installation_is_asked_for_its_migrations(program: ModuleType, tmp_path: Path) -> None:
    for name in ("2_b", "1_a"):
        path = tmp_path / "venv/lib/python3.11/site-packages/litellm_proxy_extras/migrations" / name / "migration.sql"
        path.parent.mkdir(parents=True)
        path.write_text("SELECT 1;")
    assert list(program.installed(tmp_path)) == list(program.installed(tmp_path / "venv")) == ["1_a", "2_b"]


def said(version: str, have: list[str] | None, together: bool = True) -> str:
    return database.judge(version, together)("" if have is None else json.dumps(have))


def test_an_older_release_is_refused_beside_a_schema_that_does_more_than_add() -> None:
    newer, older = list(database.migrations("1.106.2")), list(database.migrations("1.105.7"))
    assert said("1.105.7", newer).startswith(
        "litellm_version: the database has 18 migrations that 1.105.7 lacks, and "
        "20260923000000_add_mcp_catalog_revision_trigger does more than add to it (CREATE OR REPLACE FUNCTION"
    )
    assert "docs/upgrades.md" in said("1.105.7", newer)
    assert said("1.105.7", [*older, "20261007000100_lens_ingestion_keys"]) == "", "a table more harms nobody"
    assert "it is unknown here" in said("1.105.7", [*older, "20991231000000_x"])
    assert said("1.106.2", [*older, "20200101000000_gone"]) == "", "an upgrade may leave an early one behind"


def test_a_migration_needs_the_databases_host_in_the_run() -> None:
    older, newer = list(database.migrations("1.105.7")), list(database.migrations("1.106.2"))
    assert said("1.106.2", older) == "" and said("1.106.2", newer, together=False) == ""
    assert said("1.106.2", older, together=False) == (
        "litellm_version: 1.106.2 needs 18 migrations, and the host of the database, which dumps it first, is not part "
        "of this run; run without --limit, or name that host too"
    )
    for empty in (None, []):
        assert said("1.106.2", empty, together=False) == "", "nothing is there to be dumped"


def test_a_setting_that_the_release_gone_back_to_lacks_stops_the_run_before_it_begins() -> None:
    assert site.single(litellm_version="1.106.2", litellm_cache_max_messages=20)
    assert site.single(litellm_version="1.105.7")
    with pytest.raises(SettingsError) as caught:
        site.single(litellm_version="1.105.7", litellm_cache_max_messages=20)
    (problem,) = caught.value.problems
    assert problem == (
        "gateway.example.org: litellm_version: 1.105.7 does not read 'max_messages' (litellm_settings.cache_params), "
        "which these settings need; it appears in 1.106.2, not in 1.105.7; choose another version, or leave the "
        "setting at its default"
    )
