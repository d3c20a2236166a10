"""An edge before two gateways in the lab: its models, a change of its settings, and how it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.host import support_double
from tests.host.lab.conftest import Deployed
from tests.host.support import Server
from tests.host.support_clients import Edge, Traffic, clients
from tests.host.support_double import Double
from tests.host.support_http import Gateway
from tests.host.support_lab import SITE, run, until
from tests.host.support_ledger import ROLLBACK
from tests.lab import edge as lab_edge

STREAMED, POSTED = "streamed", "posted"


def models() -> dict[str, object]:
    """One model whose streams stand still for two seconds in the middle, and one that answers at once."""
    streamed = support_double.paid(STREAMED, "stall-2", stream_timeout=30)
    return {"litellm_models": [streamed, support_double.paid(POSTED, "spare")]}


def change(site: Deployed, **data: object) -> None:
    done = run(site.name, SITE, environment=support_double.ENVIRONMENT, **{**models(), **data})
    assert done.status == 0, done.problem


def go_back(site: Deployed) -> None:
    done = run(site.name, ROLLBACK)
    assert done.status == 0, done.problem


def gateways(site: Deployed) -> list[Server]:
    return [server for server in site.servers if server.has("litellm")]


def front(site: Deployed) -> Server:
    return next(server for server in site.servers if server.has("edge"))


def reached(site: Deployed) -> Edge:
    """The edge as this machine's clients reach it."""
    return Edge(front(site).address, lab_edge.folder(site.name) / "edge-ca.crt")


def master_key(site: Deployed) -> str:
    return Gateway(gateways(site)[0]).master_key


@contextmanager
def doubles(site: Deployed, **data: object) -> Iterator[Deployed]:
    """Models that a double plays, on each gateway's host its own; ``data`` are other settings to have them with."""
    playing = [Double(server) for server in gateways(site)]
    for double in playing:
        double.start()
    change(site, **data)
    yield site
    for double in playing:
        double.stop()


@contextmanager
def busy(site: Deployed) -> Iterator[Traffic]:
    """Forty clients of the edge, all of whom are answered before anything happens to it."""
    with clients(reached(site), master_key(site), STREAMED, POSTED) as going:
        until(lambda: going.total > 100, 60, "clients are answered")
        assert not going.failed, going.failed[:5]
        yield going
