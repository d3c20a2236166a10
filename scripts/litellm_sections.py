"""What each section of a configuration may hold, according to the source of one LiteLLM release."""

from __future__ import annotations

import ast
import re

from scripts.litellm_reads import Reads
from scripts.litellm_source import Found, Source, annotation, assigned, dotted
from scripts.litellm_words import Section, compared, functions, keys, kinds, names, used, words

ROOTS = {
    "general_settings": r"(?!router_)(?:\w*_)?general_settings(?:_view)?",
    "litellm_settings": r"(?:\w*_)?litellm_settings",
    "callback_settings": r"callback_settings",
    "model_info": r"_?model_info",
    "litellm_params": r"_?litellm_params",
    "optional_params": r"optional_params",
    "environment_variables": r"environ",
}
READERS = {r"getenv|get_secret(?:_str|_bool)?|get_env_\w+|_env_(?:str|bool|int|float|flag)": "environment_variables"}
# Guardrails, agents and stores have parameters of the same name that are not those of a model.
NOT_A_MODEL = r"guardrail|a2a|agent|vector_store|prompt|policy|skills|rag|search|interactions|containers|realtime"
APART = {
    "litellm_params": NOT_A_MODEL,
    "optional_params": NOT_A_MODEL,
    "callback_settings": "proxy_server|callback_utils",
}
# Module attributes that LiteLLM keeps its own state in: nobody sets them, and most are overwritten.
STATE = {
    "adapters", "aclient_session", "client_session", "error_logs", "guardrail_name_config_map", "model_cost",
    "initialized_langfuse_clients", "prompt_name_config_map", "secret_manager_client", "vector_store_registry",
    "vector_store_index_registry", "credential_list", "model_list", "in_memory_llm_clients_cache",
    "litellm_mode", "argilla_transformation_object", "provider_list", "logging_callback_manager", "callback_settings",
    "azure_llms", "common_cloud_provider_auth_params", "config_path", "known_tokenizer_config", "model_list_set",
    "models_by_provider", "request_timeout_explicitly_set", "longer_context_model_fallback_dict",
    "module_level_client", "module_level_aclient",
}  # fmt: skip
# Read of other mappings of that name; the last two only to warn that they are at the wrong place.
NOT_TOP_LEVEL = {"force_reload", "interval_hours", "enable_jwt_auth", "litellm_jwtauth"}


def extract(source: Source) -> dict[str, Section]:
    """Every section of the release, key by key."""
    reads = Reads(source, ROOTS, READERS, APART).found
    cache, redis = _cache(source)
    sections = {
        "top_level": _top_level(source),
        "model_list": kinds(declared=source.fields("Deployment", "types/router")),
        "litellm_params": _litellm_params(source, reads),
        "model_info": kinds(
            declared=source.fields("ModelInfo", "types/router"),
            map=source.fields("ModelInfoBase", "types/utils"),
            read=reads["model_info"],
        ),
        "litellm_settings": _litellm_settings(source, reads["litellm_settings"]),
        "cache_params": cache,
        "router_settings": _router_settings(source),
        "general_settings": _general_settings(source, reads["general_settings"]),
        "callback_settings": kinds(read=reads["callback_settings"]),
        "coordination_redis": redis,
        "alerting_args": kinds(declared=source.fields("SlackAlertingArgs")),
        "retry_policy": kinds(declared=source.fields("RetryPolicy", "types/router")),
        "allowed_fails_policy": kinds(declared=source.fields("AllowedFailsPolicy", "types/router")),
        "alert_types": kinds(value=source.members("AlertType")),
        "routing_strategies": kinds(value=_strategies(source)),
        "pre_call_checks": kinds(value=words(source, "types/router.py", "OptionalPreCallChecks")),
        "cache_types": kinds(value=source.members("LiteLLMCacheType")),
        "cache_call_types": kinds(value=words(source, "types/caching.py", "CachingSupportedCallTypes")),
        "providers": kinds(value=source.members("LlmProviders", "types/utils")),
        "callbacks": _callbacks(source),
        "service_callbacks": kinds(value=compared(source, "litellm/_service_logger.py", {"callback"})),
        "environment_variables": _environment(source, reads["environment_variables"]),
        "cli_options": _options(source),
    }
    return {name: dict(sorted(keys.items())) for name, keys in sections.items()}


