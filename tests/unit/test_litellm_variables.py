"""Variables that may and may not be set beside Portcullis' own, word by word."""

from __future__ import annotations

import pytest

from deploys.components.litellm import config as litellm_config
from deploys.components.litellm.variables import OURS, options
from deploys.components.litellm.variables import problem as variable_problem
from tests.unit import site
from tests.unit.test_litellm_review import PAID, refused


@pytest.mark.parametrize(
    "name",
    [
        *sorted(OURS | options()),
        *("REDIS_SSL", "DATABASE_SCHEMA", "MAX_REQUESTS_BEFORE_RESTART_JITTER", "LITELLM_DANGEROUSLY_X"),
    ],
)
def test_what_portcullis_sets_or_hardens_is_not_set_beside_it(name: str) -> None:
    assert variable_problem(name) == f"{name} is set by Portcullis or must stay unset"


def test_the_variables_that_are_set_are_all_refused_from_elsewhere() -> None:
    checked = {**PAID, "health_check": True}
    names = litellm_config.environment(site.single(litellm_background_health_checks=True, litellm_models=[checked]))
    assert [name for name in names if not variable_problem(name)] == []
    assert "PROMETHEUS_METRICS_PORT" in options()


@pytest.mark.parametrize("name", ["DB_PASSWORD", "AWS_SECRET", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "LAGO_KEY"])
def test_a_secret_is_refused_by_its_name_and_not_shown(name: str) -> None:
    assert refused(environment={name: "hush"}) == (
        f"litellm_environment: {name}: a literal secret is refused, and by its name this is one; keys of models go "
        "into litellm_models"
    )


@pytest.mark.parametrize(
    "name",
    [
        *("HTTPS_PROXY", "PORTCULLIS_TEST", "DEFAULT_MAX_RETRIES", "SSL_CERTFILE_PATH", "SSL_KEYFILE_PATH"),
        *("A", "AWS_REGION_NAME"),
    ],
)
def test_other_variables_may_be_set(name: str) -> None:
    assert litellm_config.environment(site.single(litellm_environment={name: "x"}))[name] == "x"
