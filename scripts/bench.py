"""Renewing workers, two ways, under the same load in one run: how many requests of clients fail for each renewal.

Needs the demo's host (`make demo`). Clients keep their connections, as SDKs do; a mock model answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60
CLIENTS = 8
RELOADS = 3
# Small enough for several renewals in a minute on two cores, at some 60 requests a second.
MAX_REQUESTS = 1000


@dataclass
class Tally:
    """What clients saw during one phase."""

    answered: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    worst: float = 0.0

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


def deploy(*data: str) -> None:
    options = [part for item in data for part in ("--data", item)]
    command = [".venv/bin/pyinfra", "-y", "inventories/lab.py", "deploys/site.py", "--limit", "litellm", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])


def on_host(command: str) -> str:
    """Run a command on the demo's host and return what it prints."""
    arguments = [".venv/bin/pyinfra", "-y", "-vvv", "inventories/lab.py", "exec", "--", command]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


def secret(name: str) -> str:
    lines = (ROOT / "secrets" / "lab.env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))


async def client(url: str, until: float, tally: Tally) -> None:
    headers = {"Authorization": f"Bearer {secret('LITELLM_MASTER_KEY')}"}
    body = {"model": "toolkit-selftest", "messages": [{"role": "user", "content": "ping"}]}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=1)) as session:
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                async with session.post(url, json=body, timeout=aiohttp.ClientTimeout(60)) as answer:
                    await answer.read()
                    name = "" if answer.status == 200 else f"status {answer.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                name = type(error).__name__
            tally.worst = max(tally.worst, time.monotonic() - began)
            if name:
                tally.failed[name] = tally.failed.get(name, 0) + 1
            else:
                tally.answered += 1


async def load(url: str, renew: str) -> Tally:
    """Clients for SECONDS, and ``renew`` run on the host RELOADS times meanwhile, if given."""
    tally = Tally()
    until = time.monotonic() + SECONDS
    clients = [asyncio.create_task(client(url, until, tally)) for _ in range(CLIENTS)]
    for _ in range(RELOADS if renew else 0):
        await asyncio.sleep(SECONDS / (RELOADS + 1))
        await asyncio.to_thread(on_host, renew)
    await asyncio.gather(*clients)
    return tally


def workers_started() -> int:
    """Worker processes the present service has started so far."""
    this = "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value litellm)"
    text = on_host(f"journalctl -q -o cat -u litellm {this} | grep -c 'Started server process' || true")
    numbers = [int(line.split()[-1]) for line in text.splitlines() if line.split() and line.split()[-1].isdigit()]
    return numbers[-1] if numbers else 0


def main() -> int:
    os.environ.setdefault("PORTCULLIS_LAB", "demo")
    sys.path.insert(0, str(ROOT))
    from tests.lab.inventory import groups

    address = groups(os.environ["PORTCULLIS_LAB"])["litellm"][0][1]["ssh_hostname"]
    url = f"http://{address}:4100/v1/chat/completions"
    results = {}
    for name, data, renew in (
        ("timer", ["litellm_recycle=timer"], "systemctl reload litellm"),
        ("max_requests", ["litellm_recycle=max_requests", f"litellm_max_requests={MAX_REQUESTS}"], ""),
    ):
        deploy(*data)
        before = workers_started()
        tally = asyncio.run(load(url, renew))
        renewed = workers_started() - before
        each = tally.failures / renewed if renewed else float("nan")
        results[name] = {
            "answered": tally.answered,
            "failed": tally.failed,
            "workers renewed": renewed,
            "failed per renewed worker": round(each, 2),
            "slowest answer, s": round(tally.worst, 1),
        }
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    deploy("litellm_recycle=timer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
