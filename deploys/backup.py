"""Make a backup now, and try it: `pyinfra INVENTORY deploys/backup.py`.

The configuration of every host, with its secrets, and the database; both encrypted, beside the other backups. The
database is then restored for trial beside the one in use and compared. Redis has nothing that could not be lost:
docs/backups.md says why.
"""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.components.backups_now import make
from deploys.lib.apply import here, look_around

make(here(look_around(COMPONENTS)))
