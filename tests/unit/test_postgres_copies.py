"""Dumps of the database on their host: what counts as one, what is refused, and what a restore does in which order."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploys.lib.render import ROOT

FOLDER = ROOT / "payload" / "postgres"
MARK = "portcullis-salt:" + "a" * 64


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("postgres_database", str(FOLDER / "database"))
    spec = importlib.util.spec_from_loader("postgres_database", loader)
    assert spec
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    return made


def dumped(folder: Path, content: bytes = b"PGDMP", **about: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "database.dump").write_bytes(content)
    known = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "database": "litellm",
        "made": "2026-01-31T00:00:00Z",
        "size": 1,
        "mark": MARK,
        "migrations": ["1"],
        "tables": {"public.a": 2},
    }
    (folder / "database.json").write_text(json.dumps({**known, **about}))
    return folder


@pytest.fixture
def server(program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A server that has the database `litellm`; what it is told, in order."""
    told: list[str] = []

    def psql(database: str, sql: str) -> list[str]:
        told.append(f"{database}: {' '.join(sql.split())}")
        if "shobj_description" in sql:
            return ["litellm_before_older"]
        return ["/data"] if "data_directory" in sql else []

    monkeypatch.setattr(program, "psql", psql)
    monkeypatch.setattr(program, "need_space", lambda folder, needed, what: None)
    monkeypatch.setattr(program, "size", lambda database: 1)
    monkeypatch.setattr(program, "LOCK", lock := tmp_path / "lock")
    lock.write_text('{"run": "RUN"}')
    monkeypatch.setattr(program, "owner", lambda database: "litellm")
    monkeypatch.setattr(program, "mark_of", lambda database: MARK)
    monkeypatch.setattr(program, "load", lambda folder, about, into, role: told.append(f"load {into}"))
    monkeypatch.setattr(program, "dump", lambda folder, database, verify: told.append(f"dump {folder.name}"))
    monkeypatch.setattr(program, "drop", lambda database: told.append(f"drop {database}"))
    return told


