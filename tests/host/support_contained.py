"""What a test asks of a host's services whichever way they run: containers, and a portrait of the host to compare."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploys.components.litellm.config import SELFTEST
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib.containers import FOLDER, LABEL
from deploys.lib.runtime import main_pid
from tests.host.support import Server
from tests.host.support_http import Gateway, ask
from tests.host.support_lab import health_url, hosts_of
from tests.host.support_many import chat, many

VARIABLE = "PORTCULLIS_RUNTIME"
COMPOSE = f"cd {FOLDER} && docker compose --ansi never"


def choose(runtime: str) -> None:
    """From now on hosts of labs are meant to be in this runtime; empty for what they are without a word."""
    os.environ.pop(VARIABLE, None)
    if runtime:
        os.environ[VARIABLE] = runtime


@contextmanager
def chosen(runtime: str) -> Iterator[None]:
    before = os.environ.get(VARIABLE, "")
    choose(runtime)
    try:
        yield
    finally:
        choose(before)


@dataclass(frozen=True)
class Container:
    """A running container of ours: another one, or one that was started again, is not equal to it."""

    unit: str
    id: str
    started: str
    pid: int
    image: str


def containers(server: Server) -> dict[str, Container]:
    """Our containers that run, by service."""
    ids = f"docker ps -q --filter label={LABEL}"
    found = json.loads(server.out(f"ids=$({ids}); if [ -n \"$ids\" ]; then docker inspect $ids; else echo '[]'; fi"))
    return {
        one["Name"].removeprefix("/portcullis-"): Container(
            one["Config"]["Labels"][LABEL], one["Id"], one["State"]["StartedAt"], one["State"]["Pid"], one["Image"]
        )
        for one in found
    }


def others(before: Mapping[str, Container], after: Mapping[str, Container]) -> set[str]:
    """Services whose container is another, was started again, came or went."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


# Variables of the gateway that one runtime gives and the other does not, and those that name the way to a program: in
# an image it is the version's own, on the host the link to the present one.
OF_ONE = {
    *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "STATE_DIRECTORY", "LANG", "LOGNAME", "USER"),
    *("HOSTNAME", "PORTCULLIS_HEALTH"),
}
WAYS = {"PATH", "PRISMA_BINARY_CACHE_DIR", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY"}
# Asked on the host: of each unit's main process the user, its limits in the kernel; of the gateway the environment.
LOOK = """
import glob, hashlib, json, os, pwd, subprocess
COMMANDS = json.loads(GIVEN)
def limit(pid, kind, old, new):
    for line in open(f"/proc/{pid}/cgroup"):
        _, names, path = line.strip().split(":", 2)
        if names and kind not in names.split(","):
            continue
        parts, file = path.strip("/").split("/"), old if names else new
        # A host that is a container itself sees the names of the machine around it.
        for n in range(len(parts)):
            found = "/".join([f"/sys/fs/cgroup/{kind}" if names else "/sys/fs/cgroup", *parts[n:], file])
            if os.path.exists(found):
                text = open(found).read().strip()
                return int(text) if text.isdigit() and int(text) < 2**60 else None
    return None
def program(pid):
    # Docker's own init has the first number, and one child.
    while os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "docker-init":
        pid = int(open(f"/proc/{pid}/task/{pid}/children").read().split()[0])
    return pid
found = {}
for unit, command in COMMANDS.items():
    pid = program(int(subprocess.run(["sh", "-c", command], capture_output=True, text=True).stdout))
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    limits = {line[:26].strip(): line[26:].split()[0] for line in open(f"/proc/{pid}/limits")}
    environment = dict(word.split("=", 1) for word in open(f"/proc/{pid}/environ").read().split(chr(0)) if "=" in word)
    found[unit] = {
        "user": pwd.getpwuid(int(status["Uid"].split()[1])).pw_name,
        "capabilities": status["CapEff"].strip(),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "memory": limit(pid, "memory", "memory.limit_in_bytes", "memory.max"),
        "tasks": limit(pid, "pids", "pids.max", "pids.max"),
        "files": limits["Max open files"],
        "environment": {name: hashlib.sha256(value.encode()).hexdigest()[:12] for name, value in environment.items()},
    }
print(json.dumps(found))
"""


def ready_url(server: Server) -> str:
    """Where the gateway tells other hosts whether it has its database; the health app's word is for its own host."""
    s: LitellmSettings = server.here.settings(LitellmSettings)
    return f"http://{server.address}:{s.port}/health/readiness"


def units(server: Server) -> list[str]:
    """Units of services that both runtimes have, in which our programs run."""
    return [
        unit
        for c, main in server.processes
        for unit in [main, *c.extra_units(server.here)]
        if unit.endswith(".service") and c.name != "engine"
    ]


def programs(server: Server) -> dict[str, dict[str, Any]]:
    """The main process of each unit: its user, its limits, its environment (values as digests)."""
    given = json.dumps(json.dumps({unit: main_pid(unit) for unit in units(server)}))
    done = server.python(f"GIVEN = {given}\n{LOOK}")
    assert done.status == 0, done.err
    found: dict[str, dict[str, Any]] = json.loads(done.out)
    return found


def listening(server: Server) -> set[tuple[str, int]]:
    """Addresses and ports that somebody chose; the kernel chooses from its own range."""
    first = int(server.out("cut -f 1 /proc/sys/net/ipv4/ip_local_port_range"))
    pairs = [line.split()[3].rpartition(":")[::2] for line in server.out("ss -Hltn").splitlines()]
    return {(address, int(port)) for address, port in pairs if int(port) < first}


def reached(server: Server, ports: set[int]) -> set[int]:
    """Ports of the host that this machine, another host for it, can connect to."""
    found = set()
    for port in ports:
        try:
            with socket.create_connection((server.address, port), timeout=2):
                found.add(port)
        except OSError:
            pass
    return found


def stir(gateway: Gateway) -> None:
    """Let one of each happen: metrics are there when there is something to count."""
    asked = f"for the metrics {secrets.token_hex(8)}"
    for _ in range(2):
        assert gateway.chat("tiny", text=asked, cache={"use-cache": True}).status == 200
        time.sleep(1)
    assert gateway.chat("no-such-model").status == 400
    assert gateway.chat(SELFTEST, key=f"sk-{asked}").status == 401
    time.sleep(1)


def metric_names(server: Server) -> set[str]:
    stir(Gateway(server))
    s: LitellmSettings = server.here.settings(LitellmSettings)
    text = ask(server, f"http://{s.metrics_listen}:{s.metrics_port}/metrics").text
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}