def _top_level(source: Source) -> Section:
    """What the proxy reads of the file as a whole; ``include`` is taken out of it before the rest is read."""
    part = source.only("proxy/proxy_server.py", "proxy/proxy_cli.py", "proxy/common_utils/config_includes.py")
    found = Reads(part, {"top_level": r"_?config"}).found["top_level"]
    return kinds(read={key: value for key, value in found.items() if key not in NOT_TOP_LEVEL})


def _litellm_params(source: Source, reads: dict[str, dict[str, Found]]) -> Section:
    declared = source.fields("LiteLLM_Params", "types/router") | source.fields("LiteLLMParamsTypedDict", "types/router")
    openai: dict[str, Found] = {}
    for constant in ("CHAT_COMPLETION", "TRANSCRIPTION", "EMBEDDING"):
        openai |= words(source, "litellm/constants.py", f"OPENAI_{constant}_PARAMS")
    openai |= keys(source, "litellm/constants.py", "DEFAULT_CHAT_COMPLETION_PARAM_VALUES")
    for function in ("completion", "embedding", "image_generation", "transcription", "speech", "rerank", "moderation"):
        openai |= source.arguments(function, "litellm/main.py") | source.arguments(function, "rerank_api/main.py")
    openai |= source.arguments("responses", "litellm/responses/main.py")
    for name in ("ResponsesAPIOptionalRequestParams", "AnthropicMessagesRequestOptionalParams"):
        openai |= source.fields(name, "litellm/types/llms/")
    owned = words(source, "types/utils.py", "all_litellm_params") | source.fields("StandardCallbackDynamicParams")
    groups = sorted(source.classes_in("litellm/types/litellm_params.py"))
    for name in groups:
        owned |= {
            key: found for key, found in source.fields(name, "types/litellm_params").items() if found.type not in groups
        }
    provider: dict[str, Found] = {}
    for name in source.classes_in("litellm/llms/"):
        if name.endswith("Config"):
            provider |= source.fields(name, "litellm/llms/")
    provider |= reads["optional_params"]
    section = kinds(declared=declared, openai=openai, litellm=owned, read=reads["litellm_params"], provider=provider)
    # Constants of the classes, and what the gateway's own parts tell each other.
    return {key: entry for key, entry in section.items() if not key.isupper() and not key.startswith("_")}


