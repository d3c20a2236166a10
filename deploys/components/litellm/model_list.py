"""The model catalogue as LiteLLM's model_list: ids, variables for the keys, and rules between entries."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.providers import PROVIDERS, Name, word

KEY_PREFIX = "PORTCULLIS_MODEL_KEY_"
# What the router takes for an entry's share of a group's requests: the first of these that any entry has.
SHARES = ("weight", "rpm", "tpm")
# The strategy that goes by prices, and reads those in litellm_params: not the ones in model_info.
BY_PRICE = "cost-based-routing"


@dataclass(frozen=True)
class Defaults:
    """What entries that say nothing get: seconds, and requests in flight per model that local processors serve.

    ``by_price`` says that the router chooses by price.
    """

    timeout: int | None = None
    stream_timeout: int | None = None
    local_parallel_requests: int | None = None
    by_price: bool = False


def compiled(entry: ModelEntry, defaults: Defaults, *, id: str, variable: str = "") -> dict[str, Any]:
    """The entry of LiteLLM's model_list for ``entry``: its key, if any, is only named, as ``variable``.

    Every word here is read by LiteLLM 1.106.2: the first half by the router and the provider's client, the second by
    the router (limits, prices, id), the health check and /v1/models.
    """
    p, mode = PROVIDERS[entry.provider], entry.kind
    streams = mode in ("chat", "completion")
    params = {
        "model": f"{word(entry.provider, mode, entry.model)}/{entry.model}",
        "api_base": entry.api_base or p.default_base or None,
        "api_key": f"os.environ/{variable}" if variable else p.placeholder or None,
        "api_version": entry.api_version,
        "rpm": entry.rpm,
        "tpm": entry.tpm,
        "max_parallel_requests": entry.max_parallel_requests
        or (defaults.local_parallel_requests if p.local_cpu else None),
        "timeout": entry.timeout or defaults.timeout,
        "stream_timeout": (entry.stream_timeout or defaults.stream_timeout) if streams else None,
        "weight": entry.weight,
        "order": entry.order,
        "tags": entry.tags or None,
        "keep_alive": entry.keep_alive,
        "num_ctx": entry.num_ctx,
        # Where the router looks for them; spend is reckoned by those below.
        "input_cost_per_token": entry.input_cost_per_token if defaults.by_price else None,
        "output_cost_per_token": entry.output_cost_per_token if defaults.by_price else None,
    }
    # Without one a request to a model that is not in LiteLLM's table is logged as billable and not billed.
    free = 0.0 if p.free and mode != "rerank" else None
    out = free if streams else None
    checked = p.probed if entry.health_check is None else entry.health_check
    info = {
        "id": id,
        # Never left to be guessed: a probe of an embedding model would be a chat.
        "mode": mode,
        "litellm_provider": p.registered.get(mode),
        "base_model": entry.base_model,
        "max_input_tokens": entry.context_window or entry.num_ctx,
        "max_output_tokens": entry.max_output_tokens,
        "input_cost_per_token": free if entry.input_cost_per_token is None else entry.input_cost_per_token,
        "output_cost_per_token": out if entry.output_cost_per_token is None else entry.output_cost_per_token,
        "health_check_timeout": entry.health_check_timeout,
        "disable_background_health_check": None if checked else True,
    }
    return {
        "model_name": entry.name,
        "litellm_params": {key: value for key, value in params.items() if value is not None},
        "model_info": {key: value for key, value in info.items() if value is not None},
    }


def ids(entries: Sequence[ModelEntry]) -> list[str]:
    """The id of every entry: its own, or one of name, provider and a digest of what it asks, the same on every run.

    Entries alike in all of that, such as two accounts with one provider, are numbered.
    """
    taken = {entry.id for entry in entries if entry.id}
    found = []
    for entry in entries:
        asked = "\0".join((entry.provider, entry.kind, entry.model, entry.api_base or ""))
        digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", f"{entry.name}-{entry.provider}-{digest}")
        name, number = entry.id or stem, 1
        while not entry.id and name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        found.append(name)
    return found


def key_names(entries: Sequence[ModelEntry]) -> list[str]:
    """The variable each entry's key goes into; empty without one.

    Entries of a provider with the same key share a variable: a gateway reads its environment only when it starts, so
    one more model with a known key is a reload. The names are ours: what LiteLLM finds in OLLAMA_API_KEY or
    OPENAI_API_KEY it sends to every server of that kind that has no key of its own.
    """
    keys: dict[Name, list[SecretStr]] = defaultdict(list)
    found = []
    for entry in entries:
        if entry.api_key is None:
            found.append("")
            continue
        known = keys[entry.provider]
        if entry.api_key not in known:
            known.append(entry.api_key)
        number = known.index(entry.api_key) + 1
        found.append(f"{KEY_PREFIX}{entry.provider.upper()}" + (f"_{number}" if number > 1 else ""))
    return found


def model_list(entries: Sequence[ModelEntry], defaults: Defaults) -> list[dict[str, Any]]:
    """LiteLLM's model_list, in the catalogue's order, without a secret in it."""
    rows = zip(entries, ids(entries), key_names(entries), strict=True)
    return [compiled(entry, defaults, id=own, variable=variable) for entry, own, variable in rows]


def variables(entries: Sequence[ModelEntry]) -> dict[str, SecretStr]:
    """What the environment file must have for ``model_list``: the keys by variable."""
    pairs = zip(key_names(entries), entries, strict=True)
    return {name: entry.api_key for name, entry in pairs if entry.api_key is not None}


def problems(
    entries: Sequence[ModelEntry],
    own_names: Collection[str] = (),
    own_ids: Collection[str] = (),
    *,
    own: Sequence[ModelEntry] = (),
    strategy: str = "simple-shuffle",
    enforced: Collection[str] = ("rpm", "tpm"),
) -> list[str]:
    """What is wrong between entries, or between them and the router; one sentence each.

    ``own_names`` are groups that nothing may be added to, ``own_ids`` deployments that Portcullis adds by itself;
    ``own`` are the models of Ollama hosts, which share the requests of an entry with the same name; ``strategy`` is the
    router's, ``enforced`` those of rpm and tpm that it refuses requests for.
    """
    found = []
    number = Counter(entry.id for entry in entries if entry.id)
    for index, entry in enumerate(entries):
        where = f"litellm_models[{index}]"
        if entry.name in own_names:
            found.append(f"{where}.name: {entry.name!r} is a model of Portcullis; choose another name")
        if entry.id and (number[entry.id] > 1 or entry.id in own_ids):
            found.append(f"{where}.id: {entry.id!r} is the id of another deployment too; LiteLLM would mix up the two")
        if entry.weight and strategy != "simple-shuffle":
            found.append(f"{where}.weight: the routing strategy {strategy} does not read weights; leave it out")
        for limit in ("rpm", "tpm"):
            if getattr(entry, limit) and limit not in enforced:
                found.append(f"{where}.{limit}: nothing refuses requests above it with these router settings")
    groups: dict[str, list[ModelEntry]] = defaultdict(list)
    for entry in entries:
        groups[entry.name].append(entry)
    for name, group in groups.items():
        beside = [entry for entry in own if entry.name == name]
        end = "; one of them is an Ollama host's own model, which cannot be changed here: give yours another name"
        found += [
            f"litellm_models: {sentence}{end if beside else ''}"
            for sentence in _group_problems(name, [*beside, *group], strategy)
        ]
    return found


def _priced(entry: ModelEntry) -> bool:
    streams = entry.kind in ("chat", "completion")
    return bool(entry.input_cost_per_token and (entry.output_cost_per_token or not streams))


def _group_problems(name: str, group: Sequence[ModelEntry], strategy: str) -> list[str]:
    modes = sorted({entry.kind for entry in group})
    if len(modes) > 1:
        return [f"the entries named {name!r} are of modes {' and '.join(modes)}; a group has one, so name them apart"]
    if 0 < sum(entry.order is not None for entry in group) < len(group):
        return [f"of the entries named {name!r} some have an order; those without one would never be asked"]
    if strategy == BY_PRICE and len(group) > 1 and not all(_priced(entry) for entry in group):
        # Its default is 5 dollars for a token of each kind, and 0 counts as none.
        return [
            f"of the entries named {name!r} some have no price, or one of 0, which {BY_PRICE} takes for 10 dollars a "
            "token, so they would be asked last; give each its price, or use simple-shuffle and an order"
        ]
    if strategy != "simple-shuffle":
        return []
    found = []
    for order in sorted({entry.order or 0 for entry in group}):
        level = [entry for entry in group if (entry.order or 0) == order]
        share = next((share for share in SHARES if any(getattr(entry, share) for entry in level)), "weight")
        if 0 < sum(getattr(entry, share) is not None for entry in level) < len(level):
            found.append(
                f"of the entries named {name!r} some have {share}, which is then the share of the requests an entry "
                f"gets: those without it would get none; give all of them {share}, or all a weight"
            )
    return found
