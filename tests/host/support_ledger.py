"""A host's state to the last byte, and its ledger as a test reads it."""

from __future__ import annotations

import json
import time
from typing import Any

from deploys.lib.ledger import there
from tests.host.support import Server
from tests.host.support_lab import SITE, Running, say

ROLLBACK, HISTORY = "deploys/rollback.py", "deploys/history.py"

# Everything that any run has ever put on the host, with modes, owners and bytes; the units of it; the versions that
# serve. It takes the names from the ledger and looks for itself.
STATE = """
import glob, hashlib, json, os, subprocess, sys
paths, units = set(), set()
for bundle in glob.glob(sys.argv[1] + "/*/components/*"):
    if bundle.endswith(".part"):
        continue
    for line in open(bundle + "/files.tsv"):
        path = line.split("\\t")[5]
        paths.add(path)
        if path.startswith("/etc/systemd/system/") and path.count("/") == 4:
            units.add(path.rpartition("/")[2])
    for line in open(bundle + "/plan"):
        name, _, value = line.strip().partition("=")
        if name in ("unit", "extra_units"):
            units.update(value.strip("'").split())
found = {}
for path in sorted(paths):
    if os.path.islink(path):
        found[path] = "link " + os.readlink(path)
    elif os.path.isfile(path):
        stat = os.lstat(path)
        whole = hashlib.sha256(open(path, "rb").read()).hexdigest()
        found[path] = f"{whole} {stat.st_mode:o} {stat.st_uid} {stat.st_gid}"
    else:
        found[path] = "absent"
for unit in sorted(unit for unit in units if not unit.endswith(("-check.service", "-migrate.service"))):
    ask = lambda word: subprocess.run(["systemctl", word, unit], capture_output=True, text=True).stdout.strip()
    # A oneshot that a timer starts is at work or not, as it happens.
    active = "" if ask("is-enabled") == "static" else ask("is-active")
    found[unit] = f"{ask('is-enabled')} {active}"
print(json.dumps(found))
"""


def state(server: Server) -> dict[str, str]:
    """Every managed path to the byte, every unit, as they are now."""
    root = server.here.member.host.backup_root
    done = server.sh(f"python3 - {root} <<'END'\n{STATE}\nEND")
    assert done.status == 0, done.err
    found: dict[str, str] = json.loads(done.out)
    return found


def runs(server: Server) -> list[dict[str, Any]]:
    """The ledger, read by its own program."""
    root = server.here.member.host.backup_root
    found: list[dict[str, Any]] = json.loads(server.out(f"{there()}; $ledger list {root}"))
    return found


def last_run(server: Server) -> str:
    """The last one that can be gone back to: one that failed put back what it had begun."""
    return str([entry["run"] for entry in runs(server) if entry["outcome"] == "done"][-1])


def torn(server: Server) -> list[str]:
    """What is wrong with the ledger: an entry that says it is done and is not whole, or one nobody can read."""
    root = server.here.member.host.backup_root
    known = runs(server)
    wrong = [f"{entry['run']}: {entry['damage']}" for entry in known if entry["damage"]]
    seen = {entry["run"] for entry in known}
    for name in server.out(f"ls {root}").split():
        if name not in seen and server.sh(f"[ -s {root}/{name}/run.json ]").status == 0:
            wrong.append(f"{name}: its run.json cannot be read")
    dangling = server.out("find /var/lib/portcullis/served -xtype l")
    return [*wrong, *dangling.split()]


def killed_after(lab: str, number: int, deploy: str = SITE, **data: object) -> str:
    """Run until operation ``number`` has ended and the next has begun, and kill it; its name, or empty at the end."""
    going = Running(lab, deploy, **data)  # type: ignore[arg-type]
    limit = time.monotonic() + 600
    while going.alive():
        assert time.monotonic() < limit, going.log[-2000:]
        if going.log.count("--> Starting ") > number:
            name = going.operation
            going.kill()
            return name
        time.sleep(0.02)
    done = going.finish()
    assert done.status == 0, done.problem
    say(f"      the run has {number} operations")
    return ""
