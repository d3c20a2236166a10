"""List the backups of a site and its last trial of a restore: `pyinfra INVENTORY deploys/backups.py`."""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.components.backups_now import listed
from deploys.lib.apply import here, look_around

listed(here(look_around(COMPONENTS)))
