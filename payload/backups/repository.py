"""What the programs beside this file share: pgBackRest as they ask it, and a cluster that nobody else can reach."""

import json
import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

STATE = Path("/var/lib/portcullis-backups")
SHOW_SECONDS = 2.0
# Of pgBackRest's line about a file: how much of the whole is done.
PERCENT = re.compile(r"\(\S+, ([0-9.]+)%\)")
CODE = re.compile(r"(?:ERROR|WARN): (\[\d+\]: )?")


class Refused(Exception):
    """Why nothing was done, in one sentence."""


def say(line):
    print(line, flush=True)


def now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def reason(output):
    """pgBackRest's own sentence; its hints are lines after it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [CODE.sub("", line[line.index("ERROR:") :]) for line in lines if "ERROR:" in line]
    return (told or lines or ["no reason given"])[0][:300]


def pgbackrest(stanza, *words, show=""):
    """Run pgBackRest; with ``show`` its progress is said under that word. Returns its output."""
    level = "detail" if show else "warn"
    # Files and locks of its own must be the same user's every time.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    base = ["pgbackrest", f"--stanza={stanza}", f"--log-level-console={level}", "--log-level-stderr=off"]
    run = subprocess.Popen([*user, *base, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    lines, shown = [], 0.0
    for line in run.stdout:
        lines.append(line)
        done = PERCENT.search(line)
        if show and done and time.monotonic() - shown > SHOW_SECONDS:
            shown = time.monotonic()
            say(f"{show}: {float(done.group(1)):.0f} %")
    if run.wait():
        raise Refused(reason("".join(lines)))
    return "".join(lines)


def info(stanza):
    """What the repository has of the stanza: its newest entry of databases, and its backups, the oldest first.

    Raises Refused when it cannot be asked.
    """
    output = pgbackrest(stanza, "info", "--output=json", "--io-timeout=10")
    found = json.loads(output[output.index("[") :])
    place = next((one for one in found if one["name"] == stanza), None)
    # 1 is a path that is not there yet, 2 a stanza without backups, 3 one that was begun; others cannot be read.
    if place is None or place["status"]["code"] in (1, 3):
        return None, []
    if place["status"]["code"] not in (0, 2):
        why = next((one["status"]["message"] for one in place["repo"] if one["status"]["code"]), "it does not say why")
        raise Refused(f"the repository cannot be read: {why.splitlines()[0]}")
    return place, place["backup"]


def age_hours(backup):
    return (time.time() - backup["timestamp"]["stop"]) / 3600


def write(path, text):
    """Under its name only when it is whole, and on the disk."""
    part = path.with_name(path.name + ".part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def room(folder, size):
    """Refuse when ``folder`` has no room for a restored database of that size, its log, and what goes on there."""
    needed, free = size + size // 5 + (1 << 30), shutil.disk_usage(folder).free
    if needed > free:
        raise Refused(f"a restore needs {needed >> 20} MiB in {folder}, and {free >> 20} MiB are free")


def archive_get(stanza, data=None):
    """What the server fetches its log with. It takes most failures for the end of the log, so others are made fatal.

    ``data`` is the data folder where it is not that of pgBackRest's own configuration.
    """
    other = f" --pg1-path={data}" if data else ""
    get = f'pgbackrest --stanza={stanza}{other} archive-get %f "%p"'
    return f"{get} || {{ status=$?; [ $status -eq 1 ] && exit 1; exit 126; }}"


def note(name, about, **numbers):
    """Keep what happened as NAME.json, and its numbers as metrics/NAME.prom, for node_exporter's textfile collector."""
    write(STATE / f"{name}.json", json.dumps(about) + "\n")
    path = STATE / "metrics" / f"{name}.prom"
    write(path, "".join(f"portcullis_{name}_{what} {number}\n" for what, number in numbers.items()))
    path.chmod(0o644)


def binaries(major):
    return Path(f"/usr/lib/postgresql/{major}/bin")


def control(major, data):
    """Fields of a data folder's control file; empty when it has none that can be read."""
    command = [str(binaries(major) / "pg_controldata"), "-D", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, cwd="/")
    pairs = (line.partition(":") for line in done.stdout.splitlines()) if not done.returncode else ()
    return {name.strip(): value.strip() for name, _, value in pairs}


def recover(major, data, options, log, socket):
    """Start a restored data folder and wait until it has read its log to the end and answers at ``socket``.

    ``options`` are words of the server's command line, ``socket`` is the words of a client's.
    """
    server = binaries(major) / "postgres"
    with log.open("w") as output:
        run = subprocess.Popen([str(server), "-D", str(data), *options], stdout=output, stderr=output, cwd="/")
    shown, asks = 0.0, [str(binaries(major) / "pg_isready"), "-q", *socket]
    # It says that it is in production a moment before it lets anybody in.
    while control(major, data).get("Database cluster state") != "in production" or subprocess.run(asks).returncode:
        if run.poll() is not None:
            raise Refused(f"the restored database does not start: {why(log)}")
        if time.monotonic() - shown > SHOW_SECONDS:
            shown = time.monotonic()
            say(f"reading the log: at {position(run.pid)}")
        time.sleep(0.2)
    return run


def why(log):
    """The server's last word: what was fatal, or else wrong."""
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if re.search(r"\b(FATAL|PANIC|ERROR):", line)]
    return (told or lines or ["it says nothing"])[-1][:300]


def position(pid):
    """The piece of log that is being read, as the server's title of its process says it."""
    done = subprocess.run(["ps", "-o", "args=", "--ppid", str(pid)], capture_output=True, text=True)
    found = re.search(r"recovering ([0-9A-F]{24})", done.stdout)
    return found.group(1) if found else "the beginning"


def end(run):
    """Stop a server that ``recover`` has started, its data written."""
    run.send_signal(2)  # SIGINT: a fast shutdown, which archives what is left
    try:
        run.wait(600)
    except subprocess.TimeoutExpired:
        run.send_signal(3)  # SIGQUIT: at once
        run.wait(60)
        raise Refused("the restored database did not stop in 600 s; does its log reach the repository?") from None


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
