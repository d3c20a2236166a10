"""What holds for every component on every host: files, links and service are as declared, nothing else listens."""

from __future__ import annotations

import hashlib
import ipaddress
from shlex import quote

import pytest

from deploys.components import base, postgres
from deploys.lib.component import Component, ConfigFile
from deploys.lib.provenance import UNMARKED
from tests.host.support import Server

# Helpers of our services that talk to them over loopback, on ports the kernel chooses.
HELPERS = {"query-engine", "node", "llama-server", "ollama", "python3"}


def test_base_packages_are_installed(server: Server) -> None:
    for name in base.PACKAGES:
        assert server.testinfra.package(name).is_installed, f"{name} is not installed"


def test_no_package_is_half_installed(server: Server) -> None:
    assert server.out("dpkg --audit") == ""


def test_files_are_exactly_as_declared(server: Server, component: Component) -> None:
    declared = component.files(server.here)
    # Without the line that says which revision of the toolkit made the file: that may be an older one.
    script = "\n".join(
        f"stat -c '%a %U %G %F' {quote(f.path)}; {UNMARKED} {quote(f.path)} | sha256sum" for f in declared
    )
    lines = iter(server.out(script or "true").splitlines())
    wrong = []
    for file in declared:
        stat, digest = next(lines), next(lines).split()[0]
        wanted = f"{file.mode.lstrip('0')} {file.user} {file.group} regular file"
        if stat != wanted:
            wrong.append(f"{file.path} is {stat}, not {wanted}")
        if digest != hashlib.sha256(file.text.encode()).hexdigest():
            wrong.append(f"{file.path} has another content")
    assert not wrong


def test_links_are_exactly_as_declared(server: Server, component: Component) -> None:
    for link in component.links(server.here):
        assert server.out(f"readlink {quote(link.path)}") == link.target
        assert server.testinfra.file(link.target).exists


def test_files_with_secrets_are_for_one_user(server: Server, component: Component) -> None:
    for file in component.files(server.here):
        if file.secret:
            others = int(file.mode, 8) & 0o007
            assert not others, f"{file.path} is declared with mode {file.mode}"


def test_unit_runs_and_is_enabled(server: Server, component: Component) -> None:
    units = [unit] if (unit := component.unit_on(server.here)) else []
    for unit in [*units, *component.extra_units(server.here)]:
        state = server.out(f"systemctl is-active {unit} || true; systemctl is-enabled {unit} || true").splitlines()
        assert state[0] == "active", f"{unit} is {state[0]}"
        # Debian enables clusters through the umbrella unit's generator.
        assert state[1] in ("enabled", "enabled-runtime"), f"{unit} is {state[1]}"


def test_nothing_was_cut_off(server: Server) -> None:
    """A change that is still noted here was neither finished nor undone; the next run does one of them."""
    assert server.out("ls -A /var/lib/portcullis/pending") == ""


def _listeners(server: Server) -> list[tuple[str, int, str]]:
    """Address, port and process name of everything that listens on TCP."""
    found = []
    for line in server.out("ss -Hltnp").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        address = address.partition("%")[0].strip("[]").replace("*", "::")
        found.append((address, int(port), line.partition('users:(("')[2].partition('"')[0]))
    return found


def _declared_ports(server: Server) -> set[int]:
    return {listener.port for c in server.components for listener in c.listeners(server.here)}


def test_nothing_else_can_be_reached_from_outside(server: Server) -> None:
    allowed = _declared_ports(server)
    outside = [
        f"{name or 'an unnamed process'} on {address} port {port}"
        for address, port, name in _listeners(server)
        if not ipaddress.ip_address(address).is_loopback and port not in allowed and not name.startswith("sshd")
    ]
    assert not outside


def test_everything_declared_listens(server: Server) -> None:
    listening = {port for _, port, _ in _listeners(server)}
    assert _declared_ports(server) <= listening


def test_our_services_listen_on_nothing_undeclared(server: Server) -> None:
    owners = tuple(
        owner for c in server.components for listener in c.listeners(server.here) for owner in listener.owners
    )
    allowed = _declared_ports(server)
    extra = [
        f"{name} on {address} port {port}"
        for address, port, name in _listeners(server)
        if name.startswith(owners) and port not in allowed
        if not (name in HELPERS and ipaddress.ip_address(address).is_loopback)
    ]
    assert not extra


def test_certificate_authorities_are_trusted(server: Server) -> None:
    files: list[ConfigFile] = base.authorities(server.here)
    if not files:
        pytest.skip("the inventory gives no extra_ca_certificates")
    for file in files:
        assert server.sh(f"openssl verify {quote(file.path)}").status == 0, f"{file.path} is not trusted"


def test_the_kernel_is_set_as_redis_needs_it(redis_server: Server) -> None:
    assert redis_server.out("cat /proc/sys/vm/overcommit_memory") == "1"
    assert int(redis_server.out("cat /proc/sys/net/core/somaxconn")) >= 1024
    pages = "/sys/kernel/mm/transparent_hugepage/enabled"
    # Only looked at: what this test wrote would be its own answer.
    if redis_server.sh(f"[ -w {pages} ]").status:
        pytest.skip("this host may not set transparent huge pages")
    assert "[always]" not in redis_server.out(f"cat {pages}")


def test_postgres_packages_are_those_of_the_release(postgres_server: Server) -> None:
    name = f"postgresql-{postgres.major(postgres_server.here)}"
    assert postgres_server.testinfra.package(name).is_installed
