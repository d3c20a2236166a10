"""LiteLLM's config.yaml and environment, as data: the base that was verified on the pinned version."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from deploys.components import postgres_tls, redis_tls
from deploys.components.base import authorities
from deploys.components.litellm import bootstrap, effects, observability, reliability, state, timers
from deploys.components.litellm import model_list as litellm_model_list
from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.known import unknown_to
from deploys.components.litellm.model_list import BY_PRICE, Defaults, compiled
from deploys.components.litellm.provider_rules import SELFTEST as SELFTEST
from deploys.components.litellm.providers import PROVIDERS
from deploys.components.litellm.retries import own_limits
from deploys.components.litellm.routing import Group, resolve
from deploys.components.litellm.settings import LitellmSettings, entry_timeout_problems
from deploys.components.ollama import asked_url, context_length
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.components.postgres import PostgresSettings
from deploys.components.redis import RedisSettings
from deploys.lib.component import ConfigFile, Here


def public_name(model: str) -> str:
    """The name clients use for a local model: its own, with a dash for the colon."""
    return model.removesuffix(":latest").replace(":", "-")


def own_entries(here: Here) -> list[tuple[str, ModelEntry]]:
    """The models of every Ollama host of the site as entries of the catalogue, each with its deployment's id."""
    found = []
    for member in here.of("ollama"):
        there = Here(member, here.site)
        for model in models_of(there.settings(OllamaSettings)):
            entry = ModelEntry.model_validate(
                {
                    "name": public_name(model.name),
                    "provider": "ollama",
                    "mode": model.mode,
                    "model": model.full,
                    "api_base": asked_url(there),
                    # Ollama loads every model with this much, and cuts a longer prompt without a word.
                    "context_window": context_length(there) if model.mode == "chat" else None,
                }
            )
            found.append((f"{member.name}-{public_name(model.name)}", entry))
    return found


def defaults(s: LitellmSettings) -> Defaults:
    """What entries that say nothing get."""
    by_price = s.routing_strategy == BY_PRICE
    return Defaults(s.request_timeout, s.stream_timeout, s.max_parallel_requests, by_price)


def model_list(here: Here) -> list[dict[str, Any]]:
    """One entry per deployment: every model of every Ollama host, the catalogue's, and the self-test."""
    s: LitellmSettings = here.settings(LitellmSettings)
    own = [compiled(entry, defaults(s), id=name) for name, entry in own_entries(here)]
    selftest = {"model": f"openai/{SELFTEST}", "api_key": "none", "mock_response": "pong"}
    info = {"id": SELFTEST, "mode": "chat", "disable_background_health_check": True}
    mock = {"model_name": SELFTEST, "litellm_params": selftest, "model_info": info}
    return [*own, *litellm_model_list.model_list(s.models, defaults(s)), mock]


def modes(here: Here) -> dict[str, str]:
    """The mode of every model by its public name, the self-test's and the other names of groups included."""
    s: LitellmSettings = here.settings(LitellmSettings)
    named = {entry["model_name"]: entry["model_info"]["mode"] for entry in model_list(here)}
    return named | {alias: named[resolve(s, alias)] for alias in s.groups if resolve(s, alias) in named}


def groups(here: Here) -> dict[str, Group]:
    """The model groups that fallbacks and other names may speak of: all but the self-test's."""
    s: LitellmSettings = here.settings(LitellmSettings)
    entries = [*(entry for _, entry in own_entries(here)), *s.models]
    # Not by its name, which an entry may have by mistake: the self-test is the last one.
    rendered = model_list(here)[:-1]
    found: dict[str, Group] = {}
    for name in dict.fromkeys(entry.name for entry in entries):
        pairs = [(e, r) for e, r in zip(entries, rendered, strict=True) if e.name == name]
        windows = [r["model_info"].get("max_input_tokens") for _, r in pairs]
        found[name] = Group(
            mode=pairs[0][0].kind,
            context_window=None if None in windows else min(windows),
            deployments=len(pairs),
            local=any(PROVIDERS[e.provider].local_cpu for e, _ in pairs),
            health_checked=sum(not r["model_info"].get("disable_background_health_check") for _, r in pairs),
        )
    return found


def redis_settings(here: Here) -> RedisSettings:
    """The settings of the Redis that the gateways share."""
    found = here.of("redis")[0].settings["redis"]
    assert isinstance(found, RedisSettings)
    return found


def redis_authority(here: Here) -> str:
    """The file with what must be above Redis' certificate; empty where it is reached without TLS."""
    return redis_tls.GATEWAY_AUTHORITY if redis_settings(here).secured else ""


def postgres_settings(here: Here) -> PostgresSettings:
    """The settings of the PostgreSQL that the gateways share."""
    found = here.of("postgres")[0].settings["postgres"]
    assert isinstance(found, PostgresSettings)
    return found


