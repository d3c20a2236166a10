"""The labs that are broken on purpose: started when first needed, removed at the end unless PORTCULLIS_KEEP_LABS=1."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest
from docker.errors import DockerException

from deploys.lib.render import ROOT
from tests.host import support_double, support_lab, support_state
from tests.host.support import Server
from tests.host.support_contained import chosen
from tests.host.support_double import Double
from tests.host.support_http import Gateway
from tests.host.support_lab import Run, Running, hosts_of, run, until
from tests.host.support_state import Sparing
from tests.lab import engine
from tests.lab.cache import LabError
from tests.lab.lab import Lab

KEEP = os.environ.get("PORTCULLIS_KEEP_LABS") == "1"
# The usual first, then what breaks it; each lab's tests in a row.
ORDER = (
    "deploy", "faults", "changes", "catalogue", "reliability", "observability", "state", "keys",
    "lavish", "refusals", "upgrade", "migrations", "rollback", "lock", "first_switch", "split",
    "firewall", "edge", "edge_traffic", "edge_upgrade", "edge_acme", "tls", "inside",
    "compose", "shipping", "switch", "split_contained", "interrupted", "killed",
    "store", "backups", "hardening", "strictness", "scores", "lockout", "rotation", "canary",
)  # fmt: skip
# First deploys that began while another lab's went on: much of a deploy is waiting for downloads.
EARLY: dict[str, Running] = {}


@dataclass(frozen=True)
class Site:
    """A running lab and its hosts."""

    name: str

    @cached_property
    def servers(self) -> tuple[Server, ...]:
        return hosts_of(self.name)

    @property
    def server(self) -> Server:
        """The only host of a lab that has one."""
        assert len(self.servers) == 1
        return self.servers[0]


@dataclass(frozen=True)
class Deployed(Site):
    """A lab after its first deploy."""

    first: Run | None = None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if "tests/host/lab/" in item.nodeid]
    rest = [item for item in items if item not in here]
    items[:] = rest + sorted(here, key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")))
    reason = ""
    if config.getoption("--inventory"):
        reason = "these break hosts on purpose; they start hosts of their own, without --inventory (make test)"
    for item in here:
        item.add_marker(pytest.mark.lab)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def start_engine() -> None:
    """Docker, started where it does not run; without it the tests are skipped."""
    try:
        engine.connect()
    except (LabError, DockerException) as error:
        pytest.skip(f"docker is not usable here: {error}")


@pytest.fixture(scope="session", autouse=True)
def _engine(_progress: None) -> None:
    # Not while tests are collected: who only lists them starts nothing.
    start_engine()


@pytest.fixture(scope="session", autouse=True)
def _progress(pytestconfig: pytest.Config) -> None:
    """Lines about progress reach the terminal although pytest captures output."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        if capture is None:
            print(line, flush=True)
            return
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{line}")
            sys.stdout.flush()

    support_lab.announce(say)


@pytest.fixture(scope="session", autouse=True)
def _secrets() -> None:
    subprocess.run(
        [sys.executable, "scripts/make_secrets.py", "inventories/lab.py"], cwd=ROOT, check=True, capture_output=True
    )


def lab(name: str, topology: str, suite: str, user: str) -> Iterator[str]:
    lab = Lab(name)
    if not KEEP and name not in EARLY:
        # What a killed run left has the secrets of its own checkout, and is not bare.
        lab.down()
    support_lab.say(f"      starting {topology} {suite}, user {user}")
    lab.up(topology, suite, user)
    yield name
    if not KEEP:
        lab.down()


def deployed(name: str) -> Deployed:
    early = EARLY.pop(name, None)
    # Images are built beside other labs' tests, on the same processors.
    first = (early or Running(name)).finish(1500)
    assert first.status == 0, first.problem
    support_lab.say("      deployed meanwhile" if early else f"      deployed in {first.seconds:.0f} s")
    return Deployed(name, first)


