"""Put a lost host in place again: `pyinfra INVENTORY deploys/rebuild.py`.

A deploy like deploys/site.py, in which a database host without a database gets it back from its backups first, to the
last moment they have. A host that has one keeps it. `--data restore=TIME` goes back to an earlier moment.
"""

from pyinfra import inventory
from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.deploy import deploy

for one in inventory:
    one.data.restore = one.data.get("restore") or "latest"
    one.data.restore_over = one.data.get("restore_over") or "skip"
deploy(COMPONENTS)
