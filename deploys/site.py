"""Bring each host to the state its data asks for: `pyinfra INVENTORY deploys/site.py`."""

from pyinfra import host
from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys import operations
from deploys.lib.apply import apply, here, look_around, refuse_unsuitable
from deploys.lib.ledger import RUN_ID
from deploys.lib.report import summary

place = here(look_around(COMPONENTS))
changes = refuse_unsuitable(COMPONENTS, place)
# All components on every host, in one order; a host's own list would merge different operations under one line.
for component in host.loop(COMPONENTS):
    operations.gate(name=f"{component.name} | Begin")
    if component.name in changes:
        component.install(place)
    component.before(place, RUN_ID)
    if component.name in changes:
        apply(component, place, changes[component.name])
summary(name="Summary", components=COMPONENTS, place=place)
