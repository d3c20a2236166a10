"""Nothing on a host shows a secret to those who must not see it, and every service is in its sandbox."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploys.components.litellm.probes import base_url
from deploys.lib.component import Component
from deploys.lib.containers import LABEL
from deploys.lib.runtime import contained, main_pid
from tests import exposure
from tests.host.support import Server, secret_values
from tests.host.support_canary import FILES, JOURNAL, PROCESSES, look

# What starts a container and waits for it.
ATTACHED = 6.0
# Runs on the host in the control group of a unit, whose addresses the kernel filters. A packet that is not let out is
# an error at once, where a connection would only not come about.
INSIDE = """
import os, socket, subprocess
group = subprocess.run(["systemctl", "show", "-p", "ControlGroup", "--value", UNIT], capture_output=True, text=True)
roots = [f for f in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.exists(f + group.stdout.strip())]
roots = [f for f in roots if os.path.exists(f + "/cgroup.controllers")]
with open(roots[0] + group.stdout.strip() + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
for address in ADDRESSES:
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.sendto(b"x", (address, 9))
        print("sent")
    except OSError as error:
        print(type(error).__name__)
"""


def _look(server: Server, script: str) -> list[str]:
    return look(server, script, secret_values(server))


def test_the_search_finds_what_it_should(server: Server) -> None:
    """A search that cannot find anything would pass for ever."""
    server.out(
        "umask 022; echo portcullis-canary-7f3a >/tmp/portcullis-canary; echo portcullis-canary-7f3a | systemd-cat"
    )
    try:
        canary = {"canary": "portcullis-canary-7f3a"}
        assert "/tmp/portcullis-canary" in look(server, FILES, canary)
        assert "canary in the journal" in look(server, JOURNAL, canary)
        started = "sh -c 'sleep 30; :' portcullis-canary-7f3a >/dev/null 2>&1 & "
        server.out(started)
        assert any("canary in /proc" in line for line in look(server, PROCESSES, canary))
    finally:
        server.out("rm -f /tmp/portcullis-canary")


def test_no_secret_in_a_command_line_or_a_readable_environment(server: Server) -> None:
    assert _look(server, PROCESSES) == []


def test_no_secret_in_the_journal(server: Server) -> None:
    assert _look(server, JOURNAL) == []


def test_no_secret_in_a_file_others_can_read(server: Server) -> None:
    assert _look(server, FILES) == []


def test_backups_are_for_root_only(server: Server) -> None:
    root = server.here.member.host.backup_root
    if server.sh(f"[ -d {root} ]").status:
        pytest.skip("there are no backups yet")
    assert server.out(f"stat -c '%a %U %G' {root}") == "700 root root"
    assert server.out("stat -c '%a %U %G' /var/lib/portcullis") == "700 root root"


def test_the_sandbox_is_tight(server: Server, component: Component) -> None:
    unit = component.unit_on(server.here)
    if not unit:
        return
    if component.name == "engine":
        pytest.skip("Docker's own unit: it makes the sandboxes of the others, and has none itself")
    if unit in exposure.WITHOUT:
        pytest.skip("it changes the host itself, and is in no sandbox")
    (found,) = _exposure(server, [unit]).values()
    if not contained(server.here):
        assert found <= exposure.allowed(unit), unit
        return
    # The unit itself only speaks to Docker.
    assert found <= ATTACHED, unit
    for one in _containers(server, component):
        host, name = one["HostConfig"], one["Name"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"] and not host["Privileged"] and not host["Devices"], name
        # Docker's own filter of system calls, where nothing is said of one.
        assert not [word for word in host["SecurityOpt"] if word.startswith(("seccomp", "apparmor"))], name
        assert host["Memory"] > 0 and host["PidsLimit"] > 0 and host["NanoCpus"] > 0, name
        assert host["LogConfig"]["Type"] == "local" and host["LogConfig"]["Config"]["max-size"], name
        assert one["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert not [mount for mount in one["Mounts"] if "docker.sock" in mount["Source"]], name
        # PostgreSQL writes down its number, by which the host's programs know whether it runs.
        assert host["PidMode"] == ("host" if component.name == "postgres" else ""), name


def _exposure(server: Server, units: list[str]) -> dict[str, float]:
    """What systemd on the host says of units that are there."""
    ask = "systemd-analyze security --no-pager $unit | tail -n 1 | sed 's/.*: //; s/ .*//'"
    one = f'! systemctl cat $unit >/dev/null 2>&1 || echo "$unit $({ask})"'
    said = server.out(f"for unit in {' '.join(units)}; do {one}; done", 120)
    return {unit: float(number) for unit, number in map(str.split, said.splitlines())}


def test_what_runs_beside_the_services_is_in_its_sandbox_too(server: Server) -> None:
    if contained(server.here):
        pytest.skip("what runs in a container has the container's sandbox")
    units = [unit for unit in exposure.UNITS if "@" not in unit]
    if not server.has("edge"):
        # Debian's own, which came with the program that others use under units of ours: nobody needs it.
        units.remove("haproxy.service")
        assert server.sh("systemctl is-active --quiet haproxy.service").status, "it runs, and serves nobody"
    found = _exposure(server, units)
    if not found:
        pytest.skip("nothing runs beside them here")
    assert {unit: number for unit, number in found.items() if number > exposure.allowed(unit)} == {}


def test_the_gateway_cannot_ask_for_the_machines_credentials(litellm_server: Server) -> None:
    """Whoever makes it fetch a picture would get what clouds hand out at that address to every machine."""
    server = litellm_server
    if contained(server.here):
        pytest.skip("containers have a network of Docker's")
    if server.sh("stat -f -c %T /sys/fs/cgroup /sys/fs/cgroup/unified 2>/dev/null | grep -q cgroup2").status:
        pytest.skip("addresses are filtered in control groups of version 2, which this host has not")
    own = urlsplit(base_url(server.here)).hostname
    for unit in ("litellm.service", "portcullis-health.service"):
        done = server.python(f"UNIT, ADDRESSES = {unit!r}, {('169.254.169.254', '224.0.0.251', own)!r}\n{INSIDE}")
        assert done.out.split() == ["PermissionError", "PermissionError", "sent"], (unit, done)


def _containers(server: Server, component: Component) -> list[dict[str, Any]]:
    units = [component.unit_on(server.here), *component.extra_units(server.here)]
    filters = " ".join(f"docker ps -q --filter label={LABEL}={unit};" for unit in units)
    found: list[dict[str, Any]] = json.loads(server.out(f"docker inspect $({filters})"))
    assert found
    return found


def test_services_do_not_run_as_root(server: Server) -> None:
    for component, unit in server.processes:
        if component.name == "engine":  # Docker's own service is root's
            continue
        user = server.out(f"ps -o uid= -p $({main_pid(unit)})")
        assert user != "0", f"{unit} runs as root"


def test_no_superuser_of_postgresql_has_a_password(postgres_server: Server) -> None:
    count = "SELECT count(*) FROM pg_authid WHERE rolsuper AND rolpassword IS NOT NULL"
    assert postgres_server.out(f'runuser -u postgres -- psql -X -A -t -c "{count}"') == "0"
