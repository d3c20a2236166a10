"""Settings of a gateway that show what it keeps in the database and in Redis, and what its workers do."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import cached_property

from tests.host import support_double
from tests.host.support_double import BASE, Double
from tests.host.support_http import Gateway
from tests.host.support_many import rows

# What one answer of the double costs with the prices of `spare`, in US dollars: 7 tokens in and 4 out.
PRICE = 7 * 1e-06 + 4 * 2e-06
# LiteLLM adds up to 5 s to the time between two writes.
WRITE_SECONDS = 600
WRITE_LATE = 5
CACHE_SECONDS = 8
DRAIN_SECONDS = 6
DATABASE_POOL, DATABASE_SECONDS = 2, 4
REDIS_POOL, REDIS_MORE = 5, 3
MAX_REQUESTS = 1000
NAMESPACE = "lab-state"
# What LiteLLM has no setting for: it looks every ten minutes which budgets begin anew, and needs ten seconds to give up
# a key that it cannot look up.
LOOKUP_SECONDS = 3
PACE = {
    "PROXY_BUDGET_RESCHEDULER_MIN_TIME": "5",
    "PROXY_BUDGET_RESCHEDULER_MAX_TIME": "5",
    "PROXY_DB_LOOKUP_DEADLINE_SECONDS": str(LOOKUP_SECONDS),
}
# One run's own: what was counted for an earlier run's keys and teams is not counted for these.
RUN = secrets.token_hex(4)


@dataclass(frozen=True)
class Keys:
    """Virtual keys by alias, with values that are this run's own."""

    names: tuple[str, ...]

    @cached_property
    def values(self) -> dict[str, str]:
        return {name: f"sk-lab-{secrets.token_hex(24)}" for name in self.names}

    def environment(self) -> dict[str, str]:
        return {self.variable(name): value for name, value in self.values.items()}

    @staticmethod
    def variable(name: str) -> str:
        return f"LAB_STATE_{name.upper().replace('-', '_')}"


KEYS = Keys(
    (
        *("spent", "renewed", "rpm", "tpm", "one-at-a-time", "blocked", "brief", "early", "modest"),
        *("team-rpm-1", "team-rpm-2", "team-tpm", "team-spent-1", "team-spent-2", "team-blocked", "team-modest"),
    )
)


def team(name: str) -> str:
    return f"lab-{name}-{RUN}"


def alias(name: str) -> str:
    return f"lab-{name}-{RUN}"


def _entry(name: str, model: str, **more: object) -> dict[str, object]:
    """A model that the double plays."""
    base = {"provider": "openai", "api_base": f"{BASE}/v1", "api_key": "env:DOUBLE_OPENAI_KEY"}
    return {"name": name, "model": model, **base, **more}


def _teams() -> dict[str, dict[str, object]]:
    return {
        team("rpm"): {"rpm_limit": 3},
        team("tpm"): {"tpm_limit": 40},
        team("spent"): {"max_budget": PRICE * 1.5, "budget_duration": "30d"},
        team("blocked"): {"blocked": True},
        team("modest"): {"models": ["spare"]},
    }


def _keys() -> dict[str, dict[str, object]]:
    limits: dict[str, dict[str, object]] = {
        "spent": {"max_budget": PRICE * 1.5},
        "renewed": {"max_budget": PRICE * 1.5, "budget_duration": "20s"},
        "rpm": {"rpm_limit": 2},
        "tpm": {"tpm_limit": 40},
        "one-at-a-time": {"max_parallel_requests": 1},
        "blocked": {"blocked": True},
        "brief": {"duration": "45s"},
        "early": {},
        "modest": {"models": ["spare"]},
        "team-rpm-1": {"team": team("rpm")},
        "team-rpm-2": {"team": team("rpm")},
        "team-tpm": {"team": team("tpm")},
        "team-spent-1": {"team": team("spent")},
        "team-spent-2": {"team": team("spent")},
        "team-blocked": {"team": team("blocked")},
        "team-modest": {"team": team("modest")},
    }
    return {alias(name): {**limits[name], "value": f"env:{KEYS.variable(name)}"} for name in KEYS.names}


def _more_models() -> list[dict[str, object]]:
    return [
        _entry("second", "slow-2"),
        _entry("lasting", "slow-4-lasting"),
        _entry("endless", "slow-40", timeout=60),
        _entry("failing", "fail-503-state"),
        _entry("vectors", "vectors", mode="embedding"),
        {"name": "queue", "provider": "ollama", "model": "slow-1-queue", "api_base": BASE, "context_window": 4096},
    ]


