"""Which ports of a host another one reaches, by connecting; and ways to a host that its firewall cannot close."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tests.host.support import Server
from tests.host.support_lab import until
from tests.lab import engine, network
from tests.lab.lab import Lab

# The port of each kind of host of a site that is spread out, and others that might be there.
SERVICES = {"db": 5432, "cache": 6379, "llm": 11434, "gw": 4100}
PORTS = [22, 2375, 2376, 4001, 4101, 9999, *SERVICES.values()]

ASK = """
import concurrent.futures, json, socket, sys
def ask(place):
    try:
        socket.create_connection(place, 2).close()
        return "open"
    except ConnectionResetError:
        return "open"  # to somebody else: who asked was let in, and then told to go
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "dropped"
places = [tuple(place) for place in json.loads(sys.argv[1])]
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(ask, places))))
"""


# The same for all ports there are, of a host that refuses what it does not answer.
ASK_ALL = """
import asyncio, json, sys
async def ask(port, at_once):
    async with at_once:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(sys.argv[1], port), 5)
        except ConnectionResetError:
            return port
        except ConnectionRefusedError:
            return None
        writer.close()
        return port
async def main():
    at_once = asyncio.Semaphore(200)
    return [port for port in await asyncio.gather(*(ask(port, at_once) for port in range(1, 65536))) if port]
print(json.dumps(asyncio.run(main())))
"""


def reached(
    source: Server, address: str, ports: Iterable[int], user: str = "root", container: str = ""
) -> dict[int, str]:
    """How each port answers ``source``: `open`, `refused` by a host that lets it in, or `dropped`.

    ``user`` of the host asks, or the user of a ``container`` from inside of it.
    """
    ports = list(ports)
    places = json.dumps([[address, port] for port in ports])
    asker = f"docker exec -i portcullis-{container}" if container else f"runuser -u {user} --"
    done = source.sh(f"{asker} python3 - '{places}' <<'END'\n{ASK}\nEND")
    assert done.status == 0, done.err
    return dict(zip(ports, json.loads(done.out), strict=True))


def all_open(source: Server, address: str) -> set[int]:
    """Every port of an address that answers ``source``; a port that does not even refuse is a failure."""
    done = source.sh(f"python3 - {address} <<'END'\n{ASK_ALL}\nEND", 300)
    assert done.status == 0, done.err
    return set(json.loads(done.out))


def kind(server: Server) -> str:
    """What a host of a site that is spread out is for: db, cache, llm or gw."""
    return server.name.rpartition("-")[2].rstrip("12")


def assert_open_to_those_who_need_it(servers: Sequence[Server], stranger: Server) -> None:
    """Every host of a closed site is asked by every other one, and by a stranger."""
    for target in servers:
        own = SERVICES[kind(target)]
        for source in (*servers, stranger):
            if source.name == target.name:
                continue
            may = own == SERVICES["gw"] or kind(source) == "gw"
            wanted = {port: "open" if port == own and may else "dropped" for port in PORTS}
            assert reached(source, target.address, PORTS) == wanted, f"{source.name} asks {target.name}"


def stranger_of(lab: str, server: Server) -> Server:
    """One more host in the same network, which is in no group; ``server`` is one that is."""
    host = Lab(lab).start_host(f"{lab}-stranger", "trixie", ("strangers",))
    data = {**server.data, "ssh_hostname": host.address}
    data["ssh_known_hosts_file"] = str(data["ssh_known_hosts_file"]).replace(server.name, host.name)
    return Server(host.name, data, {})


def operator() -> str:
    """The address from which this machine reaches the lab's hosts."""
    return network.own_address(engine.running())


def inside(server: Server, script: str) -> str:
    """What a shell script prints on a host of the lab, without a network between.

    Docker may lose it when the machine is busy. Then it is run again, so it has to be one that may be.
    """
    container = engine.running().containers.get(server.name)
    for _ in range(5):
        code, out = container.exec_run(["sh", "-c", f"{{ {script}\n}} && echo said"])
        text = str(out.decode().rstrip())
        assert code == 0, f"{server.name}: `{script[:200]}` ended with {code}: {text}"
        if text.endswith("said"):
            return text.removesuffix("said").strip()
    raise AssertionError(f"{server.name}: Docker has lost what `{script[:200]}` said, five times: {text!r}")


def reboot(server: Server) -> None:
    """Restart a host without warning, as a power failure does, and wait until it is up."""
    container = engine.running().containers.get(server.name)
    container.kill()
    container.start()
    up = "systemctl is-system-running | grep -E 'running|degraded' || true"
    until(lambda: inside(server, up), 120, f"{server.name} is up again")
    until(lambda: server.sh("true").status == 0, 60, f"{server.name} lets us in again")