def _litellm_settings(source: Source, reads: dict[str, Found]) -> Section:
    loading = functions(source, "proxy/proxy_server.py", "load_config")
    explicit = compared(source, "proxy/proxy_server.py", {"key"}, loading)
    package = "litellm/__init__.py"
    asked = used(source)
    attributes: dict[str, Found] = {}
    for node in ast.walk(source.modules[package]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(("constants", "_logging")):
            place = f"litellm/{(node.module or '').rpartition('.')[2]}.py"
            for alias in node.names:
                value = source.value(place, source.constants.get(place, {}).get(alias.name))
                if isinstance(value, bool | int | float | str):
                    attributes[alias.name] = Found("", value)
        elif (pair := assigned(node)) is not None:
            described = annotation(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            attributes[pair[0]] = Found(described, source.value(package, pair[1]))
    keep = re.compile(r"(?!_)(?!\w*_models$)[a-z][a-z0-9_]*")
    attributes = {
        key: found
        for key, found in attributes.items()
        if keep.fullmatch(key) and key in asked and key not in STATE and not re.match(r"Callable|type\[", found.type)
    }
    section = kinds(explicit=explicit, attribute=attributes, read=reads)
    return {key: entry for key, entry in section.items() if key not in STATE}


def _cache(source: Source) -> tuple[Section, Section]:
    """Arguments of the cache, and those of the Redis behind it, which alone takes the coordination's mapping."""
    client = _client(source)
    wrapper = source.arguments("__init__", "caching/redis_cache.py", "RedisCache")
    own = source.arguments("__init__", "caching/caching.py", "Cache")
    own.pop("_backend", None)
    wrapper |= names(("service_name", "sentinel_nodes", "sentinel_password", "startup_nodes"))
    cluster = source.arguments("__init__", "redis/cluster.py", "RedisCluster")
    cluster = {key: found for key, found in cluster.items() if key not in ("retry", "policy_resolver")}
    return kinds(declared=own, litellm=wrapper, redis=client, cluster=cluster), kinds(litellm=wrapper, redis=client)


def _client(source: Source) -> dict[str, Found]:
    """What LiteLLM hands on to the Redis client: its arguments that text can express, and a few of LiteLLM's own."""
    found = source.arguments("__init__", "redis/client.py", "Redis")
    for where, node in source.functions.get("_get_redis_kwargs", ()):
        chosen = [pair[1] for part in ast.walk(node) if (pair := assigned(part)) and pair[0].startswith("include")]
        found |= names(word for value in chosen for word in source.strings(where, value))
    return {key: known for key, known in found.items() if key not in ("connection_pool", "retry")}


def _router_settings(source: Source) -> Section:
    arguments = source.arguments("__init__", "litellm/router.py", "Router")
    kept_out = set(words(source, "litellm/constants.py", "ROUTER_SETTINGS_MANAGED_OUTSIDE_CONFIG"))
    for node in functions(source, "proxy/proxy_server.py", "load_config"):
        for part in ast.walk(node):
            if (pair := assigned(part)) is not None and pair[0] == "exclude_args":
                kept_out |= source.strings("litellm/proxy/proxy_server.py", pair[1])
            elif isinstance(part, ast.Call) and dotted(part.func) == "Router":
                # The proxy gives these on the same call as the settings: a second one ends the start with an error.
                kept_out |= {word.arg for word in part.keywords if word.arg}
    return kinds(declared={key: found for key, found in arguments.items() if key not in kept_out})


def _general_settings(source: Source, reads: dict[str, Found]) -> Section:
    flags = words(source, "proxy_setting_endpoints.py", "_RUNTIME_GENERAL_SETTINGS_FLAGS")
    own = {key: found for key, found in reads.items() if key not in ROOTS}
    return kinds(declared=source.fields("ConfigGeneralSettings", "proxy/_types"), read=own, interface=flags)


def _strategies(source: Source) -> dict[str, Found]:
    found = source.members("RoutingStrategy", "types/router")
    found |= words(source, "types/litellm_params.py", "RoutingStrategyName")
    if (at := source.find("Router", "litellm/router.py")) is not None:
        for node in ast.walk(at[1]):
            if isinstance(node, ast.arg) and node.arg == "routing_strategy" and node.annotation is not None:
                found |= names(word for word in source.strings(at[0], node.annotation) if "-" in word or word == "lar1")
    return found


def _callbacks(source: Source) -> Section:
    literal = words(source, "litellm/__init__.py", "_custom_logger_compatible_callbacks_literal")
    logging = compared(source, "litellm_logging.py", {"callback", "logging_integration"})
    proxy = compared(source, "proxy/common_utils/callback_utils.py", {"callback"})
    services = names(source.data.get("litellm/integrations/generic_api/generic_api_compatible_callbacks.json", ()))
    return kinds(declared=literal, read=logging | proxy, generic=services)


def _environment(source: Source, reads: dict[str, Found]) -> Section:
    named = {key: found for key, found in reads.items() if re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", key)}
    options = {str(entry["variable"]): Found() for entry in _options(source).values() if "variable" in entry}
    return kinds(read=named, option=options, redis=names(f"REDIS_{key.upper()}" for key in _client(source)))


def _options(source: Source) -> Section:
    """Options of the command line, with the variable that stands for one."""
    section: Section = {}
    name = next((name for name in source.modules if name.endswith("proxy/proxy_cli.py")), "")
    for node in ast.walk(source.modules[name]) if name else ():
        if not (isinstance(node, ast.Call) and dotted(node.func) == "option"):
            continue
        given = {word.arg: word.value for word in node.keywords if word.arg}
        entry: dict[str, object] = {"kind": "flag" if source.value(name, given.get("is_flag")) else "value"}
        kind = ast.unparse(given["type"]).removeprefix("click.") if "type" in given else ""
        default, variable = source.value(name, given.get("default")), source.value(name, given.get("envvar"))
        entry |= {
            key: value
            for key, value in (("type", kind), ("default", default), ("variable", variable))
            if value not in (None, "")
        }
        for flag in node.args:
            if isinstance(flag, ast.Constant) and isinstance(flag.value, str) and flag.value.startswith("--"):
                for spelling in flag.value.split("/"):
                    section[spelling] = entry
    return section