def sparing() -> dict[str, object]:
    """Small pools, late writes, everything cached for a short time, and a key or team for every kind of limit."""
    base = support_double.settings()
    return {
        **base,
        "litellm_models": [*base["litellm_models"], *_more_models()],  # type: ignore[misc]
        "litellm_teams": {**base["litellm_teams"], **_teams()},  # type: ignore[dict-item]
        "litellm_keys": {**base["litellm_keys"], **_keys()},  # type: ignore[dict-item]
        "litellm_database_connection_pool_limit": DATABASE_POOL,
        "litellm_database_connection_timeout": DATABASE_SECONDS,
        "litellm_proxy_batch_write_at": WRITE_SECONDS,
        "litellm_spend_logs_retention": "1h",
        "litellm_spend_logs_cleanup_interval": "1m",
        "litellm_health_check_retention": "2h",
        "litellm_error_logs": True,
        "litellm_cache_mode": "default_on",
        "litellm_cache_ttl": CACHE_SECONDS,
        "litellm_cache_call_types": ["acompletion"],
        "litellm_cache_max_messages": 2,
        "litellm_cache_namespace": NAMESPACE,
        "litellm_redis_max_connections": REDIS_POOL,
        "litellm_max_parallel_requests": 1,
        "litellm_drain_timeout": DRAIN_SECONDS,
        "litellm_recycle": "max_requests",
        "litellm_max_requests": MAX_REQUESTS,
        "litellm_probe_models": ["spare"],
        "litellm_environment": PACE,
    }


def lavish() -> dict[str, object]:
    """The other side of the same settings: large pools, no rows, no cache, quick writes, renewal by the clock."""
    base = support_double.settings()
    return {
        **base,
        "litellm_models": [*base["litellm_models"], *_more_models()],  # type: ignore[misc]
        "litellm_spend_logs": False,
        "litellm_proxy_batch_write_at": 1,
        "litellm_use_redis_transaction_buffer": True,
        "litellm_cache_mode": "off",
        "litellm_allow_requests_on_db_unavailable": True,
        "litellm_allow_requests_on_db_unavailable_acknowledged": True,
        "litellm_environment": PACE,
        "litellm_recycle": "timer",
        "litellm_recycle_calendar": "*-*-* *:*:00",
    }


ENVIRONMENT = {**support_double.ENVIRONMENT, **KEYS.environment()}


class Sparing:
    """The gateway with the settings of ``sparing``, and what has happened to it since it got them."""

    def __init__(self, double: Double, unkept: str) -> None:
        self.double, self.server, self.gateway, self.unkept = double, double.server, Gateway(double.server), unkept
        # Not the words of the timer's question: its answer may be in the cache, where it costs nothing.
        self.early = self.gateway.chat("spare", key=KEYS.values["early"], text=f"early {RUN}")
        self.began = time.monotonic()
        self._plant()

    def _plant(self) -> None:
        """Rows a little older than they may be, and some that stay younger until all tests are over."""
        for name, minutes in (("young", 35), ("old", 62)):
            moment = f"(now() AT TIME ZONE 'utc') - interval '{minutes} minutes'"
            rows(
                self.server,
                f'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime") '
                f"VALUES ('{name}-{RUN}', 'planted', {moment}, {moment})",
            )
            checked = f"{moment} - interval '1 hour'"
            rows(
                self.server,
                'INSERT INTO "LiteLLM_HealthCheckTable" (health_check_id, model_name, status, checked_at, updated_at) '
                f"VALUES ('{name}-{RUN}', 'planted', 'healthy', {checked}, {checked})",
            )

    def planted(self) -> set[str]:
        """Which of the planted rows are there still."""
        found = rows(
            self.server,
            f"SELECT request_id FROM \"LiteLLM_SpendLogs\" WHERE request_id LIKE '%-{RUN}' "
            f"UNION ALL SELECT 'check-' || health_check_id FROM \"LiteLLM_HealthCheckTable\" "
            f"WHERE health_check_id LIKE '%-{RUN}'",
        )
        return {name.removesuffix(f"-{RUN}") for name in found}


def forget(gateway: Gateway) -> None:
    """Delete the teams and keys above: what is taken out of the settings stays in the gateway."""
    gateway.ask("/key/delete", {"key_aliases": [alias(name) for name in KEYS.names]})
    gateway.ask("/team/delete", {"team_ids": list(_teams())})
