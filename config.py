"""Read by pyinfra from the current directory before every run: the version it must be, what it must not let pass."""

from pyinfra import config
from pyinfra.api.exceptions import PyinfraError

try:
    from deploys.guard import refuse_to_run_without_hosts
except ModuleNotFoundError as error:
    if error.name not in ("deploys", "deploys.guard"):
        raise
    raise PyinfraError("run pyinfra from Portcullis' own folder, the one with config.py and group_data/") from None

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
# Without it a run goes on without the hosts that could not be reached, or that failed.
config.FAIL_PERCENT = 0
refuse_to_run_without_hosts()
