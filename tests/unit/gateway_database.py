"""A stand-in for the gateway's database, as the gateway's host asks it."""

from __future__ import annotations

from typing import Any


class Database:
    """Answers the gateway's questions from a few lists, as psycopg would; remembers what was changed."""

    def __init__(self, finished: list[str], tables: int = 3, rehearsals: list[tuple[str, str]] | None = None) -> None:
        self.finished, self.tables, self.rehearsals = finished, tables, rehearsals
        self.changes: list[str] = []
        self.copies = 1

    def __enter__(self) -> Database:
        return self

    transaction = __enter__

    def __exit__(self, *problem: object) -> None:
        return None

    def execute(self, query: str, values: tuple[str, ...] = ()) -> Database:
        self.rows: list[tuple[Any, ...]] = []
        if "to_regclass('_prisma_migrations')" in query:
            self.rows = [("t" if self.finished else None,)]
        elif "FROM _prisma_migrations" in query:
            self.rows = [(name,) for name in self.finished]
        elif "pg_database" in query and "DROP" not in query:
            self.rows = [(self.copies,)]
        elif "pg_tables" in query:
            self.rows = [(self.tables,)]
        elif "to_regclass('portcullis.rehearsals')" in query:
            self.rows = [(None if self.rehearsals is None else "t",)]
        elif "FROM portcullis.rehearsals WHERE" in query:
            self.rows = [((self.rehearsals or []).count((values[0], values[1])),)]
        else:
            self.changes.append(query % values if values else query)
            if query.startswith("INSERT INTO portcullis.rehearsals"):
                self.rehearsals = [(values[0], values[1])]
        return self

    def fetchone(self) -> tuple[Any, ...]:
        return self.rows[0]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows
