"""What each host runs, as a CycloneDX bill of materials on this machine: `pyinfra INVENTORY deploys/sbom.py`.

`--data to=FOLDER` says where the files go; without it, sbom/. Changes nothing on a host.
"""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.apply import here, look_around
from deploys.lib.billing import KEY, write_bill

write_bill(COMPONENTS, here(look_around(COMPONENTS, frozenset({KEY}))))
