"""LiteLLM's config.yaml and environment, as data: the base that was verified on the pinned version."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from deploys.components.base import authorities
from deploys.components.litellm_settings import LitellmSettings
from deploys.components.ollama import base_url, context_length
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.components.postgres import PostgresSettings
from deploys.components.redis import RedisSettings
from deploys.lib.component import Here, Member

# A mock that proves authentication and routing without a model behind it.
SELFTEST = "toolkit-selftest"


def public_name(model: str) -> str:
    """The name clients use for a local model: its own, with a dash for the colon."""
    return model.removesuffix(":latest").replace(":", "-")


def _ollama_entries(here: Here, member: Member, s: LitellmSettings) -> list[dict[str, Any]]:
    there = Here(member, here.site)
    settings: OllamaSettings = there.settings(OllamaSettings)
    # No slash at the end, which would become //api/chat; and always there, or the proxy starts `ollama serve` itself.
    base = base_url(there)
    entries = []
    for model in models_of(settings):
        # `ollama/` flattens a chat into one prompt, and is right for embeddings only.
        provider = "ollama_chat" if model.mode == "chat" else "ollama"
        params: dict[str, Any] = {
            "model": f"{provider}/{model.full}",
            "api_base": base,
            "timeout": s.request_timeout,
            "max_parallel_requests": s.max_parallel_requests,
        }
        info: dict[str, Any] = {"id": f"{member.name}-{public_name(model.name)}", "mode": model.mode}
        if model.mode == "chat":
            params["stream_timeout"] = s.stream_timeout
            info["max_input_tokens"] = context_length(there)
        # Local models cost nothing; without a price every request logs that the model is not in LiteLLM's table.
        info |= {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "disable_background_health_check": True}
        entries.append({"model_name": public_name(model.name), "litellm_params": params, "model_info": info})
    return entries


def model_list(here: Here) -> list[dict[str, Any]]:
    """One entry per deployment: every model of every Ollama host, and the self-test."""
    s: LitellmSettings = here.settings(LitellmSettings)
    entries = [entry for member in here.of("ollama") for entry in _ollama_entries(here, member, s)]
    selftest = {"model": f"openai/{SELFTEST}", "api_key": "none", "mock_response": "pong"}
    info = {"id": SELFTEST, "mode": "chat", "disable_background_health_check": True}
    return [*entries, {"model_name": SELFTEST, "litellm_params": selftest, "model_info": info}]


def config(here: Here) -> dict[str, Any]:
    """The whole config.yaml. Every key is one LiteLLM 1.106.2 reads; a key it ignores would be a defect."""
    s: LitellmSettings = here.settings(LitellmSettings)
    return {
        "model_list": model_list(here),
        "litellm_settings": {
            "request_timeout": s.request_timeout,
            "drop_params": True,
            "json_logs": True,
            # Prompts stay out of callbacks, exceptions and alerts.
            "turn_off_message_logging": True,
            "redact_messages_in_exceptions": True,
            "callbacks": ["prometheus"],
            "service_callback": ["prometheus_system"],
            # Also gives the router, limits and cooldowns their Redis.
            "cache": True,
            "cache_params": {
                "type": "redis",
                "host": "os.environ/REDIS_HOST",
                "port": "os.environ/REDIS_PORT",
                "username": "os.environ/REDIS_USERNAME",
                "password": "os.environ/REDIS_PASSWORD",
                "namespace": "litellm",
                "ttl": 600,
                # Two keys with the same prompt would share an answer; a request asks for the cache by itself.
                "mode": "default_off",
                "supported_call_types": ["acompletion", "atext_completion", "aembedding"],
                "max_connections": 50,
            },
        },
        "router_settings": {
            "routing_strategy": "simple-shuffle",
            "num_retries": s.num_retries,
            "timeout": s.request_timeout,
            "stream_timeout": s.stream_timeout,
            "cooldown_time": s.cooldown_time,
            "enable_pre_call_checks": True,
            "retry_policy": {
                "BadRequestErrorRetries": 0,
                "AuthenticationErrorRetries": 0,
                "ContentPolicyViolationErrorRetries": 0,
                "RateLimitErrorRetries": s.num_retries,
                "TimeoutErrorRetries": 0,
                "InternalServerErrorRetries": s.num_retries,
                "ServiceUnavailableErrorRetries": s.num_retries,
            },
        },
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "database_connection_pool_limit": s.database_connection_pool_limit,
            "database_connection_timeout": s.database_connection_timeout,
            "proxy_batch_write_at": s.proxy_batch_write_at,
            "disable_error_logs": True,
            "maximum_spend_logs_retention_period": s.spend_logs_retention,
            "maximum_spend_logs_retention_interval": "1d",
            "allow_requests_on_db_unavailable": False,
            "store_model_in_db": False,
            "health_check_details": False,
            "trusted_proxy_ranges": [],
        },
    }


def restart_for(here: Here) -> str:
    """What a running gateway would not notice, in one word that changes with it."""
    s: LitellmSettings = here.settings(LitellmSettings)
    trusted = "".join(file.text for file in authorities(here))
    pool = f"{s.database_connection_pool_limit} {s.database_connection_timeout}"
    return hashlib.sha256(f"{pool}\0{trusted}".encode()).hexdigest()[:16]


def environment(here: Here) -> dict[str, str]:
    """Variables of the environment file. The values are secrets: only the template that writes the file gets them."""
    s: LitellmSettings = here.settings(LitellmSettings)
    database, redis = here.of("postgres")[0], here.of("redis")[0]
    d, r = database.settings["postgres"], redis.settings["redis"]
    assert isinstance(d, PostgresSettings) and isinstance(r, RedisSettings)
    host = here.reach(database)
    host = f"[{host}]" if ":" in host else host
    password = quote(d.password.get_secret_value(), safe="")
    return {
        "LITELLM_MASTER_KEY": s.master_key.get_secret_value(),
        "LITELLM_SALT_KEY": s.salt_key.get_secret_value(),
        "DATABASE_URL": f"postgresql://{d.user}:{password}@{host}:{d.port}/{d.database}",
        "REDIS_HOST": here.reach(redis),
        "REDIS_PORT": str(r.port),
        "REDIS_USERNAME": "litellm",
        "REDIS_PASSWORD": r.password.get_secret_value(),
        # After five failures LiteLLM leaves Redis alone for a minute: limits would not hold for long after its restart.
        "REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "5",
        # Also keeps it from reading a .env file out of its own package.
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": s.log_level,
        # Otherwise every start waits for a price list from the internet.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
        # Public pages of 2 MB that take seconds of the event loop.
        "NO_DOCS": "True",
        "NO_REDOC": "True",
        "NO_OPENAPI": "True",
        "NO_COLOR": "1",
        # Also half of the cure of the fork deadlock: with a zone given nothing is looked up after a fork.
        "TZ": "UTC",
        "DISABLE_SCHEMA_UPDATE": "true",
        "PRISMA_USE_GLOBAL_NODE": "true",
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
        # LiteLLM puts the pool into the database's URL once, when it starts: a reload would go on with the old one.
        # This variable is nobody's; with another pool or trusted authority it makes another file, and so a restart.
        "PORTCULLIS_RESTART_FOR": restart_for(here),
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
        **s.environment,
    }
