"""Dumps of a database and what they restore: made, proved and read by `database`, the program beside this file."""

import hashlib
import json
import os
import shutil
import subprocess
import time

SHOW_SECONDS = 2.0
COUNTS = (
    "SELECT format('SELECT %L, count(*) FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' "
    "AND n.nspname <> 'information_schema' ORDER BY 1 \\gexec\n"
)
MARK = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'portcullis'"
HAS = "SELECT to_regclass('public._prisma_migrations') IS NOT NULL"
FINISHED = "SELECT DISTINCT migration_name FROM public._prisma_migrations WHERE finished_at IS NOT NULL ORDER BY 1"


class Refused(Exception):
    """Why nothing was done, in one sentence."""


def say(line):
    print(line, flush=True)


def command(*words):
    # A role's or database's name is an argument of its own; nobody's shell reads it.
    return ["runuser", "-u", "postgres", "--", *words]


def psql(database, sql):
    done = subprocess.run(
        command("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database),
        input=sql + ("" if sql.endswith("\n") else ";\n"),
        capture_output=True,
        text=True,
        cwd="/",
    )
    if done.returncode:
        raise Refused(f"{database}: {last(done.stderr)}")
    return [line for line in done.stdout.splitlines() if line]


def last(text):
    return ([line for line in text.splitlines() if line.strip()] or ["no reason given"])[-1]


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def named(name):
    return '"' + name.replace('"', '""') + '"'


def exists(database):
    return bool(psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = {literal(database)}"))


def copy_name(database):
    """The copy for rehearsals; payload/litellm/database.py and the deploy name it the same way."""
    return f"{database[:50]}_rehearsal"


def mark_of(database):
    """The mark of the salt key the database was encrypted with; empty when it has none."""
    return (psql(database, MARK) or [""])[0]


def migrations(database):
    return psql(database, FINISHED) if psql(database, HAS) == ["t"] else []


def counts(lines):
    return {name: int(number) for name, _, number in (line.rpartition("|") for line in lines)}


def size(database):
    return int(psql("postgres", f"SELECT pg_database_size({literal(database)})")[0])


def need_space(folder, bytes_needed, what):
    free = shutil.disk_usage(folder).free
    if free < bytes_needed:
        raise Refused(f"{what} needs up to {bytes_needed >> 20} MiB in {folder}, and {free >> 20} are free")


def watch(process, line):
    """Wait for a process; from time to time say how far it is. Its last words when it failed."""
    while True:
        try:
            _, errors = process.communicate(timeout=SHOW_SECONDS)
            break
        except subprocess.TimeoutExpired:
            say(line())
    if process.returncode:
        raise Refused(last(errors or ""))


def digest(path):
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()


def settle(path, final):
    """Give a finished file its name: complete on disk first, so that whatever has the name is whole."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    os.rename(path, final)
    folder = os.open(final.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def drop(database):
    psql("postgres", f"DROP DATABASE IF EXISTS {named(database)} WITH (FORCE)")


def owner(database):
    return psql("postgres", f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {literal(database)}")[0]


def load(folder, about, into, role):
    """Restore the dump in ``folder`` as the database ``into``, and refuse it when rows are missing."""
    drop(into)
    psql("postgres", f"CREATE DATABASE {named(into)} OWNER {named(role)} TEMPLATE template0 ENCODING 'UTF8'")
    # What a database's own dump leaves out: who may connect to it.
    psql("postgres", f"REVOKE ALL ON DATABASE {named(into)} FROM PUBLIC")
    whole = max(1, about["size"])
    with open(folder / "database.dump", "rb") as file:
        process = subprocess.Popen(
            command("pg_restore", "--exit-on-error", "-d", into),
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        watch(process, lambda: f"restoring into {into}: {size(into) >> 20} of about {whole >> 20} MiB")
    found = counts(psql(into, COUNTS))
    if found != about["tables"]:
        wrong = sorted(t for t in found.keys() | about["tables"].keys() if found.get(t) != about["tables"].get(t))
        raise Refused(f"the dump restores other rows than the database had, in {', '.join(wrong[:5])}")


def dump(folder, database, verify=True, rehearse=False):
    """Dump ``database`` into ``folder``: rows are counted in the dump's own snapshot, then in what it restores."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    present = size(database)
    data = psql("postgres", "SHOW data_directory")[0]
    # What a restore writes goes through the log as well, which is as large as it may get.
    copy = present + (1 << 30) if present > 1 << 30 else 2 * present + (64 << 20)
    together = verify and os.stat(folder).st_dev == os.stat(data).st_dev
    need_space(folder, present + (copy if together else 0), "the dump" + (" and its copy" if together else ""))
    if verify:
        need_space(data, copy, "the copy that proves the dump")
    part = folder / "database.dump.part"
    (folder / "database.json").unlink(missing_ok=True)
    session = subprocess.Popen(
        command("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    # It waits for as long as the dump takes, which the server would end.
    session.stdin.write("SET idle_in_transaction_session_timeout = 0;\nSET statement_timeout = 0;\n")
    session.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n")
    session.stdin.flush()
    snapshot = session.stdout.readline().strip()
    if not snapshot:
        raise Refused(f"{database}: {last(session.stderr.read())}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        process = subprocess.Popen(
            command("pg_dump", "-Fc", f"--snapshot={snapshot}", "-d", database),
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        watch(process, lambda: f"dumping {database} of {present >> 20} MiB: {part.stat().st_size >> 20} MiB written")
    lines, errors = session.communicate(f"{COUNTS}COMMIT;\n")
    if session.returncode:
        raise Refused(f"{database}: {last(errors)}")
    with open(part, "rb") as file:
        listing = subprocess.run(["pg_restore", "--list"], stdin=file, capture_output=True, text=True)
    if listing.returncode:
        raise Refused(f"the dump cannot be read: {last(listing.stderr)}")
    about = {
        "database": database,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sha256": digest(part),
        "bytes": part.stat().st_size,
        "size": present,
        "server": int(psql("postgres", "SHOW server_version_num")[0]) // 10000,
        "mark": mark_of(database),
        "migrations": migrations(database),
        "tables": counts(lines.splitlines()),
    }
    settle(part, folder / "database.dump")
    if verify:
        say("restoring the dump to prove it")
        try:
            load(folder, about, copy_name(database), owner(database))
        except BaseException:
            drop(copy_name(database))
            raise
        if not rehearse:
            drop(copy_name(database))
    # Last, because a dump counts when it has this file.
    notes = folder / "database.json.part"
    notes.write_text(json.dumps(about, indent=1) + "\n")
    os.chmod(notes, 0o600)
    settle(notes, folder / "database.json")
    rows = sum(about["tables"].values())
    say(f"dumped {database}: {rows} rows in {len(about['tables'])} tables, {about['bytes'] >> 10} KiB in {folder}")
    return about


def read(folder):
    """What is known of the dump in ``folder``; refused when it is not what was written."""
    try:
        about = json.loads((folder / "database.json").read_text())
        found = digest(folder / "database.dump")
    except (OSError, ValueError) as error:
        raise Refused(f"{folder} has no whole dump: {error.__class__.__name__}") from None
    if found != about["sha256"]:
        raise Refused(f"{folder}/database.dump is not what was written: its SHA-256 is another; nothing was restored")
    return about
