"""Harden each host, and nothing else: `pyinfra INVENTORY deploys/harden.py`.

`--data only=ssh` works on one area (or several, with commas) beside those that the host has, which follow its settings
as well; `--data undo=true` undoes what was done, all of it or the areas in `only`. Which areas there are says
docs/hardening.md.
"""

from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys.components.hardening.now import KEYS, prepare, report
from deploys.lib.deploy import deploy

prepare()
deploy(COMPONENTS, only=("base", "hardening"), keys=KEYS)
report()