def authority_files(here: Here) -> list[ConfigFile]:
    """What must be above the certificates of Redis and PostgreSQL, where they have one."""
    d, r = postgres_settings(here), redis_settings(here)
    database, redis = here.of("postgres")[0], here.of("redis")[0]
    return [
        *([redis_tls.authority(r, redis, redis_tls.GATEWAY_AUTHORITY)] if r.secured else []),
        *([postgres_tls.authority(d, database, postgres_tls.GATEWAY_AUTHORITY)] if d.secured else []),
    ]


def authority_checks(here: Here) -> list[str]:
    """Whether Redis and PostgreSQL, where they speak TLS, answer this host as the new configuration will ask them."""
    d, r = postgres_settings(here), redis_settings(here)
    return [
        *([redis_tls.check(r, here.reach(here.of("redis")[0]))] if r.secured else []),
        *([postgres_tls.check(d, here.reach(here.of("postgres")[0]))] if d.secured else []),
    ]


def config(here: Here) -> dict[str, Any]:
    """The whole config.yaml. Every key is one the installed LiteLLM reads; a key it ignores would be a defect."""
    s: LitellmSettings = here.settings(LitellmSettings)
    made: dict[str, Any] = {
        "model_list": model_list(here),
        "litellm_settings": {
            **reliability.litellm_settings_part(s),
            "drop_params": True,
            # A model with llama3 in its name would fetch a tokenizer from a hub: half a minute where there is none.
            "disable_hf_tokenizer_download": True,
            **observability.litellm_settings_part(s),
            **state.litellm_settings_part(s, redis_authority(here)),
        },
        "router_settings": reliability.router_settings(s, groups(here)),
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            **state.general_settings_part(s, len(here.of("litellm")), redis_authority(here)),
            "store_model_in_db": False,
            **reliability.general_settings_part(s),
            **observability.general_settings_part(s),
            "trusted_proxy_ranges": [],
        },
    }
    return made


def config_problems(here: Here) -> list[str]:
    """What is wrong between the settings of the gateway, each sentence under its key."""
    s: LitellmSettings = here.settings(LitellmSettings)
    known = groups(here)
    found = [
        *litellm_model_list.problems(
            s.models,
            own=[entry for _, entry in own_entries(here)],
            own_names=[SELFTEST],
            own_ids=[SELFTEST, *(name for name, _ in own_entries(here))],
            strategy=s.routing_strategy,
            enforced=("rpm", "tpm") if own_limits(s) else ("rpm",) if s.enable_pre_call_checks else (),
        ),
        *reliability.problems(s, known),
        *state.problems(
            s, s.listen, gateways=len(here.of("litellm")), redis_persistence=redis_settings(here).persistence
        ),
        *observability.problems(s, s.port, s.request_timeout),
        *timers.problems(s, modes(here)),
        *bootstrap.problems(s, modes(here), s.master_key),
        *effects.problems(s),
        *unknown_to(s.version, config(here)),
    ]
    return [*found, *entry_timeout_problems(s)]


def restart_for(here: Here) -> str:
    """What a running gateway would not notice, in one word that changes with it."""
    s: LitellmSettings = here.settings(LitellmSettings)
    trusted = "".join(file.text for file in authorities(here))
    pool = f"{s.database_connection_pool_limit} {s.database_connection_timeout}"
    served = postgres_tls.pinned(postgres_settings(here))
    return hashlib.sha256(f"{pool}\0{trusted}{served}".encode()).hexdigest()[:16]


def environment(here: Here) -> dict[str, str | SecretStr]:
    """Variables of the environment file; the secret ones are revealed by the template that writes it."""
    s: LitellmSettings = here.settings(LitellmSettings)
    database, redis = here.of("postgres")[0], here.of("redis")[0]
    d, r = postgres_settings(here), redis_settings(here)
    host = here.reach(database)
    host = f"[{host}]" if ":" in host else host
    password = quote(d.password.get_secret_value(), safe="")
    return {
        "LITELLM_MASTER_KEY": s.master_key,
        "LITELLM_SALT_KEY": s.salt_key,
        "DATABASE_URL": SecretStr(
            f"postgresql://{d.user}:{password}@{host}:{d.port}/{d.database}{postgres_tls.options(d)}"
        ),
        "REDIS_HOST": here.reach(redis),
        "REDIS_PORT": str(r.port),
        "REDIS_USERNAME": "litellm",
        "REDIS_PASSWORD": r.password,
        **state.environment_part(redis_authority(here)),
        # After five failures LiteLLM leaves Redis alone for a minute: limits would not hold for long after its restart.
        "REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "5",
        # Also keeps it from reading a .env file out of its own package.
        "LITELLM_MODE": "PRODUCTION",
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
        # This variable is nobody's; with another pool, trusted authority or certificate of the database it makes
        # another file, and so a restart.
        "PORTCULLIS_RESTART_FOR": restart_for(here),
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
        **reliability.environment_part(s),
        **observability.environment_part(s),
        **litellm_model_list.variables(s.models),
        **s.environment,
    }
