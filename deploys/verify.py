"""Ask every component on every host whether it works, and change nothing: `pyinfra INVENTORY deploys/verify.py`."""

from pyinfra import host
from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.apply import here, look_around, selected
from deploys.lib.report import ask

place = here(look_around(COMPONENTS))
wanted = [component for component in host.loop(COMPONENTS) if selected(component, place)]
ask(name="Every component answers", components=wanted, place=place)