def health_said(server: Server) -> dict[str, Any]:
    """What the health app answers, without times."""
    found: dict[str, Any] = {}
    for page in ("health/liveness", "health/readiness", "health"):
        reply = ask(server, f"{health_url(server)}/{page}")
        body = reply.json()
        parts = {
            name: part.get("status")
            if isinstance(part, dict) and "status" in part
            else sorted(part)
            if isinstance(part, dict)
            else part
            for name, part in body.items()
            if name != "since" and (isinstance(part, bool) or not isinstance(part, int | float))
        }
        found[page] = (reply.status, parts)
    return found


def medians(server: Server) -> dict[str, float]:
    """Seconds that half of the answers take at most: the gateway's own word, and a whole self-test.

    The best of three looks: a machine that is busy with something else is no slowness of a runtime.
    """
    gateway = Gateway(server)
    asked: dict[str, tuple[str, str, Mapping[str, Any] | None]] = {
        "liveliness": ("/health/liveliness", gateway.master_key, None),
        "chat": ("/v1/chat/completions", gateway.master_key, chat(SELFTEST, "how long?")),
    }
    found = {}
    for name, one in asked.items():
        looks = [many(server, [one] * 60, 1) for _ in range(3)]
        assert {answer.status for answers in looks for answer in answers} == {200}, name
        found[name] = min(sorted(answer.seconds for answer in answers[10:])[25] for answers in looks)
    return found


@dataclass(frozen=True)
class Portrait:
    """A host as those who use it and those who look after it see it."""

    listening: set[tuple[str, int]]
    reached: set[int]
    programs: dict[str, dict[str, Any]]
    health: dict[str, Any]
    metrics: set[str]
    medians: dict[str, float]
    shares: dict[str, int]


def portrait(lab: str) -> Portrait:
    """The single host of a lab, in the runtime that is chosen."""
    (server,) = hosts_of(lab)
    seconds = medians(server)
    heard = listening(server)
    return Portrait(
        listening=heard,
        reached=reached(server, {port for _, port in heard}),
        programs=programs(server),
        health=health_said(server),
        metrics=metric_names(server),
        medians=seconds,
        shares=dict(server.here.member.plan.shares),
    )
