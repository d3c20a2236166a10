"""A whole deploy, driven: every component on every host, in one order."""

from __future__ import annotations

from pyinfra import host

from deploys import operations
from deploys.lib.apply import apply, here, look_around, refuse_unsuitable
from deploys.lib.component import Component
from deploys.lib.ledger import RUN_ID
from deploys.lib.report import summary


def deploy(components: tuple[Component, ...]) -> None:
    """Bring the host that pyinfra works on to the state its data asks for."""
    place = here(look_around(components))
    changes = refuse_unsuitable(components, place)
    # All components on every host, in one order; a host's own list would merge different operations under one line.
    for component in host.loop(components):
        operations.gate(name=f"{component.name} | Begin")
        if component.name in changes:
            component.install(place)
        component.before(place, RUN_ID)
        if component.name in changes:
            apply(component, place, changes[component.name])
    summary(name="Summary", components=components, place=place)