@pytest.fixture(scope="session")
def bookworm() -> Iterator[Site]:
    """One bare Debian 12 host, whose user becomes root with sudo."""
    for name in lab("ht-bookworm", "single", "bookworm", "operator"):
        yield Site(name)


@pytest.fixture(scope="session")
def trixie(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """Everything on one Debian 13 host."""
    if any("split" in getattr(item, "fixturenames", ()) for item in request.session.items):
        if not KEEP:
            Lab("ht-split").down()
        Lab("ht-split").up("split", "trixie", "root")
        EARLY["ht-split"] = Running("ht-split")
    for name in lab("ht-trixie", "single", "trixie", "root"):
        yield deployed(name)
    for name, unused in EARLY.items():
        unused.kill()
        if not KEEP:
            Lab(name).down()
    EARLY.clear()


@pytest.fixture(scope="session")
def split() -> Iterator[Deployed]:
    """Database, cache, inference and two gateways on hosts of their own."""
    for name in lab("ht-split", "split", "trixie", "root"):
        yield deployed(name)


@pytest.fixture(scope="session")
def fronted() -> Iterator[Deployed]:
    """Everything on one host, a second gateway, and an edge before the two."""
    for name in lab("ht-fronted", "fronted", "trixie", "root"):
        yield deployed(name)


@pytest.fixture(scope="session")
def pair() -> Iterator[Deployed]:
    """Everything on one host, and another for its backups."""
    for name in lab("ht-pair", "pair", "trixie", "root"):
        yield deployed(name)


@pytest.fixture(scope="session")
def contained() -> Iterator[Deployed]:
    """Everything on one host, in containers: for modules all of whose runs have the runtime chosen."""
    for name in lab("ht-compose", "single", "trixie", "root"):
        with chosen("compose"):
            made = deployed(name)
        yield made


@pytest.fixture(scope="module")
def in_containers() -> Iterator[None]:
    """Every run of the module is of hosts whose services run in containers; other modules' are as before."""
    with chosen("compose"):
        yield


@pytest.fixture(scope="session")
def routed(trixie: Deployed) -> Iterator[Double]:
    """The single host with every kind of model, all played by a double on the host, until the last test that asks."""
    double = Double(trixie.server)
    double.start()
    done = run(trixie.name, environment=support_double.ENVIRONMENT, **support_double.settings())
    assert done.status == 0, done.problem
    yield double
    double.stop()


@pytest.fixture(scope="session")
def sparing(trixie: Deployed, routed: Double) -> Sparing:
    """The same host with small pools, late writes and a cache that lasts seconds; test_lavish puts it back."""
    failed = Gateway(trixie.server).chat("slow", text="an error that is not kept").headers["x-litellm-call-id"]
    done = run(trixie.name, environment=support_state.ENVIRONMENT, **support_state.sparing())
    assert done.status == 0, done.problem
    return Sparing(routed, failed)


@pytest.fixture
def restored(trixie: Deployed) -> Iterator[Deployed]:
    """The single host, working before the test and again after it, whatever the test did to its services."""
    for other in EARLY.values():
        until(lambda other=other: not other.alive(), 900, "the other lab is deployed, and the processors are free")
    yield trixie
    server = trixie.server
    units = " ".join(c.unit_on(server.here) for c in server.components)
    server.sh(f"rm -f /run/portcullis-health/drain; systemctl kill -s CONT {units}; systemctl start {units}")
    ready = f"curl --noproxy '*' -fsS --max-time 5 {support_lab.health_url(server)}/health/readiness"
    until(lambda: server.sh(ready).status == 0, 90, "the host works again after the test")


def suite(lab: str) -> None:
    """Ask the lab with the tests that ask any inventory; a failure among them is a failure here."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/host", "--ignore", "tests/host/lab", "--inventory",
         support_lab.INVENTORY, "-q", "-p", "no:cacheprovider", "--tb=short"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PORTCULLIS_LAB": lab}, check=False,
    )  # fmt: skip
    summary = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-300:]
    support_lab.say(f"      {lab}: {summary}")
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            support_lab.say(f"      {line[:200]}")
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in summary
