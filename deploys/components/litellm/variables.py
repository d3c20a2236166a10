"""Names of environment variables that `litellm_environment` must not have, and why."""

from __future__ import annotations

import json
from functools import cache

from deploys.components.litellm.keys import DATA
from deploys.components.litellm.observability import VARIABLES

# Set from other settings or to harden the gateway, or what LiteLLM must not see. config.environment() sets most.
OURS = {
    "PORT", "HOST", "NUM_WORKERS", "LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "DISABLE_SCHEMA_UPDATE", "PATH", "HOME",
    "TZ", "LITELLM_LOG", "LITELLM_MODE", "PROMETHEUS_MULTIPROC_DIR", "PORTCULLIS_RESTART_FOR", "RUNTIME_DIRECTORY",
    "HEALTH_CHECK_TIMEOUT_SECONDS", "DEFAULT_SHARED_HEALTH_CHECK_TTL", "DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL",
    "GRACEFUL_SHUTDOWN_TIMEOUT", "LITELLM_LOCAL_MODEL_COST_MAP", "LITELLM_DONT_SHOW_FEEDBACK_BOX", "NO_DOCS",
    "NO_REDOC", "NO_OPENAPI", "NO_COLOR", "CHECKPOINT_DISABLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
    "STORE_MODEL_IN_DB", "REQUEST_TIMEOUT", "IAM_TOKEN_DB_AUTH", "DIRECT_URL", *VARIABLES,
}  # fmt: skip
PREFIXES = (
    *("LD_", "PYTHON", "PRISMA_", "PORTCULLIS_MODEL_KEY_", "REDIS_", "DATABASE_", "MAX_REQUESTS_BEFORE_RESTART"),
    "LITELLM_DANGEROUSLY_",
)
# Ends of names that hold secrets; in host data they would lie in the clear in a repository.
SECRET_ENDS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "_KEY", "ACCESS_KEY_ID", "CREDENTIALS")
# Options of the command line that do no harm here: a gateway with TLS of its own.
HARMLESS = {"SSL_CERTFILE_PATH", "SSL_KEYFILE_PATH"}


@cache
def options() -> frozenset[str]:
    """Variables that are options of LiteLLM's command line in any known release, which Portcullis gives itself.

    PROMETHEUS_METRICS_PORT is one: it would serve metrics without a key on every address.
    """
    spans = json.loads((DATA / "cli_options.json").read_text()).values()
    return frozenset(span["variable"] for found in spans for span in found if "variable" in span) - HARMLESS


def problem(name: str) -> str:
    """Why a variable may not be set beside Portcullis' own; empty when it may."""
    if name in OURS or name in options() or name.startswith(PREFIXES):
        return f"{name} is set by Portcullis or must stay unset"
    if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")):
        return f"{name}: LiteLLM would use it for every model of that kind without one; set it in litellm_models"
    if name.endswith(SECRET_ENDS):
        return (
            f"{name}: a literal secret is refused, and by its name this is one; keys of models go into litellm_models"
        )
    return ""
