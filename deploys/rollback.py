"""Go back to how the hosts were after an earlier run: `pyinfra INVENTORY deploys/rollback.py`.

Without more: to before the last deploy. `--data run=RUN` goes to any run that deploys/history.py lists, `--data
only=litellm` takes one component (or several, with commas), `--dry` shows what would change, `--data
restore_dump=true` puts a dump of the database back where the earlier version cannot use the present one. Nothing of the
inventory's settings is needed but how to reach the hosts: everything comes from their ledgers.
"""

from pyinfra import host
from pyinfra.api import DeployError

try:
    from deploys.components import COMPONENTS
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.components"):
        raise
    raise DeployError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

from deploys import operations
from deploys.lib.back import end_of, look_back, put_back, settings_here

settings = settings_here(COMPONENTS)
plan, way = look_back(settings, COMPONENTS)
for component in host.loop(COMPONENTS):
    operations.gate(name=f"{component.name} | Begin")
    put_back(component, plan, way, settings)
end_of(plan)