def test_a_dump_that_is_not_what_was_written_is_refused(program: ModuleType, server: list[str], tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", dumped(tmp_path / "other", sha256="0" * 64)):
        with pytest.raises(program.Refused, match=r"has no whole dump|its SHA-256 is another; nothing was restored"):
            program.restore(folder, "litellm", tmp_path / "keep", "RUN")
    (dumped(tmp_path / "cut") / "database.json").unlink()
    with pytest.raises(program.Refused, match="has no whole dump: FileNotFoundError"):
        program.read(tmp_path / "cut")
    assert server == []


def test_a_dump_of_another_salt_key_is_refused(program: ModuleType, server: list[str], tmp_path: Path) -> None:
    folder = dumped(tmp_path / "dump", mark="portcullis-salt:" + "b" * 64)
    with pytest.raises(program.Refused, match="is of a database with another salt key; nothing was restored"):
        program.restore(folder, "litellm", tmp_path / "keep", "RUN")
    assert server == []


def test_the_present_database_is_dumped_and_kept_before_it_is_exchanged(
    program: ModuleType, server: list[str], tmp_path: Path
) -> None:
    program.restore(dumped(tmp_path / "dump"), "litellm", tmp_path / "keep", "RUN")
    # What an attempt that was cut off has left goes first: it has the room of this one.
    assert server[:2] == ["drop litellm_restoring", "drop litellm_undone"]
    assert server[3:5] == ["dump keep", "load litellm_restoring"]
    (swap,) = [line for line in server if "RENAME" in line]
    assert swap.index("pg_terminate_backend") < swap.index("BEGIN;") < swap.index("RENAME") < swap.index("COMMIT;")
    assert 'ALTER DATABASE "litellm" RENAME TO "litellm_before_RUN"; ALTER DATABASE "litellm_restoring"' in swap
    assert server.index(swap) > server.index('postgres: GRANT CONNECT ON DATABASE "litellm_restoring" TO health')
    assert server[-1] == "drop litellm_before_older", "one is kept"


@pytest.mark.parametrize("lock", ['{"run": "ANOTHER"}', ""])
def test_a_run_that_is_over_exchanges_nothing(
    program: ModuleType, server: list[str], tmp_path: Path, lock: str
) -> None:
    """Its gateways may have been started again meanwhile, by a deploy or by hand."""
    (tmp_path / "lock").write_text(lock)
    with pytest.raises(
        program.Refused, match="does not hold this host's lock any more; the database was left as it is"
    ):
        program.restore(dumped(tmp_path / "dump"), "litellm", tmp_path / "keep", "RUN")
    assert not [line for line in server if "RENAME" in line]


def test_a_client_that_comes_back_makes_it_try_again(
    program: ModuleType, server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psql, busy = program.psql, [1, 1]

    def first_refusing(database: str, sql: str) -> list[str]:
        if "RENAME" in sql and busy:
            busy.pop()
            raise program.Refused("being accessed by other users")
        found: list[str] = psql(database, sql)
        return found

    monkeypatch.setattr(program, "psql", first_refusing)
    program.restore(dumped(tmp_path / "dump"), "litellm", tmp_path / "keep", "RUN")
    assert not busy and "being accessed" not in " ".join(server)


@pytest.mark.parametrize(
    ("finished", "tables", "status"), [(["1"], "9", 0), (["1", "2"], "9", 1), ([], "0", 1), ([], "4", 0)]
)
def test_what_a_database_lacks(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finished: list[str], tables: str, status: int
) -> None:
    (tmp_path / "list").write_text("1\t\n2\tDROP TABLE x\n")
    monkeypatch.setattr(program, "exists", lambda database: True)
    monkeypatch.setattr(program, "psql", lambda database, sql: [tables])
    monkeypatch.setattr(program, "migrations", lambda database: finished)
    assert program.main("lacks", "litellm", str(tmp_path / "list")) == status
    monkeypatch.setattr(program, "exists", lambda database: False)
    assert program.main("lacks", "litellm", str(tmp_path / "list")) == 1


def test_whether_a_dump_has_other_migrations(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = dumped(tmp_path / "dump")
    for finished, differs in ((["1"], False), (["1", "2"], True)):
        monkeypatch.setattr(program, "migrations", lambda database, finished=finished: finished)
        assert program.main("differs", str(folder), "litellm") is differs


def test_rows_that_are_not_restored_fail_the_proof(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dumps = sys.modules["dumps"]
    folder = dumped(tmp_path / "dump", size=1)
    monkeypatch.setattr(dumps, "psql", lambda database, sql: ["public.a|1"] if "count" in sql else [])
    monkeypatch.setattr(dumps, "command", lambda *words: ["true"])
    about = dumps.read(folder)
    with pytest.raises(dumps.Refused, match=r"restores other rows than the database had, in public\.a$"):
        dumps.load(folder, about, "copy", "litellm")


def test_a_wrong_call_says_how_it_is_called() -> None:
    done = subprocess.run([sys.executable, str(FOLDER / "database"), "restore"], capture_output=True, text=True)
    assert done.returncode == 2 and "database restore DATABASE FOLDER" in done.stderr


def test_what_a_restore_put_away_comes_back_and_is_no_copy_to_be_dropped_any_more(
    program: ModuleType, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.main("undo", "litellm", "RUN") == 0
    (swap,) = [line for line in server if "RENAME" in line]
    assert 'ALTER DATABASE "litellm" RENAME TO "litellm_undone"; ALTER DATABASE "litellm_before_RUN" RENAME TO' in swap
    assert swap.endswith('COMMENT ON DATABASE "litellm" IS NULL; COMMIT;')
    assert server[0] == server[-1] == "drop litellm_undone"
    for there in (True, False):
        monkeypatch.setattr(program, "exists", lambda name, there=there: there and name == "litellm_before_RUN")
        assert program.main("restored", "litellm", "RUN") is not there


WANTED = {"wanted": ["1"], "adds": ["2"], "mark": MARK}


def found(program: ModuleType, root: Path, **other: Any) -> dict[str, Any]:
    made: dict[str, Any] = program.match("litellm", root, {**WANTED, **other})
    return made


def test_the_newest_dump_that_serves_is_found(
    program: ModuleType, server: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serving = {"A": ["1"], "B": ["1", "2"], "C": ["1", "2", "3"], "D": ["2"], ".E.gone": ["1"]}
    for number, (run, migrations) in enumerate(serving.items()):
        dumped(tmp_path / run / "database", migrations=migrations, made=f"2026-01-0{number + 1}T00:00:00Z")
    dumped(tmp_path / "F" / "database", database="other", made="2026-02-01T00:00:00Z")
    (tmp_path / "G" / "database").mkdir(parents=True)
    (tmp_path / "G" / "database" / "database.json").write_text("torn")
    counted = iter(["7", "1"])
    psql = program.psql

    def answering(database: str, sql: str) -> list[str]:
        if "count(*)" in sql:
            assert sql.endswith("> '2026-01-02T00:00:00Z'::timestamp")
            return [next(counted)]
        told: list[str] = psql(database, sql)
        return told

    monkeypatch.setattr(program, "psql", answering)
    assert found(program, tmp_path) == {
        "run": "B",
        "folder": f"{tmp_path}/B/database",
        "made": "2026-01-02T00:00:00Z",
        "rows": 2,
        "lost": {"requests in the spend log": 7, "keys": 1},
    }


def test_a_dump_that_is_missing_damaged_or_of_another_key_is_said_in_a_sentence(
    program: ModuleType, server: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(program.Refused, match=r"none of the 0 dumps in .* has the database as that version"):
        found(program, tmp_path)
    folder = dumped(tmp_path / "A" / "database")
    with pytest.raises(program.Refused, match="is of a database with another salt key than the one that comes back"):
        found(program, tmp_path, mark="portcullis-salt:" + "b" * 64)
    monkeypatch.setattr(program, "mark_of", lambda database: "portcullis-salt:" + "c" * 64)
    with pytest.raises(program.Refused, match="with another salt key than the present one"):
        found(program, tmp_path)
    (folder / "database.dump").write_bytes(b"torn")
    with pytest.raises(program.Refused, match="its SHA-256 is another; nothing was restored"):
        found(program, tmp_path)


def test_what_cannot_be_counted_is_not_said(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "psql", lambda database, sql: [])
    assert program.since("litellm", "2026-01-31T00:00:00Z") == {}
