"""Ask every component on every host whether it works, and change nothing: `pyinfra INVENTORY deploys/verify.py`."""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.apply import here, look_around
from deploys.lib.report import ask

ask(name="Every component answers", components=COMPONENTS, place=here(look_around(COMPONENTS)))
