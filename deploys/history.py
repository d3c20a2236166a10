"""The runs each host has seen, and what going back to one would touch: `pyinfra INVENTORY deploys/history.py`."""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.back import settings_here, show_history

show_history(settings_here(COMPONENTS))
