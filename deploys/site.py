"""Bring each host to the state its data asks for: `pyinfra INVENTORY deploys/site.py`."""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.lib.deploy import deploy

deploy(COMPONENTS)
