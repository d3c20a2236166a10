"""Rules about single entries of model_list: addresses, keys, modes, providers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from deploys.auditing.findings import add_key, set_value
from deploys.auditing.known import names
from deploys.auditing.providers import has_provider, knows_mode
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import Deployment, Subject

EMBEDDING = re.compile(r"embed|bge-|\be5-|gte-|minilm|voyage-", re.I)
RERANK = re.compile(r"rerank", re.I)


def _params(d: Deployment, key: str = "model") -> tuple[str | int, ...]:
    return d.path("litellm_params", key)


@rule(
    "L18",
    P1,
    "An Ollama model without api_base",
    effect="LiteLLM starts `ollama serve` itself, inside the gateway, and asks localhost.",
    advice="Give every Ollama entry its api_base.",
    source="litellm/proxy/proxy_server.py:7187",
)
def ollama_without_address(s: Subject) -> Iterator[Hit]:
    for d in s.deployments:
        if "ollama" in d.model and not d.api_base:
            line = ["api_base: http://127.0.0.1:11434"]
            yield at(s, _params(d), f"{d.name}: {d.model} has no api_base", add_key(s.config, _params(d)[:-1], line))


@rule(
    "L19",
    P1,
    "An Ollama entry that asks in the wrong way",
    effect="`ollama/` flattens a chat into one prompt; ollama.com knows no -cloud names and answers 401 without a key.",
    advice="Chats: ollama_chat/. ollama.com: the name without -cloud, and api_key: os.environ/OLLAMA_CLOUD_API_KEY.",
    source="litellm/llms/ollama/completion/transformation.py; https://docs.ollama.com/cloud",
)
def ollama_entries(s: Subject) -> Iterator[Hit]:
    for d in s.deployments:
        path = _params(d)
        if d.provider == "ollama" and not EMBEDDING.search(d.model) and d.mode not in ("embedding", "completion"):
            fix = set_value(s.config, path, d.model.replace("ollama/", "ollama_chat/", 1))
            yield at(s, path, f"{d.name}: a chat model behind ollama/", fix)
        if d.provider in ("ollama", "ollama_chat") and "ollama.com" in d.api_base:
            if re.search(r"-cloud$", d.model):
                fix = set_value(s.config, path, d.model.removesuffix("-cloud"))
                yield at(s, path, f"{d.name}: -cloud names belong to a signed-in local Ollama, not to ollama.com", fix)
            if not d.params.get("api_key") and "OLLAMA_API_KEY" not in s.variables:
                fix = add_key(s.config, path[:-1], ["api_key: os.environ/OLLAMA_CLOUD_API_KEY"])
                yield at(s, path, f"{d.name}: ollama.com without api_key", fix)
        base = _params(d, "api_base")
        if d.provider in ("ollama", "ollama_chat") and re.search(r"[^/:]/+(v1/*)?$", d.api_base):
            right = re.sub(r"/+(v1/*)?$", "", d.api_base)
            yield at(
                s,
                base,
                f"{d.name}: Ollama's own protocol has no /v1 and no slash at the end",
                set_value(s.config, base, right),
            )


@rule(
    "L20",
    P0,
    "An OpenAI-compatible server without api_key",
    effect="Every request to it ends in HTTP 500, Missing credentials.",
    advice="Set api_key; `none` when the server wants no key.",
    source="litellm/llms/openai/openai.py (OpenAI client)",
)
def openai_without_key(s: Subject) -> Iterator[Hit]:
    for d in s.deployments:
        keyed = d.params.get("api_key") or d.params.get("litellm_credential_name") or "OPENAI_API_KEY" in s.variables
        if d.provider in ("openai", "custom_openai") and d.api_base and not keyed and not d.mocked:
            fix = add_key(s.config, _params(d)[:-1], ["api_key: none"])
            yield at(s, _params(d), f"{d.name}: api_base is set and api_key is not", fix)


@rule(
    "L21",
    P2,
    "An embedding or rerank model without its mode",
    effect="Where LiteLLM's price map does not know it, health checks send it a chat and call it unhealthy.",
    advice="Set model_info.mode.",
    source="litellm/proxy/health_check.py:92",
)
def mode_missing(s: Subject) -> Iterator[Hit]:
    table = (s.live.models if s.live else None) or {}
    for d in s.deployments:
        if d.mode or "*" in d.model or table.get(d.model) or knows_mode(d.model, d.custom_provider, d.local):
            continue
        mode = "rerank" if RERANK.search(d.model) else "embedding" if EMBEDDING.search(d.model) else ""
        if mode:
            section = d.path("model_info")
            fix = add_key(s.config, section, [f"mode: {mode}"]) if d.info else []
            yield at(s, _params(d), f"{d.name}: {d.model} has no model_info.mode: {mode}", fix)


@rule(
    "L37",
    P1,
    "An entry that LiteLLM drops, or has no use for",
    effect="The model is missing; LiteLLM logs one line and starts without it.",
    advice="Write model as provider/name; for an OpenAI-compatible server openai/name with api_base and api_key.",
    source="litellm/proxy/proxy_server.py:7250 (ignore_invalid_deployments=True)",
)
def dropped(s: Subject) -> Iterator[Hit]:
    entries = s.config.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        path = ("model_list", index)
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or not params.get("model"):
            yield at(s, path, "the entry has no litellm_params.model, and LiteLLM does not start", severity=P0)
        elif not entry.get("model_name"):
            yield at(s, path, "the entry has no model_name", severity=P0)
    for d in s.deployments:
        known_host = d.api_base and not d.local and not d.api_base.startswith(("os.environ/", "$"))
        if (
            d.model
            and not d.params.get("custom_llm_provider")
            and not has_provider(d.model, s.version)
            and not known_host
        ):
            near = difflib.get_close_matches(d.model.partition("/")[0], names(s.version, "providers"), n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}/?" if near else ""
            yield at(s, _params(d), f"{d.name}: {d.model!r} names no provider that LiteLLM knows{hint}")
    yield from _counted(s)


def _counted(s: Subject) -> Iterator[Hit]:
    alias = s.config.get("router_settings", "model_group_alias")
    declared = len(s.deployments) + (len(alias) if isinstance(alias, dict) else 0)
    for place, line in s.texts():
        found = re.search(r"config OK \((\d+) models?\)", line)
        if found and int(found.group(1)) not in (declared, len(s.deployments)):
            yield Hit(place, f"LiteLLM counts {found.group(1)} models, and the configuration has {declared}")
    served = s.live.served if s.live else None
    if served is not None:
        missing = sorted(name for name in s.groups if name and "*" not in name and name not in served)
        if missing and s.live:
            yield Hit(s.live.place, f"configured and not served: {', '.join(missing[:8])}")


@rule(
    "L24",
    P2,
    "rpm and tpm that nothing enforces",
    effect="simple-shuffle only uses them as weights: with rpm 2, six requests in a minute pass.",
    advice="Set router_settings.enable_pre_call_checks: true, or "
    'optional_pre_call_checks: ["enforce_model_rate_limits"].',
    source="litellm/router.py:12920",
)
def limits_not_enforced(s: Subject) -> Iterator[Hit]:
    router = s.config.section("router_settings")
    checks = router.get("optional_pre_call_checks")
    enforced = isinstance(checks, list) and "enforce_model_rate_limits" in checks
    if router.get("enable_pre_call_checks") is True or enforced or "usage-based" in str(router.get("routing_strategy")):
        return
    limited = [(d, key) for d in s.deployments for key in ("rpm", "tpm") if key in d.params]
    if limited:
        d, key = limited[0]
        fix = add_key(s.config, ("router_settings",), ["enable_pre_call_checks: true"])
        names = ", ".join(dict.fromkeys(d.name for d, _ in limited))
        yield at(s, _params(d, key), f"limits of {names} are not enforced", fix)


@rule(
    "M01",
    P2,
    "An address that ends in the wrong place",
    effect="The request goes to a path the server does not have, and every call is a 404.",
    advice="vLLM, llama.cpp and other OpenAI-compatible servers: api_base ends in /v1.",
    source="litellm/llms/openai/openai.py (base_url)",
)
def address_path(s: Subject) -> Iterator[Hit]:
    for d in s.deployments:
        path = _params(d, "api_base")
        if d.provider in ("hosted_vllm", "openai") and re.search(r"/(chat/completions|completions)/?$", d.api_base):
            right = re.sub(r"/(chat/)?completions/?$", "", d.api_base)
            yield at(s, path, f"{d.name}: LiteLLM adds /chat/completions itself", set_value(s.config, path, right), P1)
        elif d.provider == "hosted_vllm" and re.fullmatch(r"https?://[^/]+/?", d.api_base):
            right = d.api_base.rstrip("/") + "/v1"
            yield at(s, path, f"{d.name}: vLLM answers below /v1", set_value(s.config, path, right), P1)
