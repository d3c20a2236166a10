"""Which ports of a host another one reaches, by connecting; and ways to a host that its firewall cannot close."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.host.support import Server
from tests.host.support_lab import until
from tests.lab import engine, network

ASK = """
import concurrent.futures, json, socket, sys
def ask(place):
    try:
        socket.create_connection(place, 2).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "dropped"
places = [tuple(place) for place in json.loads(sys.argv[1])]
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(ask, places))))
"""


def reached(source: Server, address: str, ports: Iterable[int], user: str = "root") -> dict[int, str]:
    """How each port answers ``user`` of ``source``: `open`, `refused` by a host that lets it in, or `dropped`."""
    ports = list(ports)
    places = json.dumps([[address, port] for port in ports])
    done = source.sh(f"runuser -u {user} -- python3 - '{places}' <<'END'\n{ASK}\nEND")
    assert done.status == 0, done.err
    return dict(zip(ports, json.loads(done.out), strict=True))


def operator() -> str:
    """The address from which this machine reaches the lab's hosts."""
    return network.own_address(engine.running())


def inside(server: Server, script: str) -> str:
    """What a shell script prints on a host of the lab, without a network between."""
    container = engine.running().containers.get(server.name)
    code, out = container.exec_run(["sh", "-c", f"{{ {script}\n}} && echo said"])
    assert code == 0, f"{server.name}: `{script[:200]}` ended with {code}: {out.decode()}"
    text = str(out.decode().rstrip())
    assert text.endswith("said"), f"{server.name}: Docker has lost what `{script[:200]}` said: {text!r}"
    return text.removesuffix("said").strip()


def reboot(server: Server) -> None:
    """Restart a host without warning, as a power failure does, and wait until it is up."""
    container = engine.running().containers.get(server.name)
    container.kill()
    container.start()
    up = "systemctl is-system-running | grep -E 'running|degraded' || true"
    until(lambda: inside(server, up), 120, f"{server.name} is up again")
    until(lambda: server.sh("true").status == 0, 60, f"{server.name} lets us in again")
