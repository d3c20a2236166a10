#!/opt/litellm/current/venv/bin/python
"""Whether an older LiteLLM can go on with a database that a newer one has migrated: what its migrations did to it.

migrations.py reversible ENVIRONMENT OLD_FOLDER [MORE...]   print {"needed": ..., "why": ...}: whether a dump must be
                                                    restored; what migrations do is read in the folders MORE too
migrations.py list [FOLDER]                        every migration of an installation, and why it is not additive

An older version serves beside what was only added: tables, plain indexes, columns that may be left out. Whatever is
not understood counts as more than that. Run by the Python of the newer installation, which has the migrations' text.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# One piece of SQL: comment, dollar-quoted text, string, quoted name, or any other character.
PIECE = re.compile(
    r"--[^\n]*|/\*.*?\*/|(?P<dollar>\$\w*\$).*?(?P=dollar)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|.", re.DOTALL
)
NAME = r'(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?'
TABLE = re.compile(rf"CREATE TABLE (?:IF NOT EXISTS )?({NAME}) ?\((.*)\)$", re.IGNORECASE | re.DOTALL)
INDEX = re.compile(
    rf"CREATE (UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?{NAME} ON (?:ONLY )?({NAME})(?=[ (])", re.IGNORECASE
)
ALTER = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?({NAME}) (.*)$", re.IGNORECASE | re.DOTALL)
COLUMN = re.compile(rf"ADD (?:COLUMN )?(?:IF NOT EXISTS )?(?!CONSTRAINT\b){NAME} (.*)$", re.IGNORECASE | re.DOTALL)
# Without a word about deletes, a row of a new table forbids the older version to delete the one it refers to.
LOOSE = re.compile(r"ON DELETE (?:CASCADE|SET NULL)", re.IGNORECASE)
NOTHING = re.compile(r"(?:BEGIN|COMMIT|SELECT 1|CREATE TYPE \S+ AS ENUM ?\(.*\))$", re.IGNORECASE | re.DOTALL)
BLOCK = re.compile(r"DO (\$\w*\$)(.*)\1$", re.IGNORECASE | re.DOTALL)
# What frames the statements of an anonymous block: asks only, or lets what is there already be.
FRAME = re.compile(r"(?:BEGIN|END IF|END|EXCEPTION WHEN duplicate_object THEN (?:NULL|null))$", re.IGNORECASE)
CONDITION = re.compile(r"IF (?:NOT )?EXISTS ?\(", re.IGNORECASE)


def pieces(text: str, separator: str) -> list[str]:
    """``text`` cut at each ``separator`` outside quotes and parentheses; comments dropped, spaces made one."""
    parts, part, depth = [], "", 0
    for match in PIECE.finditer(text):
        piece = match.group()
        if piece.startswith(("--", "/*")):
            piece = " "
        depth += (piece == "(") - (piece == ")")
        if piece == separator and depth <= 0:
            parts.append(part)
            part = ""
        else:
            part += " " if piece.isspace() else piece
    return [cleaned for one in (*parts, part) if (cleaned := re.sub(r" +", " ", one).strip())]


def without_conditions(body: str) -> str:
    """The text of a block with every ``IF [NOT] EXISTS (...) THEN`` taken out, and its BEGIN made a statement."""
    while found := CONDITION.search(body):
        depth, end = 1, found.end()
        while depth and end < len(body):
            depth += (body[end] == "(") - (body[end] == ")")
            end += 1
        then = re.match(r"\s*THEN\b", body[end:], re.IGNORECASE)
        if not then:
            return body
        body = body[: found.start()] + body[end + then.end() :]
    return re.sub(r"^\s*BEGIN\b", "BEGIN;", body, flags=re.IGNORECASE)


def plain(table: str) -> str:
    return table.rpartition(".")[2].strip('"')


def column_problem(definition: str) -> bool:
    """Whether a new column could refuse the rows of a version that does not know it."""
    words = re.sub(r"'(?:[^']|'')*'", "''", definition).upper()
    strict = "NOT NULL" in words and "DEFAULT" not in words
    return strict or bool(re.search(r"\b(UNIQUE|PRIMARY KEY|REFERENCES|CHECK|GENERATED|EXCLUDE|SERIAL)\b", words))


def statement_problem(statement: str, new: set[str]) -> str:
    """Why a statement does more than add; ``new`` are tables made by the same migration, and is added to."""
    short = statement if len(statement) <= 70 else statement[:67].rstrip() + "..."
    if NOTHING.match(statement):
        return ""
    if found := BLOCK.match(statement):
        inner = pieces(without_conditions(found.group(2)), ";")
        return next((why for one in inner if not FRAME.match(one) and (why := statement_problem(one, new))), "")
    if found := TABLE.match(statement):
        clauses = pieces(found.group(2), ",")
        new.add(plain(found.group(1)))
        return short if any("REFERENCES" in one.upper() and not LOOSE.search(one) for one in clauses) else ""
    if found := INDEX.match(statement):
        return short if found.group(1) and plain(found.group(2)) not in new else ""
    if found := ALTER.match(statement):
        if plain(found.group(1)) in new:
            return short if "REFERENCES" in statement.upper() and not LOOSE.search(statement) else ""
        actions = [COLUMN.match(action) for action in pieces(found.group(2), ",")]
        return short if any(one is None or column_problem(one.group(1)) for one in actions) else ""
    return short


def problem(text: str) -> str:
    """Why a migration does more than add to the database, in its own words; empty when it only adds."""
    new: set[str] = set()
    return next((why for one in pieces(text, ";") if (why := statement_problem(one, new))), "")


def installed(folder: Path) -> dict[str, Path]:
    """The migrations of an installation (``folder`` holds its venv, or is one), by name, oldest first."""
    found = [path for lib in ("venv/lib", "lib") for path in folder.glob(f"{lib}/python3*/site-packages")]
    files = [file for site in found for file in site.glob("litellm_proxy_extras/migrations/*/migration.sql")]
    return {file.parent.name: file for file in sorted(files, key=lambda file: file.parent.name)}


def verdict(finished: list[str], older: set[str], newer: dict[str, str]) -> tuple[bool, str]:
    """Whether going back to a version with the migrations ``older`` needs a restore, and why.

    ``finished`` is what the database has, and ``newer`` why each migration of the newer version is not additive.
    """
    extra = [name for name in finished if name not in older]
    if not extra:
        return False, "the database has no migration that the older version lacks"
    for name in extra:
        if name not in newer:
            return True, f"nothing is known of the database's migration {name}"
        if newer[name]:
            return True, f"the migration {name} does more than add: {newer[name]}"
    some = f"{len(extra)} migrations in between only add" if len(extra) > 1 else "the migration in between only adds"
    return False, f"the {some.removeprefix('the ')} tables, indexes, and columns that may be left out"


def finished(connection: Any) -> list[str]:
    """Names of the migrations the database has finished, oldest first; none for a database without a schema."""
    if connection.execute("SELECT to_regclass('_prisma_migrations')").fetchone()[0] is None:
        return []
    query = "SELECT DISTINCT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY 1"
    return [name for (name,) in connection.execute(query).fetchall()]


def finished_there(environment: Path) -> list[str]:
    """The same of the gateway's own database."""
    import psycopg

    line = next(line for line in environment.read_text().splitlines() if line.startswith("DATABASE_URL="))
    url = re.sub(r"\\(.)", r"\1", line.partition("=")[2][1:-1])
    with psycopg.connect(url, connect_timeout=10) as connection:
        return finished(connection)


def main() -> int:
    word, *arguments = sys.argv[1:] or [""]
    if word == "reversible" and len(arguments) >= 2:
        # The version in use may be the older one already; what came later is known where it was installed.
        folders = [Path(sys.prefix), *map(Path, arguments[2:])]
        newer = {name: problem(path.read_text()) for one in folders for name, path in installed(one).items()}
        older = set(installed(Path(arguments[1])))
        try:
            if not older:
                raise FileNotFoundError(f"there are no migrations in {arguments[1]}")
            needed, why = verdict(finished_there(Path(arguments[0])), older, newer)
        except Exception as error:  # a traceback of psycopg may have the database's URL in it
            print(f"portcullis: whether a restore is needed cannot be told: {type(error).__name__}", file=sys.stderr)
            return 1
        print(json.dumps({"needed": needed, "why": why}))
        return 0
    if word == "list" and len(arguments) <= 1:
        for name, path in installed(Path(arguments[0] if arguments else sys.prefix)).items():
            print(f"{name}\t{problem(path.read_text())}")
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
