"""A whole deploy, driven: every component on every host, in one order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from pyinfra import host

from deploys import operations
from deploys.lib.apply import apply, here, look_around, refuse_unsuitable
from deploys.lib.bundle import Change
from deploys.lib.component import Component, Here
from deploys.lib.ledger import RUN_ID
from deploys.lib.report import summary
from deploys.lib.runtime import contained


def deploy(components: tuple[Component, ...], only: tuple[str, ...] = (), keys: frozenset[str] = frozenset()) -> None:
    """Bring the host that pyinfra works on to the state its data asks for; of the components in ``only``, if any.

    ``keys`` are those that this kind of run has of its own.
    """
    place = here(look_around(components, keys))
    components = tuple(component for component in components if not only or component.name in only)
    changes = refuse_unsuitable(components, place)
    # What services need comes in front of them; what is behind them is about what they have brought.
    needed = list(takewhile(lambda component: component.hosts == "all", components))
    services = list(components[len(needed) :])
    # All components on every host, in one order; a host's own list would merge different operations under one line.
    for component in host.loop(needed):
        bring(component, place, changes, installed=False)
    # An image that cannot be built leaves the host as it was: all are there before the first service is stopped.
    for component in host.loop(services):
        if contained(place) and component.name in changes:
            component.install(place)
    for component in host.loop(services):
        bring(component, place, changes, installed=contained(place))
    for component in host.loop(components):
        if component.name in changes:
            component.tidy(place)
    summary(name="Summary", components=components, place=place)


def bring(component: Component, place: Here, changes: Mapping[str, Change], installed: bool) -> None:
    """Bring one component on one host to its state; ``installed`` when what it needs of the host is there already."""
    operations.gate(name=f"{component.name} | Begin")
    if component.name in changes and not installed:
        component.install(place)
    component.before(place, RUN_ID)
    if component.name in changes:
        apply(component, place, changes[component.name])
