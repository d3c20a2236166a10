"""What a run did to a host: pictures before and after, and questions asked all the while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from tests.host.support import Server
from tests.host.support_lab import run, say

# Content, mode and owner of everything under /etc and /usr/local; of /opt the names, sizes and times, which is enough
# to notice any write and does not read gigabytes. Without what says which run made a file: a file that was changed and
# changed back was made by a later one.
PICTURE = """
import hashlib, json, os
picture = {}
for top in ("/etc", "/usr/local", "/opt"):
    for folder, names, files in os.walk(top):
        if folder == "/usr/local/lib/portcullis/version":
            continue
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            try:
                stat = os.lstat(path)
                text = f"{stat.st_mode:o} {stat.st_uid} {stat.st_gid}"
                if os.path.islink(path):
                    text += os.readlink(path)
                elif os.path.isfile(path):
                    lines = [] if top == "/opt" else open(path, "rb").readlines()
                    kept = b"".join(line for line in lines if not line.startswith(b"# Portcullis revision "))
                    text += f"{stat.st_size} {stat.st_mtime_ns}" if top == "/opt" else hashlib.sha256(kept).hexdigest()
            except OSError as error:
                text = str(error)
            key = "/".join(path.split("/")[:4]) if top == "/opt" else path
            picture[key] = hashlib.sha256((picture.get(key, "") + path + text).encode()).hexdigest()
print(json.dumps(picture))
"""


def picture(server: Server) -> dict[str, str]:
    """A digest for every file under the folders we manage, and the processes of every service."""
    done = server.python(PICTURE)
    assert done.status == 0, done.err
    found: dict[str, str] = json.loads(done.out)
    return found | {unit: str(state) for unit, state in services(server).items()}


def files_only(whole: Mapping[str, str]) -> dict[str, str]:
    """A picture without the processes."""
    return {name: digest for name, digest in whole.items() if name.startswith("/")}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not the same in two pictures."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def services(server: Server) -> dict[str, dict[str, str]]:
    """Main process, number of restarts and invocation of every service of ours that the host should have."""
    units = [unit for component in server.components if (unit := component.unit_on(server.here))]
    shown = {}
    for unit in units:
        lines = server.out(f"systemctl show -p MainPID -p NRestarts -p InvocationID -p ActiveState {unit}").splitlines()
        shown[unit] = dict(line.partition("=")[::2] for line in lines)
    return shown


def assert_second_run_changes_nothing(lab: str, on: Sequence[Server]) -> None:
    """Run again with the same input: no operation changes anything, and no service is started anew."""
    before = {server.name: services(server) for server in on}
    second = run(lab)
    assert second.status == 0, second.problem
    assert second.totals["no_change"] == second.totals["hosts"] > 0, f"changed: {second.changed}"
    assert {server.name: services(server) for server in on} == before


# In which somebody notices a restart.
PATIENCE_SECONDS = 5


@contextmanager
def polling(urls: Mapping[str, str | Request], every: float = 0.05) -> Iterator[dict[str, list[tuple[float, str]]]]:
    """While the block runs, ask each URL or request again and again; gives every failure with its moment, by name.

    No answer within PATIENCE_SECONDS is a failure.
    """
    failures: dict[str, list[tuple[float, str]]] = {name: [] for name in urls}
    counts = dict.fromkeys(urls, 0)
    stop = threading.Event()
    # A proxy of this machine's for the internet is not on the way to a host under test.
    opener = build_opener(ProxyHandler({}))

    def poll(name: str, url: str | Request) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                with opener.open(url, timeout=PATIENCE_SECONDS) as answer:
                    answer.read()
            except (HTTPError, URLError, OSError) as error:
                failures[name].append((began, str(error)[:80]))
            counts[name] += 1
            stop.wait(every)

    threads = [threading.Thread(target=poll, args=item, daemon=True) for item in urls.items()]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS + 5)
        for name in urls:
            say(f"      {name}: {len(failures[name])} of {counts[name]} polls failed")
